"""Soft labels of clips with a single vote: careful raters are believed, listeners who guess are not."""

import numpy as np
import pytest

from annotations.learning.labels.single_votes import FEWEST, confusion, weigh_single_votes
from ser.labels import EMOTIONS

NEUTRAL = EMOTIONS.index("neutral")
EYE = np.eye(len(EMOTIONS))


def drawn(clips: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Labels, and log probabilities by a model that knows a little of them."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(EMOTIONS), clips)
    logits = rng.normal(size=(clips, len(EMOTIONS))) + 1.5 * EYE[truth]
    return truth, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), rng


def listened(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.choice(len(EMOTIONS), p=confusion(1.0)[label]) for label in truth])


def test_votes_of_a_careful_rater_stand() -> None:
    truth, logs, _ = drawn()
    labels = weigh_single_votes(logs, EYE[truth], np.zeros(300, np.int64))
    assert (labels.argmax(axis=1) == truth).mean() > 0.98 and labels.max(axis=1).mean() > 0.9


def test_votes_of_listeners_who_say_neutral_in_doubt_are_softened() -> None:
    truth, logs, rng = drawn()
    votes = listened(truth, rng)
    labels = weigh_single_votes(logs, EYE[votes], np.zeros(300, np.int64))
    assert (labels.argmax(axis=1) == truth).mean() > (votes == truth).mean() + 0.1
    assert labels[:, NEUTRAL].sum() < 0.75 * (votes == NEUTRAL).sum()


def test_each_rater_is_taken_for_what_they_are() -> None:
    truth, logs, rng = drawn(600)
    raters = np.arange(600) % 2
    votes = np.where(raters == 0, truth, listened(truth, rng))
    labels = weigh_single_votes(logs, EYE[votes], raters)
    stands = labels.argmax(axis=1) == votes
    assert stands[raters == 0].mean() > 0.9 > stands[raters == 1].mean()


@pytest.mark.parametrize(("clips", "label"), [(FEWEST - 1, None), (100, 3)])
def test_few_votes_and_votes_for_one_label_stay(clips: int, label: int | None) -> None:
    truth, logs, _ = drawn(clips)
    votes = EYE[truth if label is None else np.full(clips, label)]
    assert weigh_single_votes(logs, votes, np.zeros(clips, np.int64)) is votes
