"""Differences between two versions, on clips that neither was trained on."""

from pathlib import Path

import pytest

from annotations.cli import main
from annotations.errors import StoreError
from annotations.learning.promotion.holdout_store import (
    held_out_clips,
    hold_out,
    missing_feedback,
    read_looks,
    read_splits,
    record_holdout,
)
from annotations.learning.versions.active import ActiveModel
from annotations.learning.versions.diff import clips_to_ask, diff_versions
from annotations.raters.votes import mark_gold, training_examples
from annotations.store import AnnotationStore, NewVote
from ser.audio.vad import trim_to_speech
from ser.errors import SerError
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, EnergyDetector, synthetic_speech
from ser.types import Audio
from tests.unit.stored import add_version, begin_run

CLIPS = 60


def speech(seed: int) -> Audio:
    return synthetic_speech(0.5, pitch=100.0 + 5 * (seed % 20), seed=seed)


def load(location: str) -> BandEnergyModel:
    return BandEnergyModel(int(Path(location).name.removeprefix("v")))


@pytest.fixture
def active(tmp_path: Path) -> ActiveModel:
    store = AnnotationStore(tmp_path)
    recognizer = Recognizer(EnergyDetector(), BandEnergyModel(0), None, None)
    active = ActiveModel(store, recognizer, load, base="v0")
    for seed in range(CLIPS):
        clip = store.add_clip(
            speech(seed), source="test", speaker=f"speaker {seed % 10}", consent=("research", "training")
        )
        store.add_correction(clip.id, NewVote("ann", "correct", label=("fear", "sadness")[seed // 10 % 2]))
    return active


def start_run(active: ActiveModel, status: str | None = None) -> int:
    """A run that gets as far as its sides; with a status it ends so."""
    store = active.store
    run = begin_run(store, active.base_version.id, "ann")
    record_holdout(store, run.id, hold_out(store, training_examples(store)))
    if status is not None:
        store.finish_training_run(run.id, status, {}, "done")
    return run.id


def test_splits_are_kept_and_looks_are_counted(active: ActiveModel) -> None:
    store = active.store
    first = hold_out(store, training_examples(store))
    start_run(active, "refused")
    again = hold_out(store, training_examples(store))
    assert (again.training, again.held_out, again.unit) == (first.training, first.held_out, first.unit)
    assert (first.looks, again.looks) == (0.0, 1.0)
    start_run(active, "failed")
    assert hold_out(store, training_examples(store)).looks == 1.0, "a run without a decision has not looked"
    assert hold_out(store, training_examples(store), "text").looks == 0.0
    assert set(read_looks(store)) == {e.clip.id for e in first.held_out} == set(held_out_clips(store))
    held = first.held_out[0].clip
    for seed in range(100, 112):
        clip = store.add_clip(speech(seed), source="test", speaker=held.speaker, consent=("training",))
        store.add_correction(clip.id, NewVote("ann", "correct", label="anger"))
    diluted = hold_out(store, training_examples(store))
    assert len(diluted.held_out) == len(first.held_out) + 12 and 0.0 < diluted.looks < 1.0


def test_a_run_that_waited_keeps_the_splits_of_the_run_before_it(active: ActiveModel) -> None:
    store = active.store
    store.snapshot(store.data_dir / "waiting.db")
    start_run(active, "refused")
    with AnnotationStore(store.data_dir, database=store.data_dir / "waiting.db") as snapshot:
        assert read_splits(snapshot) == {}
        holdout = hold_out(snapshot, training_examples(snapshot), history=store)
    assert holdout.looks == 1.0 and {e.clip.id for e in holdout.held_out} == set(held_out_clips(store))


def test_gold_clips_are_never_trained_on_and_compare_only_where_they_never_were(active: ActiveModel) -> None:
    store = active.store
    before = hold_out(store, training_examples(store))
    start_run(active, "refused")
    trained, held = before.training[0].clip.id, before.held_out[0].clip.id
    fresh = store.add_clip(speech(200), source="test", consent=("training",)).id
    for clip_id in (trained, held, fresh):
        mark_gold(store, clip_id, "anger", by="ann")
    after = hold_out(store, training_examples(store))
    assert {e.clip.id for e in after.gold} == {held, fresh}
    assert all(e.soft_label == {"anger": 1.0} for e in after.gold)
    assert not {trained, held, fresh} & {e.clip.id for e in (*after.training, *after.held_out)}
    assert missing_feedback(store, training_examples(store)) is None


def test_the_difference_is_given_by_label_by_speaker_and_by_clip(active: ActiveModel) -> None:
    store = active.store
    start_run(active, "refused")
    store.add_clip(speech(300), source="test", consent=("research",))
    held = set(held_out_clips(store))
    new = add_version(store, "v1", "1" * 64)
    found = diff_versions(active, active.base_version, new)
    assert found.clips == len(held) + 1 and found.judged == found.held_out == len(held)
    detector = EnergyDetector()
    for changed in found.changed:
        audio = speech(changed.clip_id - 1 if changed.clip_id <= CLIPS else 300)
        spoken = trim_to_speech(audio, detector.detect(audio))
        assert changed.before == BandEnergyModel(0).classify(spoken).label != changed.after
        assert changed.after == BandEnergyModel(1).classify(spoken).label
        assert Path(changed.path).is_file()
        assert changed.clip_id in held or (changed.truth is None and changed.change == "unjudged")
    assert found.changed, "the stand-ins must differ somewhere"
    assert set(found.before["recall"]) == {"fear", "sadness"}  # type: ignore[call-overload]
    assert sum(speaker["clips"] for speaker in found.speakers.values()) == found.judged
    assert active.serving().version.name == "v0", "nothing was put to use"
    record = found.as_dict()
    assert record["changed"][0].keys() >= {"clip_id", "before", "after", "truth", "path", "change"}  # type: ignore[index]
    assert found.lines()[0].startswith(f"v0 -> v1: answers that differ: {len(found.changed)} of {found.clips}; ")


def test_no_more_clips_are_asked_than_wanted_and_none_that_was_trained_on(active: ActiveModel) -> None:
    start_run(active, "refused")
    for seed in range(400, 410):
        active.store.add_clip(speech(seed), source="test", consent=("research",))
    held = held_out_clips(active.store)
    assert [clip.id for clip in clips_to_ask(active.store, 5)] == held[:5]
    asked = [clip.id for clip in clips_to_ask(active.store, 1000)]
    assert asked == [*held, *range(CLIPS + 10, CLIPS, -1)]
    assert not {c for c, side in read_splits(active.store).items() if side == "training"} & set(asked)


def test_a_comparison_is_stopped_between_two_clips(active: ActiveModel) -> None:
    active.store.add_clip(speech(300), source="test", consent=("research",))
    told = []

    def stop_soon(done: int, total: int) -> None:
        told.append((done, total))
        if done == 2:
            raise SerError("Stopped.")

    total = 3 * len(clips_to_ask(active.store, 1000))
    with pytest.raises(SerError, match="Stopped"):
        diff_versions(active, active.base_version, add_version(active.store, "v1", "1" * 64), on_step=stop_soon)
    assert told == [(0, total), (1, total), (2, total)]


def test_versions_of_different_models_are_not_compared(active: ActiveModel) -> None:
    words = active.store.ensure_base_version("words", "2" * 64, "text")
    with pytest.raises(StoreError, match="choose two of one"):
        diff_versions(active, active.base_version, words)


def test_an_erased_clip_is_in_no_split_any_more(active: ActiveModel) -> None:
    start_run(active, "refused")
    clip_id = held_out_clips(active.store)[0]
    assert main(["--data-dir", str(active.store.data_dir), "erase", "--clip", str(clip_id)]) == 0
    assert clip_id not in read_splits(active.store)


def test_trained_clips_are_compared_on_where_there_are_no_others(active: ActiveModel) -> None:
    store = active.store
    run = start_run(active, "refused")
    with store.database.writing() as connection:
        connection.execute("UPDATE run_clips SET side = 'out of fold' WHERE training_run_id = ?", (run,))
    found = diff_versions(active, active.base_version, add_version(store, "v1", "1" * 64))
    assert found.clips == found.trained == CLIPS and found.held_out == 0
    assert f"trained on: {CLIPS}." in found.lines()[0]
