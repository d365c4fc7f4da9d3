import math

import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from ser.evaluation.metrics import (
    ECE_BINS,
    bootstrap_interval,
    confusion,
    ece,
    ece_by_chance,
    macro_f1,
    macro_f1_of,
    paired_bootstrap,
    per_class,
    recalls,
    uar,
    uar_of,
    war_of,
)
from ser.labels import EMOTIONS

# Hand-worked: a: 6 of 10 right, b: 3 of 4, c: 1 of 2. Columns sum to 7, 6 and 3.
MATRIX = np.array([[6, 3, 1], [0, 3, 1], [1, 0, 1]])


def draw(seed, n=400, labels=EMOTIONS):
    rng = np.random.default_rng(seed)
    truth = rng.choice(labels, n, p=rng.dirichlet(np.ones(len(labels)) * 2))
    guesses = rng.choice(labels, n)
    return truth.tolist(), np.where(rng.random(n) < 0.5, truth, guesses).tolist()


def test_figures_of_a_matrix_worked_by_hand():
    assert recalls(MATRIX).tolist() == [0.6, 0.75, 0.5]
    assert uar_of(MATRIX) == pytest.approx((0.6 + 0.75 + 0.5) / 3)
    assert war_of(MATRIX) == 10 / 16
    # F1 = 2 * right / (row + column): 12/17, 6/10, 2/5.
    assert macro_f1_of(MATRIX) == pytest.approx((12 / 17 + 0.6 + 0.4) / 3)
    c = per_class(MATRIX, "abc")["c"]
    assert (c.precision, c.recall, c.f1, c.support) == (pytest.approx(1 / 3), 0.5, pytest.approx(0.4), 2)


def test_a_class_absent_from_the_truth_is_left_out_of_the_means():
    matrix = np.array([[3, 1, 0], [0, 2, 2], [0, 0, 0]])
    assert uar_of(matrix) == (0.75 + 0.5) / 2
    assert math.isnan(recalls(matrix)[2])
    assert macro_f1_of(matrix) == pytest.approx((6 / 7 + 4 / 7) / 2)
    scores = per_class(matrix, "abc")["c"]
    assert (scores.precision, scores.recall, scores.f1, scores.support) == (0.0, 0.0, 0.0, 0)


def test_without_examples_figures_are_not_numbers():
    empty = np.zeros((2, 2), dtype=np.int64)
    assert math.isnan(uar_of(empty)) and math.isnan(war_of(empty)) and math.isnan(macro_f1_of(empty))
    assert math.isnan(ece(np.zeros((0, 2)), [], ["a", "b"]))


@pytest.mark.parametrize("seed", range(5))
def test_figures_agree_with_scikit_learn(seed):
    truth, predictions = draw(seed)
    matrix = confusion(truth, predictions, EMOTIONS)
    assert (matrix == confusion_matrix(truth, predictions, labels=EMOTIONS)).all()
    assert uar(truth, predictions, EMOTIONS) == pytest.approx(balanced_accuracy_score(truth, predictions))
    assert war_of(matrix) == np.mean(np.array(truth) == predictions)
    present = sorted(set(truth))
    expected = f1_score(truth, predictions, labels=present, average="macro")
    assert macro_f1(truth, predictions, EMOTIONS) == pytest.approx(expected)
    columns = precision_recall_fscore_support(truth, predictions, labels=EMOTIONS, zero_division=0)
    for index, scores in enumerate(per_class(matrix, EMOTIONS).values()):
        found = (scores.precision, scores.recall, scores.f1, scores.support)
        assert found == pytest.approx(tuple(column[index] for column in columns))


def test_unknown_names_and_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"unknown labels \['boredom'\], expected some of \['a', 'b'\]"):
        confusion(["boredom"], ["a"], ["a", "b"])
    with pytest.raises(ValueError, match="1 truths and 2 predictions"):
        confusion(["a"], ["a", "b"], ["a", "b"])
    with pytest.raises(ValueError, match="one length"):
        bootstrap_interval(["a", "b"], ["a", "b"], ["a", "b"], groups=["s"])


def test_calibration_error_is_the_weighted_gap_of_its_bins():
    # Bin of 0.6: right in 1 of 2, gap 0.1; bin of 0.9: right in 2 of 2, gap 0.1 -> weighted 0.1.
    rows = [[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]]
    assert ece(rows, ["a", "b", "a", "a"], ["a", "b"]) == pytest.approx(0.1)
    # In one single bin the gaps cancel: accuracy 3/4, mean confidence 3/4.
    assert ece(rows, ["a", "b", "a", "a"], ["a", "b"], bins=1) == pytest.approx(0.0)
    assert ECE_BINS == 15


def test_calibration_error_of_calibrated_answers_is_small_and_of_boasts_is_large():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(3), 20_000)
    truth = [["a", "b", "c"][rng.choice(3, p=row)] for row in rows[:5000]]
    assert ece(rows[:5000], truth, "abc") < 0.03
    boasts = np.eye(3)[rows[:5000].argmax(1)]
    assert ece(boasts, truth, "abc") > 0.2


def test_interval_surrounds_its_value_is_seeded_and_narrows_with_data():
    truth, predictions = draw(1)
    interval = bootstrap_interval(truth, predictions, EMOTIONS)
    assert interval.low < interval.value < interval.high
    assert interval.value == uar(truth, predictions, EMOTIONS)
    assert interval == bootstrap_interval(truth, predictions, EMOTIONS)
    assert interval != bootstrap_interval(truth, predictions, EMOTIONS, seed=1)
    larger = bootstrap_interval(truth * 10, predictions * 10, EMOTIONS)
    assert larger.high - larger.low < 0.5 * (interval.high - interval.low)


def test_interval_draws_whole_speakers():
    # Speaker x is always right and y always wrong: drawing speakers gives 0, 1/2 or 1, drawing clips about 1/2.
    truth = ["a", "b"] * 100
    predictions = ["a", "b"] * 50 + ["b", "a"] * 50
    speakers = ["x"] * 100 + ["y"] * 100
    by_speaker = bootstrap_interval(truth, predictions, ["a", "b"], groups=speakers)
    assert (by_speaker.low, by_speaker.high) == (0.0, 1.0)
    by_clip = bootstrap_interval(truth, predictions, ["a", "b"])
    assert 0.4 < by_clip.low and by_clip.high < 0.6
    assert bootstrap_interval(truth, predictions, ["a", "b"], groups=["x"] * 200) == by_clip


def test_interval_covers_the_true_value_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(3), 0
    for trial in range(200):
        truth = rng.choice(["a", "b"], 100)
        right = rng.random(100) < 0.7
        predictions = np.where(right, truth, np.where(truth == "a", "b", "a"))
        interval = bootstrap_interval(truth.tolist(), predictions.tolist(), ["a", "b"], resamples=200, seed=trial)
        covered += interval.low <= 0.7 <= interval.high
    assert 0.87 <= covered / 200 <= 0.99


def test_paired_difference_of_equal_models_is_nothing_and_of_a_better_one_is_positive():
    truth, worse = draw(2)
    same = paired_bootstrap(truth, worse, worse, EMOTIONS)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    better = [t if index % 3 == 0 else w for index, (t, w) in enumerate(zip(truth, worse, strict=True))]
    gain = paired_bootstrap(truth, worse, better, EMOTIONS)
    assert 0.0 < gain.low < gain.value < gain.high
    loss = paired_bootstrap(truth, better, worse, EMOTIONS)
    assert loss.value == pytest.approx(-gain.value) and loss.high == pytest.approx(-gain.low)


def test_paired_difference_is_tighter_than_its_two_intervals():
    truth, first = draw(4)
    second = [t if index % 20 == 0 else p for index, (t, p) in enumerate(zip(truth, first, strict=True))]
    gain = paired_bootstrap(truth, first, second, EMOTIONS)
    alone = bootstrap_interval(truth, first, EMOTIONS)
    assert gain.high - gain.low < 0.5 * (alone.high - alone.low)
    assert paired_bootstrap(truth, first, second, EMOTIONS).value > 0


def test_calibration_error_by_chance_is_what_honest_answers_show() -> None:
    rng = np.random.default_rng(5)
    confidence = rng.uniform(0.4, 0.95, 80)
    rows = np.stack([confidence, 1.0 - confidence], 1)
    # A confidence below one half is the other label's; what counts is the larger of both.
    sure = rows.max(1)
    seen = []
    for _ in range(200):
        right = rng.random(80) < sure
        truth = ["a" if (row[0] >= row[1]) == bool(hit) else "b" for row, hit in zip(rows, right, strict=True)]
        seen.append(ece(rows, truth, ["a", "b"]))
    assert ece_by_chance(rows) == pytest.approx(np.mean(seen), abs=0.01)
    assert math.isnan(ece_by_chance(np.zeros((0, 2))))
