"""Cohen's kappa between raters, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from annotations.raters.agreement import pairwise_kappa
from annotations.raters.ratings import Ratings
from ser.labels import EMOTIONS


def ratings_of(table: dict[str, list[int | None]]) -> Ratings:
    """From {rater: place of the label on each clip, None where there is no vote}."""
    names = tuple(sorted(table))
    votes = [
        (clip, n, label) for n, name in enumerate(names) for clip, label in enumerate(table[name]) if label is not None
    ]
    shares = np.zeros((len(votes), len(EMOTIONS)))
    for row, (_, _, label) in enumerate(votes):
        if label >= 0:
            shares[row, label] = 1.0
    return Ratings(
        np.array([clip + 10 for clip, _, _ in votes], dtype=np.int64),
        np.array([rater for _, rater, _ in votes], dtype=np.int64),
        names,
        shares,
        np.array([label < 0 for _, _, label in votes], dtype=np.bool_),
        {},
    )


def test_kappa_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 7, 60)
    table = {
        name: [int(t) if random.random() < skill else int(random.integers(0, 7)) for t in truth]
        for name, skill in (("ann", 0.9), ("bob", 0.6), ("cid", 0.1))
    }
    pairs = pairwise_kappa(ratings_of(table))
    assert [(p.first, p.second) for p in pairs] == [("ann", "bob"), ("ann", "cid"), ("bob", "cid")]
    for pair in pairs:
        assert pair.kappa == pytest.approx(cohen_kappa_score(table[pair.first], table[pair.second]))
        assert pair.share == pytest.approx(np.mean(np.equal(table[pair.first], table[pair.second])))
        assert pair.clips == 60


def test_only_shared_clips_with_labels_count_and_small_pairs_are_left_out() -> None:
    table = {"ann": [0, 1, 2, 3, 4, 5, None, -1], "bob": [0, 1, 2, 3, 4, 0, 1, 1], "cid": [None] * 5 + [1, 1, 1]}
    (pair,) = pairwise_kappa(ratings_of(table))
    assert (pair.first, pair.second, pair.clips) == ("ann", "bob", 6)
    assert pair.kappa == pytest.approx(cohen_kappa_score([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 0]))
    assert len(pairwise_kappa(ratings_of(table), least=2)) == 2


def test_raters_who_only_ever_gave_one_label_have_no_kappa() -> None:
    (pair,) = pairwise_kappa(ratings_of({"ann": [4] * 6, "bob": [4] * 6}))
    assert pair.share == 1.0 and pair.kappa is None


def test_nobody_has_voted() -> None:
    assert pairwise_kappa(ratings_of({})) == []
