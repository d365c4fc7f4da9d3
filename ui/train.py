"""The third tab: how much feedback there is, retrain, watch, compare, choose the model in use."""

from typing import NamedTuple

import gradio as gr

from annotations import queries
from annotations.learning.feedback import feedback_summary, training_examples
from annotations.learning.sides import missing_feedback
from ui import training_cards
from ui.errors import shows_errors
from ui.identity import Who, person
from ui.services import Services

UNCHANGED = gr.skip()

FAST, SLOW = 1.0, 5.0
"""Seconds between looks at the run: while it goes on, and otherwise, so that every page learns of a run elsewhere."""


class Form(NamedTuple):
    """What an event changes on this tab; filled with components it is the list of outputs."""

    seen: object = UNCHANGED
    timer: object = UNCHANGED
    feedback: object = UNCHANGED
    run: object = UNCHANGED
    versions: object = UNCHANGED
    choice: object = UNCHANGED
    retrain: object = UNCHANGED
    cancel: object = UNCHANGED
    header: object = UNCHANGED


class TrainHandlers:
    """What happens on this tab; each method is one event."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_tick(self, seen: dict[str, object]) -> Form:
        """Look whether anything is new, and show only that.

        Args:
            seen: what the page shows now; the part that is alike is not sent again.
        """
        now = self._look()
        if now == seen:
            return Form()
        form = Form(seen=now)
        if now["run"] != seen.get("run"):
            running = now["running"]
            form = form._replace(
                run=now["run"],
                timer=gr.update(value=FAST if running else SLOW),
                cancel=gr.update(interactive=running),
            )
        if now["feedback"] != seen.get("feedback"):
            form = form._replace(feedback=now["feedback"])
        if (now["running"], now["missing"]) != (seen.get("running"), seen.get("missing")):
            form = form._replace(retrain=gr.update(interactive=not now["running"] and now["missing"] is None))
        if now["versions"] != seen.get("versions"):
            form = form._replace(versions=now["versions"], choice=self._choice(), header=self.services.header())
        return form

    def on_retrain(self, seen: dict[str, object], who: Who, request: gr.Request) -> Form:
        """Start a run on the feedback as it stands."""
        self.services.retrainer.start(person(self.services, request, who).require("retrain").name)
        return self.on_tick(seen)

    def on_cancel(self, seen: dict[str, object], who: Who, request: gr.Request) -> Form:
        """Stop the run; what it has learnt is thrown away."""
        person(self.services, request, who).require("stop a training run")
        self.services.retrainer.cancel()
        return self.on_tick(seen)

    def on_use(self, version_id: int | None, seen: dict[str, object], who: Who, request: gr.Request) -> Form:
        """Put another version to use."""
        if version_id is None:
            raise gr.Error("Choose a version first.", title="That did not work", print_exception=False)
        name = person(self.services, request, who).require("choose the model in use").name
        version = self.services.active_model.use(int(version_id), by=name, reason=f"chosen by {name} on the page")
        gr.Info(f"{version.name} is in use.", title="Model changed")
        return self.on_tick(seen)

    def _look(self) -> dict[str, object]:
        store = self.services.store
        status = self.services.retrainer.status()
        active = self.services.active_model.refresh()
        lacking = missing_feedback(store, training_examples(store))
        run = store.get_training_run(status.run_id) if status.run_id is not None else None
        return {
            "running": status.state == "running",
            "missing": lacking,
            "feedback": training_cards.feedback_card(feedback_summary(store), lacking),
            "run": training_cards.run_card(status, run),
            "versions": training_cards.versions_table(queries.list_versions(store), active),
        }

    def _choice(self) -> dict[str, object]:
        active = self.services.store.active_version()
        others = [v for v in queries.list_versions(self.services.store) if v.id != active.id]
        return gr.update(
            choices=[(version.name, version.id) for version in others],
            value=others[0].id if others else None,
            interactive=bool(others),
        )


def build_train_tab(services: Services, demo: gr.Blocks, who: gr.BrowserState, header: gr.HTML) -> None:
    """Lay out the tab and connect its events.

    Args:
        services: the domain.
        demo: the page; its load event shows the state at once, so that a reload loses nothing.
        who: what the browser says of itself.
        header: the page's line on the models in use.
    """
    handlers = TrainHandlers(services)
    seen = gr.State({})
    timer = gr.Timer(SLOW)
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=5, min_width=320):
            feedback = gr.HTML("", elem_id="train-feedback", elem_classes="panel", apply_default_css=False)
            with gr.Row():
                retrain = gr.Button("Retrain", variant="primary", interactive=False, elem_id="retrain")
                cancel = gr.Button("Cancel", interactive=False, elem_id="train-cancel")
        with gr.Column(scale=7, min_width=320):
            run = gr.HTML("", elem_id="train-run", elem_classes="panel", apply_default_css=False)
    with gr.Group(elem_classes="panel", elem_id="versions"):
        versions = gr.HTML("", elem_id="train-versions", apply_default_css=False)
        with gr.Row(elem_classes="save-row"):
            choice = gr.Dropdown(
                [], label="Another version", interactive=False, elem_id="version-choice", scale=3, min_width=200
            )
            use = gr.Button("Use this version", elem_id="version-use", scale=0, min_width=180)

    outputs = list(Form(seen, timer, feedback, run, versions, choice, retrain, cancel, header))
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    demo.load(shows_errors(handlers.on_tick), seen, outputs, **quiet)
    timer.tick(shows_errors(handlers.on_tick), seen, outputs, trigger_mode="once", **quiet)
    retrain.click(shows_errors(handlers.on_retrain), [seen, who], outputs, trigger_mode="once", **quiet)
    cancel.click(shows_errors(handlers.on_cancel), [seen, who], outputs, trigger_mode="once", **quiet)
    use.click(shows_errors(handlers.on_use), [choice, seen, who], outputs, trigger_mode="once", **quiet)
