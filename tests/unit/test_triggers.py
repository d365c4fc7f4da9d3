"""Runs that begin by themselves, the estimate, and the command, with a training process that is only noted down."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from annotations.commands.retraining import summary
from annotations.errors import InvalidSettingError
from annotations.learning.config import RetrainingConfig, snapshot_path
from annotations.learning.runs import queue as run_queue
from annotations.learning.runs.estimate import PACE, START, estimate
from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.runs.triggers import AFTER, AT, Triggers
from annotations.learning.versions.active import ActiveModel
from annotations.maintenance.erasure.erase import erase_clip
from annotations.raters.votes import training_examples
from annotations.store import AnnotationStore, NewVote
from annotations.store.new_records import NewVersion
from annotations.store.settings import AnnotationSettings, change_settings
from ser.testing import BandEnergyModel, fake_recognizer, synthetic_speech

NIGHT = datetime(2026, 1, 2, 2, 31, tzinfo=UTC)


class NotingRetrainer(Retrainer):
    """Records runs as begun, and starts no process for them."""

    def tend(self, *, at_start: bool = False) -> None:
        run = run_queue.next_run(self.store)
        if run is not None:
            run_queue.prepare(self.store, run)


@pytest.fixture
def retrainer(tmp_path: Path) -> NotingRetrainer:
    store = AnnotationStore(tmp_path / "data")
    active = ActiveModel(store, fake_recognizer(), lambda name: BandEnergyModel(0), base="embedded")
    return NotingRetrainer(active, RetrainingConfig(device="cpu"))


def vote(store: AnnotationStore, count: int, first: int = 0, consent: tuple[str, ...] = ("training",)) -> None:
    for number in range(first, first + count):
        audio = synthetic_speech(0.5, seed=number)
        clip = store.add_clip(audio, source="test", speaker=f"s{number % 6}", consent=consent)
        store.add_correction(clip.id, NewVote("ann", "correct", label=("fear", "anger")[number % 2]))


def end(retrainer: NotingRetrainer, status: str = "refused") -> None:
    store = retrainer.store
    run = next(run for run in store.unfinished_runs() if run.status == "running")
    timing = {"seconds": START + 60.0, "clips": 30, "held_out": 10, "device": "cpu", "machine": "elsewhere"}
    version = NewVersion(f"v{run.id}", "0" * 64, f"models/v{run.id}")
    store.finish_training_run(run.id, status, {"before": {"uar": 0.4}, "timing": timing}, "no better", version)


def test_a_run_begins_after_so_many_new_votes_and_not_again_on_the_same(retrainer: NotingRetrainer) -> None:
    store = retrainer.store
    triggers = Triggers(retrainer)
    assert triggers.check().message == "Retraining begins only when it is asked for."
    change_settings(store, AnnotationSettings(retrain_after=40), by="mia")
    vote(store, 39)
    vote(store, 20, first=1000, consent=("research",))  # Clips without consent to training do not count.
    assert triggers.check().message == "Retraining begins by itself after 40 new votes; there are 39."
    vote(store, 1, first=39)
    report = triggers.check()
    assert (report.began, report.cause, report.run_id) == (True, AFTER, 1)
    run = store.get_training_run(1)
    assert (run.status, run.cause, run.started_by) == ("running", AFTER, "program")
    assert triggers.check().message == "A run is under way."
    end(retrainer)
    for look in (triggers, Triggers(retrainer)):  # Nor by another process.
        assert look.check().message.endswith("there are 0.")
    vote(store, 40, first=40)
    assert triggers.check().run_id == 2


def test_a_refusal_is_kept_and_not_repeated_on_the_same_votes(retrainer: NotingRetrainer) -> None:
    store = retrainer.store
    change_settings(store, AnnotationSettings(retrain_after=10), by="mia")
    vote(store, 12)
    first = Triggers(retrainer).check()
    assert not first.began and first.message.startswith("No run began by itself: 12 labelled clips may be used")
    assert retrainer.status().trigger == first.message and store.unfinished_runs() == []
    assert Triggers(retrainer).check() == first
    vote(store, 1, first=12)
    assert "13 labelled clips" in Triggers(retrainer).check().message


def test_a_run_begins_at_a_time_of_day_once(retrainer: NotingRetrainer) -> None:
    store = retrainer.store
    change_settings(store, AnnotationSettings(retrain_at="02:30"), by="mia")
    vote(store, 40)
    triggers = Triggers(retrainer)
    assert not triggers.check(NIGHT - timedelta(minutes=2)).began
    report = triggers.check(NIGHT)
    assert report.began and report.cause == AT and report.run_id == 1
    end(retrainer)
    vote(store, 1, first=40)
    assert not triggers.check(NIGHT + timedelta(minutes=20)).began
    assert not triggers.check(NIGHT + timedelta(hours=12)).began
    assert triggers.check(NIGHT + timedelta(days=1)).began
    end(retrainer)
    assert not triggers.check(NIGHT + timedelta(days=2)).began  # Nothing new to learn from.


@pytest.mark.parametrize("wrong", ["2:30", "24:00", "noon", 230])
def test_a_time_of_day_is_checked(wrong: object) -> None:
    with pytest.raises(InvalidSettingError, match="expected a time such as '02:30'"):
        AnnotationSettings(retrain_at=wrong)  # type: ignore[arg-type]


def test_the_estimate_goes_by_earlier_runs_of_this_machine(
    retrainer: NotingRetrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    vote(retrainer.store, 40)
    before = estimate(retrainer.store, retrainer.config)
    assert before.seconds == START + 40 * PACE["acoustic", "quick"] and before.clips == 40
    assert before.device == "cpu" and "a first guess" in before.basis
    retrainer.start("ann")
    end(retrainer)
    assert estimate(retrainer.store, retrainer.config) == before  # That one was made on another machine.
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    after = estimate(retrainer.store, retrainer.config)
    assert after.seconds == START + 60.0 and after.basis == "1 earlier run on this machine"
    thorough = estimate(retrainer.store, replace(retrainer.config, preset="thorough"))
    assert "no run has ended" in thorough.basis


def test_the_command_prints_what_programs_read(retrainer: NotingRetrainer) -> None:
    vote(retrainer.store, 40)
    retrainer.start("ann", preset="thorough")
    end(retrainer)
    status = retrainer.status(1)
    said = json.loads(json.dumps(summary(retrainer.store, retrainer.store.get_training_run(1), status)))
    assert {name: said[name] for name in ("run", "version", "decision", "reason", "before", "after")} == {
        "run": 1,
        "version": "v1",
        "decision": "refused",
        "reason": "no better",
        "before": {"uar": 0.4},
        "after": {},
    }
    assert said["preset"] == "thorough" and said["timing"]["clips"] == 30
    made = retrainer.store.get_model_version(retrainer.store.get_training_run(1).new_version_id or 0)
    assert made.parent_id == retrainer.active_model.base_version.id
    assert made.lineage["snapshot_sha256"] == said["snapshot_sha256"] and made.lineage["preset"] == "thorough"


def test_a_paused_run_learns_from_nothing_that_was_erased_since(retrainer: NotingRetrainer) -> None:
    store = retrainer.store
    vote(store, 41)
    run = retrainer.start("ann")
    store.pause_training_run(run.id, "rests")
    assert run_queue.forget_erased(store) == []
    erase_clip(store, 1, by="mia")
    assert run_queue.forget_erased(store) == [run.id]
    assert not snapshot_path(store.data_dir, run.id).exists()
    again = retrainer.resume(run.id)
    assert again.status == "running" and again.snapshot_sha256 != run.snapshot_sha256
    assert again.reason is None
    with AnnotationStore(store.data_dir, database=snapshot_path(store.data_dir, run.id)) as copy:
        assert [example.clip.id for example in training_examples(copy)] == list(range(2, 42))


def test_an_interrupted_run_goes_on_before_those_that_wait(retrainer: NotingRetrainer) -> None:
    store = retrainer.store
    vote(store, 40)
    run, behind = retrainer.start("ann"), retrainer.start("bob", preset="thorough")
    run_queue.close(store, run.id, "interrupted", "killed")
    assert (run.status, behind.status) == ("running", "queued")
    resumed = run_queue.resume_interrupted(store)
    assert resumed is not None and resumed.id == run.id
    due = run_queue.next_run(store)
    assert due is not None and due.id == run.id
    # One that waited before the interruption leaves what the other needs to go on; one asked for afterwards does not.
    run_queue.close(store, run.id, "interrupted", "killed again")
    run_queue.prepare(store, behind)
    assert run_queue.can_resume(store, store.get_training_run(run.id))
    end(retrainer)
    run_queue.prepare(store, store.queue_training_run(dict(run.config), run.base_version_id, "mia"))
    assert not run_queue.can_resume(store, store.get_training_run(run.id))
