import subprocess
import sys

import pytest

from annotations.commands.keeping import stats
from annotations.errors import ClipNotFoundError, InvalidVoteError
from annotations.raters.votes import effective_corrections, feedback_summary, training_examples
from annotations.review.items import get_review_item
from annotations.review.queue import next_clip, queue_length
from annotations.store import NewVote, queries
from annotations.store.new_records import NewVersion
from ser.labels import EMOTIONS
from tests.unit.stored import answer, begin_run, label_counts, newest_prediction, promote, recording

pytestmark = pytest.mark.usefixtures("base_version")


def add(store, seed, confidence=None, **details):
    clip = store.add_clip(recording(seed), source="page", **{"consent": ("research", "training"), **details})
    if confidence is not None:
        store.add_prediction(clip.id, answer(confidence=confidence), 1)
    return clip.id


def vote(store, clip_id, rater, label=None, verdict="correct", *, prediction_id=None, **details):
    return store.add_correction(clip_id, NewVote(rater, verdict, label=label, **details), prediction_id=prediction_id)


def order(store, rater):
    given = []
    while (item := next_clip(store, rater, exclude=given)) is not None:
        given.append(item.clip.id)
    return given


def test_the_queue_gives_the_least_certain_first_and_those_without_an_answer_last(store):
    unheard = add(store, 0)
    sure, unsure, middling = add(store, 1, 0.9), add(store, 2, 0.2), add(store, 3, 0.5)
    assert order(store, "ann") == [unsure, middling, sure, unheard]
    assert next_clip(store, "ann").prediction.label == "fear"
    # Only the newest prediction counts.
    store.add_prediction(unsure, answer(confidence=0.99), 1)
    assert order(store, "ann") == [middling, sure, unsure, unheard]


def test_each_rater_sees_a_clip_once_whatever_they_said_until_they_undo(store):
    first, second, third = add(store, 0, 0.2), add(store, 1, 0.4), add(store, 2, 0.6)
    vote(store, first, "ann", verdict="skip")
    vote(store, second, "ann", verdict="unsure")
    assert order(store, " ann ") == [third]
    assert queue_length(store, "ann") == 1
    assert order(store, "bob") == [first, second, third]
    store.undo_last_correction("ann")
    assert order(store, "ann") == [second, third]
    assert queue_length(store, "ann") == 2
    vote(store, second, "ann", "fear")
    vote(store, third, "ann", "fear")
    assert next_clip(store, "ann") is None
    assert (queue_length(store, "ann"), queue_length(store, "bob")) == (0, 3)
    with pytest.raises(InvalidVoteError):
        next_clip(store, " ")


def test_a_long_list_of_excluded_clips_is_no_error(store):
    clip_id = add(store, 0)
    assert next_clip(store, "ann", exclude=range(2, 100_000)).clip.id == clip_id


def test_a_review_item_holds_what_the_page_shows(store):
    clip_id = add(store, 0, 0.4)
    vote(store, clip_id, "ann", "fear")
    vote(store, clip_id, "bob", verdict="skip")
    item = get_review_item(store, clip_id)
    assert item.audio_path.is_file()
    assert item.raters == 1
    assert item.prediction.scores["fused"]["fear"] == 0.4
    with pytest.raises(ClipNotFoundError):
        get_review_item(store, 99)


def test_soft_labels_count_each_rater_once_by_their_newest_standing_vote(store):
    clip_id = add(store, 0, speaker="s1")
    vote(store, clip_id, "ann", "anger")
    changed = vote(store, clip_id, "ann", "fear", transcript="so it is")
    bob = vote(store, clip_id, "bob", "fear", verdict="accept")
    vote(store, clip_id, "cid", "sadness")
    vote(store, clip_id, "cid", verdict="unsure")
    dan = vote(store, clip_id, "dan", "sadness")
    vote(store, clip_id, "dan", "disgust")
    store.undo_last_correction("dan")
    (example,) = training_examples(store)
    assert example.soft_label == pytest.approx({"fear": 2 / 3, "sadness": 1 / 3})
    assert example.votes == 3
    assert example.correction_ids == (changed.id, bob.id, dan.id)
    assert (example.group, example.transcript) == ("s1", "so it is")
    counts = label_counts(store)
    assert list(counts) == list(EMOTIONS)
    assert {label: n for label, n in counts.items() if n} == {"fear": 2, "sadness": 1}


def test_training_sees_only_labelled_clips_with_consent_to_training(store):
    allowed = add(store, 0, session="monday")
    alone = add(store, 1)
    vote(store, allowed, "ann", "fear")
    vote(store, alone, "ann", "fear")
    vote(store, add(store, 2, consent=("research", "publication")), "ann", "fear")
    vote(store, add(store, 3), "ann", verdict="skip")
    add(store, 4)
    examples = training_examples(store)
    assert [example.clip.id for example in examples] == [allowed, alone]
    assert [example.group for example in examples] == ["monday", "unknown speakers of page"]


def test_withdrawn_consent_to_training_takes_a_clip_out_of_it(store):
    clip_id = add(store, 0)
    vote(store, clip_id, "ann", "fear")
    with store.database.writing() as connection:
        connection.execute(
            "INSERT INTO consents (clip_id, purpose, granted, created_at) VALUES (?, 'training', 0, '')", (clip_id,)
        )
    assert training_examples(store) == []
    assert store.get_clip(clip_id).consent == ("research",)
    add(store, 0)
    assert len(training_examples(store)) == 1


def test_the_summary_counts_what_there_is_and_what_is_new(store):
    first, second = add(store, 0, speaker="s1"), add(store, 1, speaker="s1")
    third = add(store, 2, consent=("research",))
    learned = [vote(store, first, "ann", "fear").id, vote(store, first, "bob", "fear").id]
    run = begin_run(store, 1, "ann", learned)
    store.finish_training_run(run.id, "promoted", {}, "", NewVersion("v2", "b" * 64, "models/v2"))
    vote(store, second, "ann", "anger")
    vote(store, third, "ann", "anger")
    vote(store, third, "bob", verdict="skip")
    summary = feedback_summary(store)
    assert (summary.votes, summary.clips, summary.raters, summary.groups) == (4, 3, 2, 1)
    assert (summary.training_clips, summary.single_vote_clips, summary.new_votes) == (2, 2, 2)
    assert summary.labels["anger"] == 2
    promote(store, 1, by="ann", reason="back to the embedded one")
    assert feedback_summary(store).new_votes == 4


def test_history_is_newest_first_and_shows_what_was_undone(store):
    clip_id = add(store, 0, 0.4)
    prediction = newest_prediction(store, clip_id)
    first = vote(store, clip_id, "ann", "fear", prediction_id=prediction.id)
    run = begin_run(store, 1, "ann", [first.id])
    second = vote(store, clip_id, "ann", "anger")
    store.undo_last_correction("ann")
    entries = queries.history(store, 10)
    assert [entry.kind for entry in entries] == ["correction", "training_run", "correction"]
    assert entries[0].correction.id == second.id
    assert entries[0].correction.retracted_at is not None
    assert entries[1].run == run
    assert entries[2].prediction == prediction
    assert entries[2].clip.id == clip_id
    assert len(queries.history(store, 2)) == 2


def test_a_clock_set_back_does_not_make_a_newer_vote_the_older_one(store):
    clip_id = add(store, 0)
    vote(store, clip_id, "ann", "fear")
    with store.database.writing() as connection:
        connection.execute("UPDATE corrections SET created_at = '2999-01-01T00:00:00.000000+00:00'")
    newer = vote(store, clip_id, "ann", "anger")
    assert [c.id for c in effective_corrections(store)] == [newer.id]
    assert store.undo_last_correction("ann").id == newer.id


def test_stats_tell_the_store_in_numbers(store):
    clip_id = add(store, 0, 0.4)
    vote(store, clip_id, "ann", "fear")
    vote(store, clip_id, "bob", verdict="skip")
    numbers = stats(store)
    assert (numbers["clips"], numbers["votes"], numbers["raters"], numbers["predictions"]) == (1, 1, 1, 1)
    assert numbers["verdicts"] == {"accept": 0, "correct": 1, "skip": 1, "unsure": 0}
    assert numbers["consent"] == {"research": 1, "training": 1, "publication": 0}
    assert numbers["sources"] == {"page": 1}
    assert numbers["version_in_use"] == "embedded"
    assert [version["name"] for version in numbers["versions"]] == ["embedded"]


def test_reading_and_writing_the_store_needs_no_torch():
    code = (
        "import sys, annotations.store.queries, annotations.cli;"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
