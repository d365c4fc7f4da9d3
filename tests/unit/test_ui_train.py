"""The handlers of the training tab as plain functions."""

from dataclasses import dataclass, field, replace

import gradio as gr
import pytest

from annotations.learning.config import RetrainingConfig
from annotations.learning.run_status import TrainingStatus
from annotations.people import Access
from ser.errors import TrainingDataError
from ui.errors import shows_errors
from ui.services import Services
from ui.train import FAST, UNCHANGED, TrainHandlers

ANN = gr.Request(session_hash="ann")


@dataclass
class ScriptedRetrainer:
    """Says what it is told to say."""

    now: TrainingStatus = field(default_factory=TrainingStatus)
    lacking: str | None = None

    config: RetrainingConfig = field(default_factory=RetrainingConfig)

    def start(self, by: str, *, target: str, preset: str) -> None:
        if self.lacking:
            raise TrainingDataError(self.lacking)
        self.now = TrainingStatus(state="running", message=f"by {by}", progress=0.35, eta=48.0, epoch=7, epochs=20)

    def status(self) -> TrainingStatus:
        return self.now

    def pause(self) -> None:
        self.now = replace(self.now, state="paused")

    def resume(self) -> None:
        self.now = replace(self.now, state="running")

    def cancel(self, run_id: int | None = None) -> None:
        self.now = TrainingStatus(state="cancelled")


@pytest.fixture
def scripted(page_services: Services) -> Services:
    return Services(page_services.active_model, ScriptedRetrainer())  # type: ignore[arg-type]


def test_training_tab_shows_what_is_missing(scripted: Services) -> None:
    form = TrainHandlers(scripted).on_tick({})
    assert "needed" in str(form.feedback)
    assert form.retrain == gr.update(interactive=False)
    assert "embedded" in str(form.versions) and "in use" in str(form.versions)


def test_a_run_is_followed_and_cancelled(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    seen = handlers.on_tick({}).seen
    running = handlers.on_retrain(seen, "quick", "acoustic", "ann", ANN)  # type: ignore[arg-type]
    assert "epoch 7 of 20" in str(running.run) and "0:48 left" in str(running.run)
    assert running.timer == gr.update(value=FAST) and running.cancel == gr.update(interactive=True)
    assert handlers.on_tick(running.seen) == handlers.on_tick(running.seen)._replace(seen=UNCHANGED)  # type: ignore[arg-type]
    ended = handlers.on_cancel(running.seen, "quick", "acoustic", None, "ann", ANN)  # type: ignore[arg-type]
    assert "Cancelled" in str(ended.run) and ended.cancel == gr.update(interactive=False)


def test_a_page_that_knows_everything_gets_nothing(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    from_scratch = handlers.on_tick({})
    assert all(part == UNCHANGED for part in handlers.on_tick(from_scratch.seen))  # type: ignore[arg-type]


def test_too_little_feedback_is_shown_as_an_error(page_services: Services) -> None:
    handlers = TrainHandlers(page_services)
    with pytest.raises(gr.Error, match="needed"):
        shows_errors(handlers.on_retrain)({}, "quick", "acoustic", "ann", ANN)


def test_another_version_is_put_to_use(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    store = scripted.store
    other = store.add_model_version("v2", "0" * 64, "models/v2", None, {"after": {"uar": 0.63}})
    seen = handlers.on_tick({})
    assert seen.choice["choices"] == [("v2", other.id)] and "63\xa0%" in str(seen.versions)  # type: ignore[index]
    said = handlers.versions.on_use(other.id, "", "ann", ANN)
    form = handlers.on_tick(seen.seen)  # type: ignore[arg-type]
    assert "v2 is in use" in said and "Roll back to" in str(form.back)
    assert store.active_version().name == "v2" and "v2" in str(form.header)
    assert scripted.recognizer.acoustic.name == "band energy, seed 1"
    with pytest.raises(gr.Error, match="Choose a version first"):
        handlers.versions.on_use(None, "", "ann", ANN)
    assert "in use again" in handlers.versions.on_roll_back("", "ann", ANN)
    assert store.active_version().name != "v2"


@pytest.mark.parametrize("act", ["retrain", "stop a training run", "choose the model in use"])
def test_only_maintainers_train(scripted: Services, act: str) -> None:
    handlers = TrainHandlers(replace(scripted, access=Access(role_without_login="annotator")))
    done = {
        "retrain": lambda: shows_errors(handlers.on_retrain)({}, "quick", "acoustic", "ann", ANN),
        "stop a training run": lambda: shows_errors(handlers.on_cancel)({}, "quick", "acoustic", None, "ann", ANN),
        "choose the model in use": lambda: shows_errors(handlers.versions.on_use)(1, "", "ann", ANN),
    }[act]
    with pytest.raises(gr.Error, match=f"ann may not {act}: only a maintainer may"):
        done()
    assert scripted.retrainer.status().state == "idle"
