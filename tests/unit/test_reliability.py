from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from annotations.raters import consensus
from annotations.raters.consensus import Priors, Votes
from annotations.raters.ratings import Ratings, read_ratings
from annotations.raters.reliability import agree
from annotations.raters.votes import gold_labels, mark_gold
from annotations.store import AnnotationStore, NewVote
from ser.labels import EMOTIONS
from tests.unit.stored import recording

# Source: Dawid & Skene 1979, table 1: 45 patients, fitness for anaesthesia from 1 to 4; the first three judgements
# are observer 1's, then one each of observers 2 to 5.
ANAESTHETISTS = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343 1111111 2223212
1211111 1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222 1111111 2322222 1111111 1111111
1121121 1111111 3333233 1111111 2222222 2223232 4334343 2212232 2323233 3333432 1111111 1111111 1212111 2322222
1211111 2222222 1111111
"""


@dataclass(frozen=True)
class Vote:
    """A rater's vote on a clip: {label: share}, empty if they name none."""

    clip_id: int
    rater: str
    shares: Mapping[str, float]
    unsure: bool = False


def ratings_of(votes: Iterable[Vote]) -> Ratings:
    """Votes by name as columns; shares are brought to 1."""
    votes = list(votes)
    names = sorted({vote.rater for vote in votes})
    code = {name: index for index, name in enumerate(names)}
    shares = np.array([[vote.shares.get(label, 0.0) for label in EMOTIONS] for vote in votes], dtype=np.float64)
    shares = shares.reshape(len(votes), len(EMOTIONS))
    total = shares.sum(1, keepdims=True)
    return Ratings(
        clips=np.array([vote.clip_id for vote in votes], dtype=np.int64),
        raters=np.array([code[vote.rater] for vote in votes], dtype=np.int64),
        names=tuple(names),
        shares=np.divide(shares, total, out=np.zeros_like(shares), where=total > 0),
        unsure=np.array([vote.unsure for vote in votes], dtype=np.bool_),
        scales={},
    )


def soft_labels(votes: Iterable[Vote]) -> dict[int, Mapping[str, float]]:
    """The soft labels of some votes."""
    return dict(agree(ratings_of(votes), {}).soft_labels)


def anaesthetists() -> Votes:
    rows = ANAESTHETISTS.split()
    labels = np.array([int(vote) - 1 for row in rows for vote in row])
    clips, observers = np.repeat(np.arange(len(rows)), 7), np.tile([0, 0, 0, 1, 2, 3, 4], len(rows))
    return Votes(clips, observers, np.eye(4)[labels], np.ones(len(labels)))


def test_dawid_and_skenes_own_figures() -> None:
    votes = anaesthetists()
    found = consensus.fit(votes, np.full(45, -1), 5, priors=Priors(0.0, 0.0, 0.5, 0.0))
    # Shares of the classes and observer 1's error rates to two places, as the votes of table 1 give them.
    assert found.shares.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    assert found.confusion[0].round(2).tolist() == [
        [0.89, 0.11, 0.00, 0.00],
        [0.07, 0.88, 0.05, 0.00],
        [0.00, 0.34, 0.66, 0.00],
        [0.00, 0.00, 0.56, 0.44],
    ]
    # Patient 3's votes tie at class 2 with three of class 1; the observers' records decide for 2.
    assert found.truth[2].argmax() == 1


def test_gold_holds_whatever_the_votes_say() -> None:
    gold = np.full(45, -1)
    gold[0] = 3
    found = consensus.fit(anaesthetists(), gold, 5)
    assert found.truth[0].tolist() == [0, 0, 0, 1]
    assert found.truth.sum(1) == pytest.approx(np.ones(45))
    assert found.confusion.sum(2) == pytest.approx(np.ones((5, 4)))


def simulated(raters: dict[str, float], clips: int, seed: int = 0) -> tuple[list[Vote], np.ndarray]:
    """Votes of raters who are right that often, and at random otherwise."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 7, clips)
    votes = []
    for name, hit in raters.items():
        said = np.where(random.random(clips) < hit, truth, random.integers(0, 7, clips))
        votes += [Vote(clip, name, {EMOTIONS[label]: 1.0}) for clip, label in enumerate(said.tolist())]
    return votes, truth


def test_raters_are_distinguished() -> None:
    votes, truth = simulated({"ann": 0.9, "bob": 0.6, "cid": 0.0, "dan": 0.0, "eve": 0.8}, 300)
    found = agree(ratings_of(votes), {})
    ann, bob, cid, dan, eve = found.raters
    assert [rater.rater for rater in found.raters] == ["ann", "bob", "cid", "dan", "eve"]
    assert ann.reliability > eve.reliability > bob.reliability + 0.1 > max(cid.reliability, dan.reliability) + 0.3
    assert cid.reliability == pytest.approx(1 / 7, abs=0.1)
    for rater in found.raters:
        assert rater.interval[0] < rater.reliability < rater.interval[1]
        assert rater.votes == 300
    recovered = np.array(
        [EMOTIONS.index(max(found.soft_labels[clip], key=found.soft_labels[clip].get)) for clip in range(300)]
    )
    assert (recovered == truth).mean() > 0.85


def test_few_votes_pull_towards_the_others_and_widen_the_interval() -> None:
    votes, _ = simulated({"ann": 0.8, "bob": 0.8, "cid": 0.8}, 200)
    newcomer = [Vote(0, "new", {"fear": 1.0})]
    new = agree(ratings_of([*votes, *newcomer]), {}).raters[3]
    ann = agree(ratings_of(votes), {}).raters[0]
    assert new.votes == 1
    assert new.reliability == pytest.approx(ann.reliability, abs=0.15)
    assert new.interval[1] - new.interval[0] > 2 * (ann.interval[1] - ann.interval[0])


def test_a_single_vote_is_weak_evidence_and_three_are_better() -> None:
    one = soft_labels([Vote(1, "ann", {"fear": 1.0})])[1]["fear"]
    three = soft_labels([Vote(1, name, {"fear": 1.0}) for name in ("ann", "bob", "cid")])[1]["fear"]
    assert 0.3 < one < 0.9 < three
    unsure = soft_labels([Vote(1, "ann", {"fear": 1.0}, unsure=True)])[1]["fear"]
    assert 1 / 7 < unsure < one


def test_soft_votes_and_votes_without_a_label() -> None:
    found = soft_labels([Vote(1, "ann", {"fear": 0.6, "sadness": 0.4}), Vote(2, "ann", {}), Vote(2, "bob", {}, True)])
    assert list(found) == [1]
    assert found[1]["fear"] > found[1]["sadness"] > max(found[1].get("anger", 0), found[1].get("neutral", 0))
    assert sum(found[1].values()) == pytest.approx(1)
    assert soft_labels([]) == {}


def test_gold_clips_measure_their_raters() -> None:
    # Two who never agree: without gold nobody knows which of them to believe.
    votes = [Vote(clip, "ann", {EMOTIONS[clip % 7]: 1.0}) for clip in range(70)]
    votes += [Vote(clip, "bob", {EMOTIONS[(clip * 3 + 1) % 7]: 1.0}) for clip in range(70)]
    gold = {clip: EMOTIONS[clip % 7] for clip in range(35)}
    found = agree(ratings_of(votes), gold)
    ann, bob = found.raters
    assert (ann.gold_right, ann.gold_total, bob.gold_total) == (35, 35, 35)
    assert ann.reliability > bob.reliability + 0.3
    assert all(
        max(found.soft_labels[clip], key=found.soft_labels[clip].get) == EMOTIONS[clip % 7] for clip in range(70)
    )


def test_from_the_store(tmp_path: Path) -> None:
    with AnnotationStore(tmp_path) as store:
        assert agree(read_ratings(store), {}).raters == []
        clips = [store.add_clip(recording(seed), source="page").id for seed in range(2)]
        for rater in ("ann", "bob"):
            store.add_correction(clips[0], NewVote(rater, "correct", label="fear"))
        store.add_correction(clips[1], NewVote("bob", "unsure"))
        store.add_correction(clips[1], NewVote("cid", "skip"))
        mark_gold(store, clips[0], "anger", by="ann")
        ann, bob = agree(read_ratings(store), gold_labels(store)).raters
    assert (ann.rater, ann.votes, ann.gold_right, ann.gold_total) == ("ann", 1, 0, 1)
    assert (bob.rater, bob.votes) == ("bob", 1)


def test_priors_count_as_votes() -> None:
    votes = Votes(np.array([0]), np.array([0]), np.array([[1.0, 0.0]]), np.ones(1))
    found = consensus.fit(votes, np.array([0]), 1, priors=Priors(rater=4, pooled=9, hit=0.5))
    # The pooled row: one real vote and 9 imagined ones, half of them hits.
    assert found.pooled[0].tolist() == pytest.approx([5.5 / 10, 4.5 / 10])
    assert found.confusion[0][0].tolist() == pytest.approx([(1 + 4 * 0.55) / 5, 4 * 0.45 / 5])
