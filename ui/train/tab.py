"""The third tab: how much feedback there is, retrain, watch, compare, choose the current model."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import gradio as gr

from annotations.learning.config import BY_PRESET, PRESETS, RetrainingConfig
from annotations.learning.drift import read_drift
from annotations.learning.promotion.holdout_store import missing_feedback
from annotations.learning.runs.estimate import estimate
from annotations.learning.runs.queue import can_resume
from annotations.learning.runs.retrainer import log_path
from annotations.learning.runs.status import TrainingStatus
from annotations.learning.targets.presets import in_words
from annotations.raters.votes import feedback_summary, training_examples
from annotations.review.suspects import count_suspects
from annotations.store.queries import activity, list_training_runs
from annotations.store.records import TARGETS, TrainingRun
from annotations.store.settings import read_settings
from ser.errors import SerError
from ui.backend.identity import Who, person
from ui.backend.services import Services
from ui.parts.calls import Act, as_whole
from ui.parts.errors import shows_errors
from ui.parts.handlers import QUIET, from_fields
from ui.train import run_cards as training_cards
from ui.train.choices import ENCODER_CHOICES, HEAD_CHOICES, TARGET_NAMES, is_tuned_whole
from ui.train.versions import VersionHandlers, build_versions

UNCHANGED = gr.skip()


NOTHING_SAID = '<p class="quiet">This run has not logged anything yet.</p>'

MOST_RUNS = 50
"""Greatest number of runs in the curve of the gain, the newest ones."""

FAST, SLOW = 1.0, 5.0
"""Seconds between polls: while a run goes on, and otherwise."""


class Form(NamedTuple):
    """Changes of an event on this tab; filled with components it is the list of outputs."""

    seen: object = UNCHANGED
    timer: object = UNCHANGED
    feedback: object = UNCHANGED
    run: object = UNCHANGED
    versions: object = UNCHANGED
    estimate: object = UNCHANGED
    retrain: object = UNCHANGED
    pause: object = UNCHANGED
    resume: object = UNCHANGED
    cancel: object = UNCHANGED
    which: object = UNCHANGED
    header: object = UNCHANGED


@dataclass(frozen=True)
class Shown:
    """State of the tab on somebody's page.

    Attributes:
        seen: what the page shows now; the part that is alike is not sent again.
        preset: `quick` or `thorough`.
        target: what a run would train.
        tune: the layers of an acoustic model that it would train.
    """

    seen: dict[str, object]
    preset: str = PRESETS[0]
    target: str = TARGETS[0]
    tune: str = BY_PRESET


class TrainHandlers:
    """Events of this tab, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.versions = VersionHandlers(services)
        self._known: tuple[tuple[object, ...], str | None] = ((), None)

    def on_tick(self, shown: Shown) -> Form:
        """Look whether anything is new, and show only that."""
        asked = replace(self.services.retrainer.config, preset=shown.preset, target=shown.target, tune=shown.tune)
        now, seen = self._look(asked), shown.seen
        if now == seen:
            return Form()
        form = Form(seen=now)

        def is_new(*names: str) -> bool:
            return any(name not in seen or now[name] != seen[name] for name in names)

        if is_new("run"):
            form = form._replace(run=now["run"])
        if is_new("busy"):
            form = form._replace(timer=gr.update(value=FAST if now["busy"] else SLOW))
        if is_new("feedback"):
            form = form._replace(feedback=now["feedback"])
        if is_new("blocked"):
            form = form._replace(retrain=gr.update(interactive=now["blocked"] is None))
        if is_new("feedback", "options", "missing", "blocked", "busy"):
            form = form._replace(estimate=self._estimate(asked, now))
        if is_new("can"):
            pause, resume, cancel = cast(tuple[bool, bool, bool], now["can"])
            form = form._replace(
                pause=gr.update(interactive=pause),
                resume=gr.update(interactive=resume),
                cancel=gr.update(interactive=cancel),
            )
        if is_new("runs"):
            form = form._replace(which=_which(cast(list[int], now["runs"])))
        if is_new("versions"):
            form = form._replace(versions=now["versions"], header=self.services.header())
        return form

    def on_open(self, who: Who, request: gr.Request) -> str:
        """Tell people who may not train why there is no button for it; the style sheet hides the controls with it."""
        try:
            allowed = person(self.services, request, who).may("retrain")
        except SerError:  # A name that is another's: the refusal comes with the first act.
            allowed = False
        return "" if allowed else training_cards.WATCHING

    def on_retrain(self, shown: Shown, who: Who, request: gr.Request) -> Form:
        """Ask for a run on the feedback as it stands; it waits where another one runs."""
        name = person(self.services, request, who).require("retrain").name
        self.services.retrainer.start(name, target=shown.target, preset=shown.preset, tune=shown.tune)
        return self.on_tick(shown)

    def on_pause(self, shown: Shown, who: Who, request: gr.Request) -> Form:
        """Pause the run; its progress is kept."""
        person(self.services, request, who).require("stop a training run")
        self.services.retrainer.pause()
        return self.on_tick(shown)

    def on_resume(self, shown: Shown, who: Who, request: gr.Request) -> Form:
        """Let a paused or interrupted run go on."""
        person(self.services, request, who).require("retrain")
        self.services.retrainer.resume()
        return self.on_tick(shown)

    def on_cancel(self, shown: Shown, run_id: int | None, who: Who, request: gr.Request) -> Form:
        """End a run, running, paused or queued; its progress is discarded."""
        person(self.services, request, who).require("stop a training run")
        self.services.retrainer.cancel(as_whole(run_id, "The run") if run_id is not None else None)
        return self.on_tick(shown)

    def on_log(self, shown: str, who: Who, request: gr.Request) -> str:
        """Draw the end of a run's log, with all of it to download; nothing if that is on the page already."""
        if shown:
            return ""
        person(self.services, request, who).require("retrain")
        status = self.services.retrainer.status()
        path = log_path(self.services.store.data_dir, status.run_id) if status.run_id is not None else None
        if path is None or not path.exists():
            return NOTHING_SAID
        log = path.read_bytes()
        if not log.strip():
            return NOTHING_SAID
        return training_cards.log_card(
            f"run-{status.run_id}.log", log.decode("utf-8", "replace"), base64.b64encode(log)
        )

    def _look(self, asked: RetrainingConfig) -> dict[str, object]:
        store = self.services.store
        status = self.services.retrainer.status()
        self.services.active_model.refresh()
        lacking = missing_feedback(store, training_examples(store))
        run = store.get_training_run(status.run_id) if status.run_id is not None else None
        suspects = count_suspects(store)
        going = [status.run_id] if status.state in ("running", "paused", "interrupted", "queued") else []
        runs = list(dict.fromkeys([*going, *status.queued]))
        settings = read_settings(store)
        begins = training_cards.by_itself_line(settings.retrain_after, settings.retrain_at, status.trigger)
        drifted = read_drift(store).sentences()
        feedback = training_cards.feedback_card(feedback_summary(store), lacking, suspects, begins, drifted)
        gains = training_cards.learning_line(list_training_runs(store, MOST_RUNS), self.services.labels.names)
        return {
            "busy": status.state in ("running", "queued"),
            "options": [asked.preset, asked.target, asked.tune],
            "missing": lacking,
            "blocked": lacking or self._blocked(asked, feedback),
            "feedback": feedback,
            "run": training_cards.run_card(status, run) + gains,
            "can": self._can(status, run),
            "runs": runs,
            "versions": self.versions.table(),
        }

    def _blocked(self, asked: RetrainingConfig, feedback: str) -> str | None:
        """Explain why this cannot be trained; computed again only after a change."""
        mark = (asked.target, asked.tune, feedback, *activity(self.services.store))
        if mark != self._known[0]:
            self._known = mark, self.services.retrainer.what_is_missing(asked.target, asked.tune)
        return self._known[1]

    def _can(self, status: TrainingStatus, run: TrainingRun | None) -> list[bool]:
        """Tell which of pause, resume and cancel are possible."""
        resumable = run is not None and can_resume(self.services.store, run)
        going = status.state == "running"
        return [going, resumable, going or resumable or status.state in ("queued", "paused")]

    def _estimate(self, asked: RetrainingConfig, now: dict[str, object]) -> str:
        if now["missing"] is not None:
            return ""
        if now["blocked"] is not None:
            return training_cards.blocked_line(asked.target, str(now["blocked"]))
        try:
            meaning = in_words(asked, encoder=is_tuned_whole(self.services.active_model))
            found = training_cards.estimate_line(estimate(self.services.store, asked), meaning)
        except SerError as error:
            return f'<p class="status gentle">{training_cards.escape(error)}</p>'
        return f"<p>{found}{', after the run before it' if now['busy'] else ''}</p>"


def _which(runs: list[int]) -> dict[str, object]:
    """The choice of the run to be cancelled, shown if there is more than one."""
    choices = [(f"run {number}", number) for number in runs]
    return gr.update(choices=choices, value=runs[0] if runs else None, visible=len(runs) > 1)


def _build_choices(services: Services) -> tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown]:
    """Lay out effort, target and layers of a run."""
    with gr.Row(elem_id="train-choices"):
        preset = gr.Dropdown(list(PRESETS), value="quick", label="Effort", elem_id="train-preset", min_width=170)
        target = gr.Dropdown(
            [(TARGET_NAMES[name], name) for name in TARGETS],
            value="acoustic",
            label="What to train",
            elem_id="train-target",
            min_width=170,
        )
        parts = ENCODER_CHOICES if is_tuned_whole(services.active_model) else HEAD_CHOICES
        tune = gr.Dropdown(
            list(parts.items()), value=BY_PRESET, label="Layers to train", elem_id="train-tune", min_width=170
        )
    return preset, target, tune


def build_train_tab(
    services: Services, demo: gr.Blocks, tab: gr.Tab, who: gr.BrowserState, header: gr.HTML
) -> Mapping[str, Act]:
    """Lay out the tab and connect its events.

    Args:
        services: the domain.
        demo: the page; its load event shows the state at once, so that a reload loses nothing.
        tab: shows it anew when it comes to the front.
        who: what the browser says of itself.
        header: the page's line on the current models.

    Returns:
        What the buttons of versions ask of the server, for `ui.parts.calls.build_calls`.
    """
    do = TrainHandlers(services)
    seen = gr.State({})
    timer = gr.Timer(SLOW)
    note = gr.HTML("", elem_id="train-note", apply_default_css=False)
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=5, min_width=320):
            feedback = gr.HTML("", elem_id="train-feedback", elem_classes="panel", apply_default_css=False)
            preset, target, tune = _build_choices(services)
            guess = gr.HTML("", elem_id="train-estimate", apply_default_css=False)
            retrain = gr.Button("Retrain", variant="primary", interactive=False, elem_id="retrain")
            with gr.Row(elem_id="train-acts"):
                pause = gr.Button("Pause", interactive=False, elem_id="train-pause", min_width=100)
                resume = gr.Button("Resume", interactive=False, elem_id="train-resume", min_width=100)
                cancel = gr.Button("Cancel", interactive=False, elem_id="train-cancel", min_width=100)
                log_button = gr.Button("Log", elem_id="train-log-button", min_width=100)
            which = gr.Dropdown([], label="Run to cancel", visible=False, elem_id="train-which")
        with gr.Column(scale=7, min_width=320):
            run = gr.HTML("", elem_id="train-run", elem_classes="panel", apply_default_css=False)
            log = gr.HTML("", elem_id="train-log", apply_default_css=False)
    versions, changed = build_versions()

    outputs = list(
        Form(
            seen, timer, feedback, run, versions, guess, retrain, pause, resume, cancel, which, header,
        )
    )  # fmt: skip
    now = [seen, preset, target, tune]
    look = {"fn": shows_errors(from_fields(do.on_tick)), "inputs": now, "outputs": outputs, **QUIET}
    demo.load(shows_errors(do.on_open), who, note, **QUIET)
    demo.load(**look)
    tab.select(**look)
    timer.tick(**look, trigger_mode="once")
    preset.change(**look)
    target.change(**look)
    tune.change(**look)
    target.change(lambda chosen: gr.update(visible=chosen == "acoustic"), target, tune, **QUIET)
    once = {"trigger_mode": "once", **QUIET}
    retrain.click(shows_errors(from_fields(do.on_retrain)), [*now, who], outputs, **once)
    pause.click(shows_errors(from_fields(do.on_pause)), [*now, who], outputs, **once)
    resume.click(shows_errors(from_fields(do.on_resume)), [*now, who], outputs, **once)
    cancel.click(shows_errors(from_fields(do.on_cancel)), [*now, which, who], outputs, **once)
    log_button.click(shows_errors(do.on_log), [log, who], log, **once)
    changed.click(**look)
    return do.versions.acts()
