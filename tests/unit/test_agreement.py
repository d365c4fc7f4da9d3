import csv
from pathlib import Path

import krippendorff
import numpy as np
import pytest

from annotations.raters.agreement import (
    Agreement,
    agreement,
    agreement_by_label,
    as_dict,
    confusion_between_raters,
    in_words,
    label_agreement,
    scale_agreement,
)
from annotations.raters.ratings import Ratings, read_ratings
from annotations.store import AnnotationStore, NewVote
from ser.labels import EMOTIONS
from tests.unit.stored import recording

# Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units;
# alpha is 0.743 nominal and 0.849 interval there.
WORKED = """
1 2 3 3 2 1 4 1 2 * * *
1 2 3 3 2 2 4 1 2 5 * 3
* 3 3 3 2 3 4 2 2 5 1 *
1 2 3 3 2 4 4 1 2 5 1 *
"""
# Source: Wikipedia, "Krippendorff's alpha", the example of three coders: 0.691 nominal, 0.811 interval.
THREE_CODERS = """
* * * * * 3 4 1 2 1 1 3 3 * 3
1 * 2 1 3 3 4 3 * * * * * * *
* * 2 1 3 4 4 * 2 1 1 3 3 * 4
"""


def columns(table: str) -> tuple[np.ndarray, np.ndarray]:
    """(clips, values) of a table with a row a rater and a column a clip."""
    cells = [(clip, float(cell)) for row in table.split("\n") for clip, cell in enumerate(row.split()) if cell != "*"]
    return np.array([clip for clip, _ in cells]), np.array([value for _, value in cells])


def one_hot(values: np.ndarray) -> np.ndarray:
    return (values[:, None] == np.unique(values)[None]).astype(float)


def ratings(clips: np.ndarray, shares: np.ndarray) -> Ratings:
    """Votes of raters who each appear once a clip."""
    size = len(clips)
    nothing = dict.fromkeys(("intensity", "valence", "arousal"), np.full(size, np.nan))
    return Ratings(clips, np.zeros(size, dtype=int), ("ann",), shares, np.zeros(size, dtype=bool), nothing)


@pytest.mark.parametrize(
    ("table", "nominal", "interval"), [(WORKED, 0.743, 0.849), (THREE_CODERS, 0.691, 0.811)], ids=["2011", "coders"]
)
def test_alpha_is_as_published(table: str, nominal: float, interval: float) -> None:
    clips, values = columns(table)
    found = agreement(clips, one_hot(values), resamples=200)
    assert found.alpha is not None and found.low is not None and found.high is not None
    assert round(found.alpha, 3) == nominal
    assert found.low < found.alpha < found.high
    assert round(agreement(clips, values[:, None]).alpha or 0, 3) == interval


def test_alpha_is_what_the_krippendorff_package_computes() -> None:
    random = np.random.default_rng(3)
    clips = random.integers(0, 60, 400)
    labels = (random.integers(0, 7, 60)[clips] * (random.random(400) < 0.6) + random.integers(0, 7, 400)) % 7
    counts = np.zeros((60, 7), dtype=int)
    np.add.at(counts, (clips, labels), 1)
    shares = np.eye(7)[labels]
    found = agreement(clips, shares, resamples=0)
    assert found.alpha == pytest.approx(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))
    numbers = agreement(clips, labels[:, None].astype(float), resamples=0)
    assert numbers.alpha == pytest.approx(krippendorff.alpha(value_counts=counts, level_of_measurement="interval"))
    by_label = agreement_by_label(ratings(clips, shares), resamples=0)
    for index, label in enumerate(EMOTIONS):
        rest = np.stack([counts[:, index], counts.sum(1) - counts[:, index]], axis=1)
        expected = krippendorff.alpha(value_counts=rest, level_of_measurement="nominal")
        assert by_label[label].alpha == pytest.approx(expected)


def test_the_listeners_of_the_crowd_agree_as_published(shared_data: Path) -> None:
    # Source: the folder's own README: 0.28 for voice alone.
    with (shared_data / "crowd-votes" / "votes.csv").open(newline="", encoding="utf-8") as file:
        counts = [[int(row.get(label) or 0) for label in EMOTIONS] for row in csv.DictReader(file)]
    clips = np.repeat(np.arange(len(counts)), np.sum(counts, axis=1))
    labels = np.concatenate([np.repeat(np.arange(len(EMOTIONS)), row) for row in counts])
    found = label_agreement(ratings(clips, np.eye(len(EMOTIONS))[labels]))
    assert found.alpha == pytest.approx(0.28, abs=0.005)
    assert found.low is not None and found.high is not None
    assert 0.005 < found.high - found.low < 0.02
    assert found.votes > 68_000


def test_the_interval_narrows_with_more_clips_and_is_the_same_for_a_seed() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 7, 2000)
    clips = np.repeat(np.arange(2000), 3)
    labels = np.where(random.random(6000) < 0.6, truth[clips], random.integers(0, 7, 6000))
    shares = np.eye(7)[labels]
    many, few = agreement(clips, shares), agreement(clips[:300], shares[:300])
    assert many == agreement(clips, shares)
    assert many.high - many.low < 0.5 * (few.high - few.low)  # type: ignore[operator]
    # 0.6 + 0.4/7 of the votes are right: two raters agree by (0.6)² beyond chance.
    assert many.low < 0.36 < many.high  # type: ignore[operator]


def test_the_interval_of_many_clips_is_as_wide_as_their_number_says() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 7, 8000)
    clips = np.repeat(np.arange(8000), 2)
    shares = np.eye(7)[np.where(random.random(16_000) < 0.6, truth[clips], random.integers(0, 7, 16_000))]
    # 900 clips are drawn one by one, 8000 in groups.
    many, some = agreement(clips, shares), agreement(clips[:1800], shares[:1800])
    ratio = (some.high - some.low) / (many.high - many.low)  # type: ignore[operator]
    assert ratio == pytest.approx((8000 / 900) ** 0.5, rel=0.12)


def test_half_a_vote_is_half_as_far() -> None:
    clips = np.array([0, 0, 1, 1])
    far = agreement(clips, np.array([[1.0, 0], [0, 1], [1, 0], [1, 0]]))
    near = agreement(clips, np.array([[1.0, 0], [0.5, 0.5], [1, 0], [1, 0]]))
    assert near.share == pytest.approx(0.875)
    assert far.share == pytest.approx(0.5)


def test_nothing_is_claimed_where_nothing_is_known() -> None:
    nobody = Agreement(None, None, None, None, 0, 0)
    assert agreement(np.array([], dtype=int), np.zeros((0, 7))) == nobody
    assert agreement(np.array([1, 2, 3]), np.eye(3)) == nobody
    assert "no clip has votes of two people" in in_words(nobody)
    alike = agreement(np.array([1, 1, 2, 2]), np.array([[1.0, 0]] * 4))
    assert (alike.alpha, alike.low, alike.share, alike.clips, alike.votes) == (None, None, 1.0, 2, 4)
    assert "All votes say the same" in in_words(alike)
    by_label = agreement_by_label(ratings(np.array([1, 1]), np.eye(7)[[0, 0]]))
    assert by_label["anger"].share == 1.0
    assert by_label["fear"].share is None


@pytest.mark.parametrize(
    ("alpha", "low", "word"), [(0.85, 0.8, "Strong"), (0.7, 0.6, "Fair"), (0.3, 0.2, "Weak"), (0.1, -0.1, "chance")]
)
def test_words_for_figures(alpha: float, low: float, word: str) -> None:
    assert word in in_words(Agreement(alpha, low, alpha + 0.1, 0.5, 10, 20))


def test_confusion_between_raters() -> None:
    # Two clips: anger and fear on one, anger twice on the other.
    votes = ratings(np.array([1, 1, 2, 2]), np.eye(7)[[0, 2, 0, 0]])
    confusion = confusion_between_raters(votes)
    assert confusion[0] == pytest.approx([2 / 3, 0, 1 / 3, 0, 0, 0, 0])
    assert confusion[2] == pytest.approx([1, 0, 0, 0, 0, 0, 0])
    assert np.isnan(confusion[5]).all()
    assert confusion_between_raters(ratings(np.array([], dtype=int), np.zeros((0, 7)))).shape == (7, 7)


def test_the_store_is_read_with_newest_standing_votes(tmp_path: Path) -> None:
    with AnnotationStore(tmp_path) as store:
        assert label_agreement(read_ratings(store)).alpha is None
        clips = [store.add_clip(recording(seed), source="page").id for seed in range(3)]
        for rater, labels in {"ann": ("fear", "fear", "anger"), "bob": ("anger", "sadness", "anger")}.items():
            for clip, label in zip(clips, labels, strict=True):
                store.add_correction(clip, NewVote(rater, "correct", label=label, intensity=10 * clip))
        # A change of mind, then an undone one, and people who name no label.
        store.add_correction(clips[0], NewVote("bob", "correct", label="fear", intensity=10))
        store.add_correction(clips[1], NewVote("bob", "correct", label="neutral"))
        store.undo_last_correction("bob")
        store.add_correction(clips[1], NewVote("eve", "skip"))
        store.add_correction(clips[1], NewVote("zoe", "unsure"))
        found = label_agreement(read_ratings(store))
    # fear fear | fear sadness | anger anger
    expected = krippendorff.alpha([[0, 0, 1], [0, 2, 1]], level_of_measurement="nominal")
    assert found.alpha == pytest.approx(expected)
    assert (found.clips, found.votes) == (3, 6)
    assert as_dict(found)["alpha"] == round(expected, 4)


def test_scales_leave_out_those_who_gave_no_number() -> None:
    clips, values = columns(WORKED)
    votes = ratings(np.append(clips, 3), np.zeros((len(clips) + 1, 7)))
    scored = Ratings(
        votes.clips, votes.raters, votes.names, votes.shares, votes.unsure, {"intensity": np.append(values, np.nan)}
    )
    found = scale_agreement(scored, "intensity", resamples=0)
    assert round(found.alpha or 0, 3) == 0.849
    assert found.share is None
