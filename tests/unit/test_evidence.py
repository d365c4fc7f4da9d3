"""Soft labels from all votes together: labels, weights, and simulated listeners against plain shares."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from annotations.learning.labels.soft_labels import read_evidence, weigh_votes
from annotations.raters.votes import mix_shares
from annotations.store import AnnotationStore, NewVote
from annotations.store.records import Correction
from benchmarks.loop.raters import Condition, draw_raters, read_confusion
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech


def vote(clip, rater, label=None, verdict="correct", shown=None):
    return Correction(0, clip, None, rater, verdict, label, None, None, "2026-01-01", answer_shown=shown)


def test_a_single_vote_counts_whole_and_is_the_label():
    evidence = weigh_votes([vote(1, "ann", "fear")])
    assert evidence.soft_labels == {1: {"fear": 1.0}}
    assert evidence.weights == {1: 1.0}


def test_no_labelled_vote_is_no_evidence():
    assert weigh_votes([vote(1, "ann", verdict="unsure")]).soft_labels == {}


def test_unsure_votes_lower_the_weight():
    votes = [vote(1, "ann", "fear"), vote(2, "ann", "anger"), vote(2, "bob", verdict="unsure")]
    evidence = weigh_votes(votes)
    assert evidence.weights[1] == 1.0
    assert evidence.weights[2] == pytest.approx(1 / 1.5)


def test_an_accepted_answer_counts_less_than_a_correction_and_a_blind_accept_whole():
    votes = [
        *(vote(clip, "ann", "fear") for clip in range(4)),
        vote(10, "ann", "fear", "accept", shown=True),
        vote(11, "ann", "fear", "accept", shown=False),
    ]
    weights = weigh_votes(votes).weights
    assert weights[10] == pytest.approx(0.5)
    assert weights[11] == 1.0


def test_accepted_answers_do_not_drown_the_corrections():
    votes = [vote(0, "ann", "fear"), *(vote(clip, "ann", "anger", "accept", shown=True) for clip in range(1, 41))]
    weights = weigh_votes(votes).weights
    assert sum(weight for clip, weight in weights.items() if clip) == pytest.approx(1.0)


def test_gold_clips_tell_who_is_right():
    gold = {clip: EMOTIONS[clip % 4] for clip in range(40)}
    votes = [vote(clip, "good", label) for clip, label in gold.items()]
    votes += [vote(clip, "bad", EMOTIONS[(clip * 7 + 3) % 4]) for clip in gold]
    votes += [vote(100, "good", "fear"), vote(100, "bad", "anger")]
    evidence = weigh_votes(votes, gold)
    assert evidence.raters["good"] > evidence.raters["bad"]
    assert evidence.soft_labels[100]["fear"] > 0.6
    assert evidence.soft_labels[0] == {"anger": 1.0}


def test_votes_of_held_out_clips_are_left_alone(tmp_path: Path):
    with AnnotationStore(tmp_path) as store:
        clips = [
            store.add_clip(synthetic_speech(1.0, seed=n), source="test", speaker=f"s{n}", consent=("training",))
            for n in range(2)
        ]
        for clip in clips:
            store.add_correction(clip.id, NewVote("ann", "correct", label="fear"))
        assert set(read_evidence(store, [clips[0].id]).soft_labels) == {clips[0].id}


def listeners(table, per_clip, seed, *, neutral=None, clips=400):
    """Simulated votes of listeners as `benchmarks.raters` draws them; truth and corrections."""
    random = np.random.default_rng(seed)
    condition = Condition(per_clip, clips=clips, neutral=neutral)
    known = np.flatnonzero(table.sum(1))
    rest = (1 - neutral) / (len(known) - 1) if neutral else 1 / len(known)
    truth = random.choice(known, clips, p=[neutral or rest if EMOTIONS[n] == "neutral" else rest for n in known])
    crowd = draw_raters(table, condition, random)
    votes = [
        vote(clip, f"r{rater}", EMOTIONS[random.choice(len(EMOTIONS), p=crowd[rater, truth[clip]])])
        for clip in range(clips)
        for rater in random.choice(condition.raters, per_clip, replace=False)
    ]
    return truth, votes


@pytest.mark.parametrize(("per_clip", "neutral", "least"), [(2, None, 0.03), (5, None, 0.08), (3, 0.5, -0.01)])
def test_labels_are_better_than_plain_shares_and_no_worse_where_half_is_neutral(shared_data, per_clip, neutral, least):
    table = read_confusion(shared_data / "crowd-votes" / "confusion.csv")
    gains = []
    for seed in range(2):
        truth, votes = listeners(table, per_clip, seed, neutral=neutral)
        weighed = weigh_votes(votes).soft_labels
        said = defaultdict(list)
        for one in votes:
            said[one.clip_id].append(one.label)
        right = [0.0, 0.0]
        for clip, label in enumerate(truth):
            for place, shares in enumerate((mix_shares([{label: 1.0} for label in said[clip]]), weighed[clip])):
                top = max(shares.values())
                best = [name for name, share in shares.items() if share > top - 1e-9]
                right[place] += (EMOTIONS[label] in best) / len(best)
        gains.append((right[1] - right[0]) / len(truth))
    print(per_clip, neutral, gains)
    assert np.mean(gains) >= least
