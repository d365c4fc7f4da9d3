"""The gain of the voice over votes alone: simulated listeners, useless predictions, clips that stay as they are."""

import numpy as np
import pytest

from annotations.learning.labels import soft_labels as evidence
from annotations.learning.labels.acoustic_consensus import LEAST_CLIPS, discriminate, estimate_truth
from annotations.learning.labels.soft_labels import EXPONENT, Evidence, refine_soft_labels, weigh_votes
from annotations.store.records import Correction
from ser.labels import EMOTIONS

KINDS = (0, 2, 3)


def vote(clip, rater, label, verdict="correct"):
    return Correction(0, clip, None, rater, verdict, label, None, None, "2026-01-01")


def crowd(clips=150, per_clip=3, seed=0):
    """Truths, votes of raters of whom two in three are right on half of the clips and one is a spammer, and sounds."""
    draw = np.random.default_rng(seed)
    truth = draw.choice(KINDS, clips)
    votes = []
    for clip in range(clips):
        for rater in range(per_clip):
            right = rater % 3 != 2 and draw.random() < 0.55
            votes.append(vote(clip, f"r{rater}", EMOTIONS[truth[clip] if right else draw.choice(KINDS)]))
    sounds = draw.normal(size=(clips, 20)) + 1.2 * np.eye(20)[truth]
    return truth, votes, sounds


def hits(evidence, truth):
    said = [max(shares, key=shares.get) for _, shares in sorted(evidence.soft_labels.items())]
    return np.mean([name == EMOTIONS[label] for name, label in zip(said, truth, strict=True)])


def test_clips_that_sound_alike_speak_for_one_another():
    gains = []
    for seed in range(3):
        truth, votes, sounds = crowd(seed=seed)
        alone = weigh_votes(votes)
        gains.append(hits(refine_soft_labels(alone, dict(enumerate(sounds))), truth) - hits(alone, truth))
    assert np.mean(gains) > 0.05


def test_uninformative_predictions_cost_little():
    losses = []
    for seed in range(3):
        truth, votes, sounds = crowd(seed=seed)
        alone = weigh_votes(votes)
        noise = np.random.default_rng(seed).normal(size=sounds.shape)
        losses.append(hits(alone, truth) - hits(refine_soft_labels(alone, dict(enumerate(noise))), truth))
    assert np.mean(losses) < 0.03


def test_the_likeliest_label_counts_more_and_stays_what_it_is(monkeypatch):
    _, votes, sounds = crowd()
    alone, embeddings = weigh_votes(votes), dict(enumerate(sounds))
    sharp = refine_soft_labels(alone, embeddings).soft_labels
    monkeypatch.setattr(evidence, "EXPONENT", 1.0)
    plain = refine_soft_labels(alone, embeddings).soft_labels
    assert {clip: max(shares, key=shares.get) for clip, shares in sharp.items()} == {
        clip: max(shares, key=shares.get) for clip, shares in plain.items()
    }
    shared = [clip for clip, shares in sharp.items() if len(shares) > 1]
    assert len(shared) > 10
    for clip in shared:
        first, second = sorted(sharp[clip], key=sharp[clip].get, reverse=True)[:2]
        odds = plain[clip][first] / plain[clip][second]
        assert sharp[clip][first] / sharp[clip][second] == pytest.approx(odds**EXPONENT)


def test_fewer_clips_than_directions_are_enough():
    truth, votes, sounds = crowd(clips=LEAST_CLIPS + 2)
    wide = np.hstack([sounds, np.random.default_rng(1).normal(size=(len(truth), 100))])
    alone = weigh_votes(votes)
    refined = refine_soft_labels(alone, dict(enumerate(wide)))
    assert refined.soft_labels != alone.soft_labels
    assert all(sum(shares.values()) == pytest.approx(1.0) for shares in refined.soft_labels.values())


def test_a_single_vote_stays_the_label_whatever_the_voice_says():
    truth, votes, sounds = crowd(per_clip=3)
    lone = len(truth)
    votes.append(vote(lone, "r0", EMOTIONS[0]))
    embeddings = dict(enumerate([*sounds, sounds[truth == KINDS[1]].mean(0)]))
    assert refine_soft_labels(weigh_votes(votes), embeddings).soft_labels[lone] == {EMOTIONS[0]: 1.0}


def test_gold_keeps_its_label_and_clips_without_a_prediction_keep_theirs():
    _, votes, sounds = crowd()
    alone = weigh_votes(votes, {3: EMOTIONS[5]})
    partly = refine_soft_labels(alone, {clip: sound for clip, sound in enumerate(sounds) if clip != 7})
    assert partly.soft_labels[3] == {EMOTIONS[5]: 1.0}
    assert partly.soft_labels[7] == alone.soft_labels[7]
    assert partly.soft_labels[8] != alone.soft_labels[8]
    assert partly.weights == alone.weights


def test_few_clips_and_no_votes_change_nothing():
    _, votes, sounds = crowd(clips=LEAST_CLIPS - 1)
    alone = weigh_votes(votes)
    assert refine_soft_labels(alone, dict(enumerate(sounds))) is alone
    assert refine_soft_labels(alone, {}) is alone
    nothing = Evidence()
    assert refine_soft_labels(nothing, dict(enumerate(sounds))) is nothing


def test_truth_by_ear_is_the_same_twice_and_sums_to_one():
    _, votes, sounds = crowd()
    ballots = weigh_votes(votes).ballots
    rows = [estimate_truth(ballots.columns, ballots.known, ballots.raters, ballots.labels, sounds) for _ in range(2)]
    assert np.array_equal(*rows)
    assert rows[0].sum(1) == pytest.approx(np.ones(len(sounds)))


def test_discriminants_do_not_see_the_clips_that_they_are_asked_of():
    draw = np.random.default_rng(0)
    points, labels = draw.normal(size=(60, 50)), draw.integers(0, 2, 60)
    said = discriminate(points, np.eye(2)[labels], np.arange(60) % 5)
    assert 0.25 < np.mean(said.argmax(1) == labels) < 0.75
    left_out = discriminate(points, np.eye(2)[labels], np.full(60, -1))
    assert np.array_equal(left_out, np.full((60, 2), 0.5))
