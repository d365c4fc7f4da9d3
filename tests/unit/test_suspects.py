"""Labels that are probably mistakes: found, kept apart, sent back to the queue, kept once labelled again."""

from pathlib import Path

import numpy as np

from annotations.learning.targets.head_run import record
from annotations.learning.targets.head_tuning import Feedback, HeadTuner
from annotations.learning.targets.label_errors import LEAST_CLIPS, MOST, find_suspects
from annotations.learning.targets.presets import QUICK
from annotations.review.filters import QueueFilter
from annotations.review.queue import next_clip, queue_length
from annotations.review.suspects import Suspect, cleared_suspects, open_suspects, record_suspects, withdraw_suspects
from annotations.store import AnnotationStore, NewVote
from annotations.store.records import Correction, FeedbackExample
from ser.acoustic.head import ClassifierHead
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from tests.unit.stored import begin_run


def collection(clips=120, mistakes=6, seed=0):
    """Clips of three labels and four speakers; some have another label than they sound like."""
    draw = np.random.default_rng(seed)
    truth = np.arange(clips) % 3
    embeddings = draw.normal(size=(clips, 10))
    embeddings[np.arange(clips), truth] += 4.0
    wrong = draw.choice(clips, mistakes, replace=False)
    said = truth.copy()
    said[wrong] = (truth[wrong] + 1) % 3
    groups = [f"s{number % 4}" for number in range(clips)]
    return embeddings, np.eye(len(EMOTIONS))[said], groups, truth, set(wrong.tolist())


def test_mistakes_are_found_with_the_label_that_they_sound_like():
    embeddings, shares, groups, truth, wrong = collection()
    found = find_suspects(embeddings, shares, groups)
    assert {place for place, _, _ in found} == wrong
    assert all(label == truth[place] for place, label, _ in found)
    margins = [margin for _, _, margin in found]
    assert margins == sorted(margins, reverse=True)


def test_votes_stay_as_they_are_without_need_or_means():
    embeddings, shares, groups, _, _ = collection(mistakes=0)
    assert find_suspects(embeddings, shares, groups) == []
    embeddings, shares, groups, _, _ = collection(LEAST_CLIPS - 1)
    assert find_suspects(embeddings, shares, groups) is None
    noise = np.random.default_rng(1).normal(size=(120, 10))
    assert find_suspects(noise, collection()[1], collection()[2]) is None


def test_no_more_than_a_share_is_suspected():
    embeddings, shares, groups, _, _ = collection(mistakes=25)
    assert len(find_suspects(embeddings, shares, groups)) <= MOST * len(embeddings)


def test_a_suspect_comes_back_to_its_raters_and_is_trained_on_afterwards(tmp_path: Path):
    with AnnotationStore(tmp_path) as store:
        version = store.ensure_base_version("embedded", "a" * 64)
        clips = [
            store.add_clip(synthetic_speech(1.0, seed=n), source="test", speaker="s", consent=("training",)).id
            for n in range(2)
        ]
        for clip in clips:
            store.add_correction(clip, NewVote("ann", "correct", label="fear"))
        assert next_clip(store, "ann") is None
        run = begin_run(store, version.id, "ann")
        suspect = Suspect(clips[0], "fear", "anger", 0.8)
        record_suspects(store, run.id, [suspect])
        record_suspects(store, run.id, [suspect])
        given = next_clip(store, "ann", filters=QueueFilter(suspected=True))
        assert given is not None and given.clip.id == clips[0]
        assert queue_length(store, "ann") == 1 and queue_length(store, "bob", QueueFilter(suspected=True)) == 1
        withdraw_suspects(store, [clips[0], clips[1]])
        assert next_clip(store, "ann") is None, "a later run believes it"
        record_suspects(store, run.id, [suspect])
        store.add_correction(clips[0], NewVote("bob", "correct", label="fear"))
        withdraw_suspects(store, [clips[0]])
        with store.reading() as connection:
            assert open_suspects(connection) == [] and cleared_suspects(connection) == [clips[0]]
        assert next_clip(store, "ann") is None


def test_a_later_run_that_knows_more_trains_on_it_again(tmp_path: Path):
    embeddings, shares, groups, _, wrong = collection()
    with AnnotationStore(tmp_path) as store:
        version = store.ensure_base_version("embedded", "a" * 64)
        feedback = []
        for number, group in enumerate(groups):
            audio = synthetic_speech(0.2, seed=number)
            clip = store.add_clip(audio, source="test", speaker=group, consent=("training",))
            vote = store.add_correction(clip.id, NewVote("ann", "correct", label="fear"))
            feedback.append(FeedbackExample(clip, {"fear": 1.0}, 1, group, (vote.id,)))
        run = begin_run(store, version.id, "ann")
        clips = [example.clip.id for example in feedback]
        fine = next(place for place in range(len(clips)) if place not in wrong)
        record_suspects(store, run.id, [Suspect(clips[fine], "fear", "anger", 0.8)])
        shares_of = [EMOTIONS[place] for place in shares.argmax(1)]
        with store.reading() as connection:
            waiting = open_suspects(connection)
        given = Feedback(
            clips,
            groups,
            embeddings[:, None].astype(np.float16),
            embeddings,
            [
                Correction(n, clip, None, "ann", "correct", label, None, None, "t")
                for n, (clip, label) in enumerate(zip(clips, shares_of, strict=True))
            ],
            suspected=waiting,
        )
        kernel = np.zeros((10, len(EMOTIONS)), np.float32)
        head = ClassifierHead(EMOTIONS, kernel[:, 0], kernel[:, 0] + 1, kernel, kernel[0], 1.0, "drawn", "0" * 64)
        tuner = HeadTuner(head, QUICK)
        chosen = tuner.select(given)
        assert set(range(len(clips))) - set(chosen.rows.tolist()) == wrong
        record(store, run.id, given, chosen.suspects)
        with store.reading() as connection:
            assert set(open_suspects(connection)) == {clips[place] for place in wrong}
