"""Endpoints of training: ask for a run, follow it, let it rest, go on or end."""

import dataclasses
from typing import Any

import gradio as gr

from annotations.learning.config import PRESETS
from annotations.store.records import TARGETS
from ser.errors import SerError
from ui.backend.identity import person
from ui.backend.services import Services
from ui.parts.calls import as_whole
from ui.parts.handlers import add_endpoint


class TrainingHandlers:
    """The endpoints; the names of the arguments are the names of their parameters."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def retrain(
        self, rater: str = "", preset: str = "", target: str = "", tune: str = "", request: gr.Request | None = None
    ) -> dict[str, Any]:
        """Ask for a training run on the feedback as it stands; it begins at once, or waits for the runs before it."""
        name = person(self.services, request, rater).require("retrain").name
        run = self.services.retrainer.start(name, target=target or None, preset=preset or None, tune=tune or None)
        return self._status(run.id)

    def training_status(self, run_id: float | None = None, request: gr.Request | None = None) -> dict[str, Any]:
        """Return the status of a training run: by default the one under way, else the one that ended last."""
        status = self._status(None if run_id is None else as_whole(run_id, "run_id"))
        if not person(self.services, request, None).may("retrain"):
            status.pop("log")
        return status

    def control_training(
        self, action: str = "", run_id: float | None = None, rater: str = "", request: gr.Request | None = None
    ) -> dict[str, Any]:
        """Let a training run rest, go on, or end without a result."""
        retrainer = self.services.retrainer
        actions = {"pause": retrainer.pause, "resume": retrainer.resume, "cancel": retrainer.cancel}
        if action not in actions:
            raise SerError(f"The action is '{action}'; expected one of {', '.join(actions)}.")
        person(self.services, request, rater).require("retrain" if action == "resume" else "stop a training run")
        number = retrainer.status().run_id if run_id is None else as_whole(run_id, "run_id")
        actions[action](number)
        return self._status(number)

    def _status(self, run_id: int | None) -> dict[str, Any]:
        status = dataclasses.asdict(self.services.retrainer.status(run_id))
        return {name: value for name, value in status.items() if name not in ("pid", "pid_created")}


def build_training_endpoints(services: Services) -> None:
    """Add the endpoints; their components are never drawn."""
    handlers = TrainingHandlers(services)
    with gr.Row(visible=False):
        trigger = gr.Button()
        starter = gr.Textbox(label="who starts the run; a login wins over it", value="")
        preset = gr.Textbox(label=f"{' or '.join(PRESETS)}; {PRESETS[0]} where empty", value="")
        target = gr.Textbox(label=f"one of {', '.join(TARGETS)}; {TARGETS[0]} where empty", value="")
        tune = gr.Textbox(label="layers of the acoustic model to train; empty for the preset's default", value="")
        started = gr.JSON(label="the state of the run, as `training_status` returns it")
        asked = gr.Number(label="number of a run, or null for the one under way", value=None, precision=0)
        status = gr.JSON(
            label="state, run_id, message, progress, eta, epoch, epochs, loss, uar, curve, seconds, resumed, target, "
            "preset, cause, log, queued, trigger, updated_at"
        )
        action = gr.Textbox(label="pause, resume or cancel")
        which = gr.Number(label="number of the run, or null for the one under way", value=None, precision=0)
        controller = gr.Textbox(label="who asks; a login wins over it", value="")
        controlled = gr.JSON(label="the state of the run, as `training_status` returns it")
    add_endpoint(trigger, handlers.retrain, [starter, preset, target, tune], [started])
    add_endpoint(trigger, handlers.training_status, [asked], [status])
    add_endpoint(trigger, handlers.control_training, [action, which, controller], [controlled])
