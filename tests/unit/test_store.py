import sqlite3
import threading

import numpy as np
import pytest
import soundfile

from annotations.commands.keeping import stats
from annotations.errors import (
    ClipNotFoundError,
    ConsentRequiredError,
    InvalidVoteError,
    NothingToUndoError,
    StoreError,
    TrainingInProgressError,
    VersionNotFoundError,
)
from annotations.raters.votes import effective_corrections
from annotations.store import AnnotationStore, NewClip, NewVote, grant, queries
from annotations.store.new_records import NewVersion
from ser.audio.decoding import decode_file
from ser.errors import SerError
from ser.labels import EMOTIONS
from tests.unit.stored import add_version, answer, begin_run, list_clips, newest_prediction, promote, recording


def files(store):
    return sorted(path.name for path in (store.data_dir / "clips").rglob("*") if path.is_file())


def save(store, *, consent=("research",), source="page", speaker=None, **changes):
    vote = NewVote(**{"rater": "ann", "verdict": "correct", "label": "fear", "intensity": 50, **changes})
    clip = NewClip(source, speaker, grants=grant(consent, vote.rater))
    return store.save_feedback(recording(), answer(), vote, clip)


def test_the_same_signal_is_one_clip_whose_consent_grows_and_whose_speaker_is_filled_in(store):
    first = store.add_clip(recording(), source="page", consent=["training"], consent_by="ann")
    second = store.add_clip(recording(), source="api", speaker="s1", consent=["publication", "training"])
    third = store.add_clip(recording(), source="api", speaker="s2", consent=["research"])
    assert first.id == second.id == third.id
    assert (third.speaker, third.source) == ("s1", "page")
    assert third.consent == ("research", "training", "publication")
    with store.reading() as connection:
        rows = connection.execute("SELECT purpose, given_by FROM consents ORDER BY id").fetchall()
    assert [tuple(row) for row in rows] == [("training", "ann"), ("publication", None), ("research", None)]


def test_a_stored_clip_reads_back_sample_for_sample(store):
    clip = store.add_clip(recording(3), source="page")
    again = decode_file(store.clip_path(clip))
    assert again.sha256 == clip.sha256 == recording(3).sha256
    assert soundfile.info(store.clip_path(clip)).subtype == "PCM_16"
    assert store.find_clip(clip.sha256) == store.get_clip(clip.id) == clip
    assert store.find_clip("0" * 64) is None


def test_samples_at_full_scale_are_stored_without_wrapping_around(store):
    loud = type(recording())(np.tile(np.array([1.0, -1.0, 1.2, -1.2], dtype=np.float32), 4000))
    clip = store.add_clip(loud, source="page")
    assert decode_file(store.clip_path(clip)).sha256 == loud.sha256 == clip.sha256


@pytest.mark.parametrize("consent", [(), [], ["resarch"]])
def test_without_consent_nothing_of_a_clip_is_written(store, consent):
    with pytest.raises(ConsentRequiredError):
        save(store, consent=consent)
    with pytest.raises(ConsentRequiredError):
        store.add_clip(recording(), source="page", consent=consent)
    assert files(store) == []
    assert list_clips(store) == []


def test_feedback_is_stored_whole_or_not_at_all(store):
    with pytest.raises(VersionNotFoundError, match="No model version is in use yet"):
        save(store)
    assert files(store) == []
    assert stats(store)["clips"] == 0
    store.ensure_base_version("embedded", "a" * 64)
    clip, vote = save(store)
    assert vote.clip_id == clip.id
    prediction = queries.get_prediction(store, vote.prediction_id)
    assert (prediction.label, prediction.transcript) == ("fear", "kids are talking")
    assert prediction.details["transcript"]["segments"][0]["text"] == "kids"
    assert prediction.details["notes"] == ["clipped"]
    assert clip.consent == ("research",)


def test_a_failed_save_leaves_a_recording_that_another_save_has_stored(store):
    store.add_clip(recording(), source="page")
    with pytest.raises(VersionNotFoundError):
        save(store)
    assert len(files(store)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rater": "  "}, "The rater's name is empty. Say who you are; any name will do."),
        ({"rater": "x" * 81}, "The rater's name has 81 characters; at most 80 are allowed. Shorten it."),
        ({"rater": "a\x00b"}, "The rater's name holds control characters. Remove them."),
        ({"rater": 5}, "The rater's name is of type int; expected text."),
        ({"verdict": "yes"}, "The verdict is 'yes'; expected one of accept, correct, skip, unsure."),
        ({"verdict": ["skip"]}, "The verdict is ['skip']; expected one of accept, correct, skip, unsure."),
        ({"label": None}, f"The verdict 'correct' needs a label. Choose one of {', '.join(EMOTIONS)}."),
        ({"label": "joy"}, f"The label is 'joy'; expected one of {', '.join(EMOTIONS)}."),
        ({"verdict": "skip"}, "The verdict 'skip' takes no label, but 'fear' was given. Leave one out."),
        ({"intensity": 101}, "The intensity is 101; expected a number from 0 to 100."),
        ({"intensity": float("nan")}, "The intensity is nan; expected a number from 0 to 100."),
        ({"intensity": "high"}, "The intensity is 'high'; expected a number from 0 to 100."),
        ({"transcript": "x" * 2001}, "The transcript has 2001 characters; at most 2000 are kept. Shorten it."),
        ({"transcript": "\ud800"}, "The transcript holds characters that are no text. Remove them."),
    ],
)  # fmt: skip
def test_votes_that_cannot_be_are_refused_in_a_sentence_and_leave_nothing(store, changes, message):
    with pytest.raises(InvalidVoteError) as caught:
        save(store, **changes)
    assert str(caught.value) == message
    assert files(store) == []


def test_names_have_one_spelling_and_empty_transcripts_are_none(store):
    clip = store.add_clip(recording(), source="page")
    vote = store.add_correction(
        clip.id, NewVote(" Jose\u0301   A ", "accept", label="fear", intensity=12.0, transcript=" ")
    )
    assert (vote.rater, vote.intensity, vote.transcript) == ("Jos\u00e9 A", 12, None)


def test_what_is_not_there_is_said_so(store):
    clip = store.add_clip(recording(), source="page")
    other = store.add_clip(recording(1), source="page")
    version = store.ensure_base_version("embedded", "a" * 64)
    prediction = store.add_prediction(other.id, answer(), version.id)
    with pytest.raises(ClipNotFoundError, match="There is no clip 99"):
        store.get_clip(99)
    with pytest.raises(StoreError, match="A number is larger than any the store can hold"):
        store.get_clip(10**30)
    with pytest.raises(ClipNotFoundError):
        store.add_correction(99, NewVote("ann", "skip"))
    with pytest.raises(VersionNotFoundError):
        store.add_prediction(clip.id, answer(), 99)
    with pytest.raises(StoreError, match=f"Prediction {prediction.id} is none of clip {clip.id}"):
        store.add_correction(clip.id, NewVote("ann", "skip"), prediction_id=prediction.id)
    store.clip_path(clip).unlink()
    with pytest.raises(ClipNotFoundError, match="is missing"):
        store.clip_path(clip)


def test_undo_takes_back_ones_own_votes_newest_first_and_keeps_them_on_record(store):
    clip = store.add_clip(recording(), source="page")
    first = store.add_correction(clip.id, NewVote("ann", "correct", label="fear"))
    store.add_correction(clip.id, NewVote("bob", "correct", label="anger"))
    second = store.add_correction(clip.id, NewVote("ann", "correct", label="sadness"))
    assert store.undo_last_correction(" ann ").id == second.id
    assert store.undo_last_correction("ann").id == first.id
    with pytest.raises(NothingToUndoError, match="ann has no vote left to undo"):
        store.undo_last_correction("ann")
    history = queries.clip_history(store, clip.id)
    assert [entry.correction.retracted_at is None for entry in history] == [False, True, False]
    assert [vote.label for vote in effective_corrections(store)] == ["anger"]


def test_votes_and_predictions_are_never_overwritten(store):
    clip = store.add_clip(recording(), source="page")
    version = store.ensure_base_version("embedded", "a" * 64)
    for label in ("fear", "anger"):
        store.add_prediction(clip.id, answer(label), version.id)
        store.add_correction(clip.id, NewVote("ann", "correct", label=label))
    history = queries.clip_history(store, clip.id)
    assert [entry.kind for entry in history] == ["prediction", "correction"] * 2
    assert [(entry.correction or entry.prediction).label for entry in history] == ["fear", "fear", "anger", "anger"]
    assert [entry.version and entry.version.name for entry in history] == ["embedded", None] * 2
    with store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM predictions").fetchone()[0] == 2
    assert newest_prediction(store, clip.id).label == "anger"


def test_the_base_model_is_recorded_once_and_newer_weights_take_its_place(store):
    with pytest.raises(VersionNotFoundError):
        store.active_version()
    old = store.ensure_base_version("embedded", "a" * 64)
    assert store.ensure_base_version("embedded", "a" * 64) == old == store.active_version()
    new = store.ensure_base_version("embedded", "b" * 64)
    assert (new.name, new.path) == ("embedded-bbbbbbbb", None)
    assert store.active_version() == new
    trained = add_version(store, "v2", "c" * 64, {"uar": 0.5})
    assert store.active_version() == new
    promote(store, trained.id, by="ann", reason="better")
    store.ensure_base_version("embedded", "d" * 64)
    assert store.active_version() == trained
    promote(store, new.id, by="ann", reason="back")
    assert store.active_version() == new
    with pytest.raises(VersionNotFoundError):
        promote(store, 99, by="ann", reason="")
    with pytest.raises(StoreError, match="A model version named 'v2' exists already"):
        add_version(store, "v2", "c" * 64)


def test_only_one_training_run_goes_on_at_a_time_and_it_ends_once(store):
    clip = store.add_clip(recording(), source="page")
    vote = store.add_correction(clip.id, NewVote("ann", "correct", label="fear"))
    base = store.ensure_base_version("embedded", "a" * 64)
    run = begin_run(store, base.id, "ann", [vote.id, vote.id], config={"epochs": 3})
    assert (run.status, run.config, run.finished_at) == ("running", {"epochs": 3}, None)
    with pytest.raises(TrainingInProgressError, match=f"Training run {run.id}, started by ann, is still going on"):
        begin_run(store, base.id, "bob")
    with pytest.raises(StoreError, match="cannot end as 'running'"):
        store.finish_training_run(run.id, "running", {}, None)
    with pytest.raises(StoreError, match="made no version"):
        store.finish_training_run(run.id, "promoted", {}, "better")
    assert store.get_training_run(run.id) == run
    done = store.finish_training_run(
        run.id, "promoted", {"uar": 0.5}, "better", NewVersion("v2", "c" * 64, "models/v2")
    )
    version = store.active_version()
    assert (version.name, version.path, version.training_run_id) == ("v2", "models/v2", run.id)
    assert (done.status, done.new_version_id, done.metrics) == ("promoted", version.id, {"uar": 0.5})
    assert done == store.get_training_run(run.id)
    with pytest.raises(StoreError, match="has ended before: it is promoted"):
        store.finish_training_run(run.id, "failed", {}, None)
    assert begin_run(store, base.id, "bob").id == run.id + 1


def test_of_many_starters_at_once_one_wins(store):
    base = store.ensure_base_version("embedded", "a" * 64)
    outcomes = []

    def start(number):
        try:
            outcomes.append(begin_run(store, base.id, "ann", config={"seed": number}).status)
        except SerError as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == sorted(["running", *[str(TrainingInProgressError)] * 7])


def test_a_snapshot_is_one_file_of_one_moment(store, tmp_path):
    clip = store.add_clip(recording(), source="page")
    path = store.snapshot(tmp_path / "copies" / "today.db")
    store.add_clip(recording(1), source="page")
    with AnnotationStore(store.data_dir, database=path) as copy:
        assert list_clips(copy) == [clip]
        assert copy.clip_path(clip).is_file()
    store.snapshot(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM clips").fetchone()[0] == 2
    connection.close()
    assert not list(path.parent.glob(".tmp-*"))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO corrections (clip_id, rater, verdict, label, created_at) VALUES (1, 'a', 'skip', 'fear', '')",
        "INSERT INTO corrections (clip_id, rater, verdict, created_at) VALUES (1, 'a', 'accept', '')",
        "INSERT INTO corrections (clip_id, rater, verdict, created_at) VALUES (99, 'a', 'skip', '')",
        "INSERT INTO corrections (clip_id, rater, verdict, intensity, created_at) VALUES (1, 'a', 'skip', 101, '')",
        "INSERT INTO consents (clip_id, purpose, created_at) VALUES (1, 'profit', '')",
        "INSERT INTO clips (sha256, duration, source, created_at) VALUES ('abc', 1.0, 'x', '')",
        "UPDATE clips SET duration = 'long'",
        "DELETE FROM clips",
    ],
)
def test_the_database_itself_refuses_what_cannot_be(store, statement):
    clip = store.add_clip(recording(), source="page")
    store.add_correction(clip.id, NewVote("ann", "skip"))
    with pytest.raises(StoreError, match="refused the operation"), store.database.writing() as connection:
        connection.execute(statement)
    assert len(list_clips(store)) == 1


def test_reading_connections_cannot_write(store):
    with pytest.raises(StoreError), store.reading() as connection:
        connection.execute("DELETE FROM clips")
