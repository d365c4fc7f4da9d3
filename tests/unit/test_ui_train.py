"""The handlers of the training tab as plain functions."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import gradio as gr
import pytest

from annotations.learning.config import RetrainingConfig
from annotations.learning.runs.retrainer import log_path
from annotations.learning.runs.status import RunReport, TrainingStatus
from annotations.raters.people import Access
from annotations.review.suspects import Suspect, record_suspects
from annotations.store import NewVote, queries
from annotations.store.settings import AnnotationSettings, change_settings
from ser.acoustic.classifier import load_acoustic_model
from ser.errors import TrainingDataError
from ser.testing import synthetic_speech
from ser.training.progress import TrainProgress
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.stored import add_version, answer, list_clips
from tests.unit.test_ui_versions import refused_version
from ui.backend.services import Services
from ui.parts.errors import shows_errors
from ui.train.choices import is_tuned_whole
from ui.train.run_cards import run_card
from ui.train.tab import FAST, UNCHANGED, Shown, TrainHandlers

ANN = gr.Request(session_hash="ann")


@dataclass
class ScriptedRetrainer:
    """Says what it is given."""

    now: TrainingStatus = field(default_factory=TrainingStatus)
    lacking: str | None = None

    config: RetrainingConfig = field(default_factory=RetrainingConfig)

    def start(self, by: str, *, target: str, preset: str, tune: str) -> None:
        if self.lacking:
            raise TrainingDataError(self.lacking)
        self.now = TrainingStatus(state="running", message=f"by {by}", progress=0.35, eta=48.0, epoch=7, epochs=20)

    def what_is_missing(self, target: str, tune: str | None = None) -> str | None:
        return None

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
    form = TrainHandlers(scripted).on_tick(Shown({}))
    assert "needed" in str(form.feedback)
    assert form.retrain == gr.update(interactive=False)
    assert "embedded" in str(form.versions) and "in use" in str(form.versions)


def test_a_run_is_followed_and_cancelled(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    seen = handlers.on_tick(Shown({})).seen
    running = handlers.on_retrain(Shown(seen, "quick", "acoustic", "auto"), "ann", ANN)  # type: ignore[arg-type]
    assert "epoch 7 of 20" in str(running.run) and "0:48 left" in str(running.run)
    assert running.timer == gr.update(value=FAST) and running.cancel == gr.update(interactive=True)
    assert handlers.on_tick(Shown(running.seen)) == handlers.on_tick(Shown(running.seen))._replace(seen=UNCHANGED)  # type: ignore[arg-type]
    ended = handlers.on_cancel(Shown(running.seen, "quick", "acoustic", "auto"), None, "ann", ANN)  # type: ignore[arg-type]
    assert "Cancelled" in str(ended.run) and ended.cancel == gr.update(interactive=False)


def test_a_page_that_knows_everything_gets_nothing(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    from_scratch = handlers.on_tick(Shown({}))
    assert all(part == UNCHANGED for part in handlers.on_tick(Shown(from_scratch.seen)))  # type: ignore[arg-type]


def test_too_little_feedback_is_shown_as_an_error(page_services: Services) -> None:
    handlers = TrainHandlers(page_services)
    with pytest.raises(gr.Error, match="needed"):
        shows_errors(handlers.on_retrain)(Shown({}), "ann", ANN)


def test_what_can_learn_is_that_of_the_model_which_answers(scripted: Services, tmp_path: Path) -> None:
    scripted.recognizer.acoustic = load_acoustic_model("embedded")
    assert not is_tuned_whole(scripted.active_model)
    scripted.recognizer.acoustic = load_acoustic_model(write_classifier(tmp_path / "wavlm", "wavlm"))
    assert is_tuned_whole(scripted.active_model)


def test_another_version_is_put_to_use(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    store = scripted.store
    other = add_version(store, "v2", "0" * 64, {"after": {"uar": 0.63}})
    seen = handlers.on_tick(Shown({}))
    assert "63\xa0%" in str(seen.versions)
    said = handlers.versions.on_use({"who": "ann", "version": other.id}, ANN)
    form = handlers.on_tick(Shown(seen.seen))  # type: ignore[arg-type]
    assert "v2 is in use" in said and "Roll back to" in str(form.versions)
    assert store.active_version().name == "v2" and "v2" in str(form.header)
    assert scripted.recognizer.acoustic.name == "band energy, seed 1"


@pytest.mark.parametrize("act", ["retrain", "stop a training run", "choose the current model"])
def test_only_maintainers_train(scripted: Services, act: str) -> None:
    handlers = TrainHandlers(replace(scripted, access=Access(role_without_login="annotator")))
    done = {
        "retrain": lambda: shows_errors(handlers.on_retrain)(Shown({}), "ann", ANN),
        "stop a training run": lambda: shows_errors(handlers.on_cancel)(Shown({}), None, "ann", ANN),
        "choose the current model": lambda: shows_errors(handlers.versions.on_use)({"who": "ann", "version": 1}, ANN),
    }[act]
    with pytest.raises(gr.Error, match=f"ann may not {act}: only a maintainer may"):
        done()
    assert scripted.retrainer.status().state == "idle"


@pytest.fixture
def refused(scripted: Services) -> int:
    return refused_version(scripted.store)


def test_the_decision_is_shown_with_all_its_checks(scripted: Services, refused: int) -> None:
    run = queries.list_training_runs(scripted.store)[0]
    card = run_card(TrainingStatus(state="refused", run_id=run.id, message="Refused: no better."), run)
    assert "<strong>+2.0</strong> points [−1.0, +5.0] · UAR 58\xa0% → 60\xa0% · 4 speakers" in card
    assert "Old skills: <strong>−0.3</strong> points, 420 test items" in card
    assert "12 more held-out clips from at least 2 more speakers: about 48 more labelled clips" in card
    assert '<span class="number">+8</span>' in card and '<span class="number">−1</span>' in card


def test_a_run_rests_and_goes_on(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    running = handlers.on_retrain(Shown({}, "thorough", "text", "auto"), "ann", ANN)
    assert running.pause == gr.update(interactive=True)
    paused = handlers.on_pause(Shown(running.seen, "thorough", "text", "auto"), "ann", ANN)  # type: ignore[arg-type]
    assert "its progress is kept" in str(paused.run) and paused.pause == gr.update(interactive=False)
    assert "Training" in str(handlers.on_resume(Shown(paused.seen, "thorough", "text", "auto"), "ann", ANN).run)  # type: ignore[arg-type]


def test_the_log_is_shown_and_can_be_kept(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    assert "not logged anything yet" in handlers.on_log("", "ann", ANN)
    scripted.retrainer.now = TrainingStatus(run_id=3)  # type: ignore[attr-defined]
    path = log_path(scripted.store.data_dir, 3)
    path.parent.mkdir(parents=True)
    path.touch()
    assert "not logged anything yet" in handlers.on_log("", "ann", ANN)
    path.write_text("one <b>\ntwo")
    assert handlers.on_log("shown already", "ann", ANN) == ""
    assert "run-3.log" in handlers.on_log("", "ann", ANN) and "one &lt;b&gt;" in handlers.on_log("", "ann", ANN)


def test_labels_that_are_probably_mistakes_are_sent_to_review(
    scripted: Services, refused: int, page_fill: Callable[[int], None]
) -> None:
    page_fill(1)
    clip = list_clips(scripted.store)[0]
    record_suspects(scripted.store, 1, [Suspect(clip.id, "anger", "fear", 0.8)])
    assert "1 label is probably a mistake" in str(TrainHandlers(scripted).on_tick(Shown({})).feedback)


def enough_for_sound(services: Services) -> None:
    """Labelled clips of many voices, without a written word, an answer, or a recogniser that could be trained."""
    for number in range(40):
        clip = services.store.add_clip(
            synthetic_speech(0.3, seed=number), source="test", speaker=f"s{number % 10}", consent=("training",)
        )
        label = ("anger", "sadness")[number % 2]
        services.store.add_correction(clip.id, NewVote("ann", "correct", label=label))


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("text", "Clips with a corrected transcript to train on: 0, of different labels: 0"),
        ("fusion", ", of different labels: 0; 20 clips"),
        ("transcriber", "speech recogniser /nowhere/whisper cannot be trained, as it is not at hand"),
    ],
)
def test_why_a_target_cannot_be_trained_is_said_before_the_click(
    page_services: Services, target: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SER_WHISPER_MODEL", "/nowhere/whisper")
    enough_for_sound(page_services)
    handlers = TrainHandlers(page_services)
    assert handlers.on_tick(Shown({}, "quick", "acoustic")).retrain == gr.update(interactive=True)
    form = handlers.on_tick(Shown({}, "quick", target))
    assert why in str(form.estimate) and "Not yet for the" in str(form.estimate)
    assert form.retrain == gr.update(interactive=False)
    # Whoever asks all the same, by another way, gets the same sentence, and no run that is bound to fail.
    with pytest.raises(gr.Error, match=why[:30]):
        shows_errors(handlers.on_retrain)(Shown({}, "quick", target), "ann", ANN)
    assert queries.list_training_runs(page_services.store) == []


def test_what_was_missing_is_looked_into_again_when_it_has_come(page_services: Services) -> None:
    enough_for_sound(page_services)
    handlers = TrainHandlers(page_services)
    seen = handlers.on_tick(Shown({}, "quick", "fusion")).seen
    assert "an answer" in str(handlers.on_tick(Shown({}, "quick", "fusion")).estimate)
    for clip in range(1, 41):
        page_services.store.add_prediction(clip, answer(), page_services.store.active_version().id)
    form = handlers.on_tick(Shown(seen, "quick", "fusion"))  # type: ignore[arg-type]
    assert "about" in str(form.estimate) and form.retrain == gr.update(interactive=True)


def test_a_run_that_says_nothing_for_a_while_waits_for_the_machine() -> None:
    status = TrainingStatus(state="running", run_id=1, updated_at="2026-01-02T03:04:05+00:00")
    soon, late = (datetime(2026, 1, 2, 3, minute, 15, tzinfo=UTC) for minute in (4, 6))
    assert "No news" not in run_card(status, None, soon)
    assert "No news for 2:10: everything else on this machine goes before training" in run_card(status, None, late)
    assert "No news" not in run_card(replace(status, state="paused"), None, late)


def test_when_training_begins_by_itself_stands_with_the_feedback(scripted: Services) -> None:
    assert "only on request" in str(TrainHandlers(scripted).on_tick(Shown({})).feedback)
    change_settings(scripted.store, AnnotationSettings(retrain_after=50, retrain_at="02:30"), by="mia")
    assert "by itself after 50 new votes and daily at 02:30 UTC" in str(
        TrainHandlers(scripted).on_tick(Shown({})).feedback
    )


def test_the_message_of_a_run_stands_there_without_the_number_of_the_epoch() -> None:
    status = TrainingStatus(state="running", run_id=1, epoch=2, epochs=9, message="Epoch 2 of 9.")
    assert '<p class="reason">' not in run_card(status, None)
    status = replace(status, message="Epoch 2 of 9. A step is computed in 2 parts.")
    assert '<p class="reason">A step is computed in 2 parts.</p>' in run_card(status, None)


def test_the_log_has_one_line_of_each_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="training")
    report = RunReport(tmp_path, 1)
    for epoch in (1, 2):
        report.on_progress(TrainProgress(epoch, 2, epoch, 2, 1.23456789, None, None, epoch_done=True))
    assert caplog.messages == ["epoch 1 of 2: loss 1.2346", "epoch 2 of 2: loss 1.2346"]
    assert report.status.message == "Epoch 2 of 2."
    report.on_progress(TrainProgress(2, 2, 2, 2, None, 0.5, None, epoch_done=True, parts=2))
    assert caplog.messages[-2] == "epoch 2 of 2: UAR 0.5000"
    assert "computed in 2 parts" in caplog.messages[-1]
