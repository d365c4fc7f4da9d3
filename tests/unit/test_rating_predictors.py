"""Intensity, valence and arousal: predicted from votes if there are enough, kept if they agree with other speakers'."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.versions.card import card_text
from annotations.learning.versions.registry import list_entries
from annotations.raters.ratings import mean_ratings, read_ratings
from annotations.store import AnnotationStore, NewVote
from ser.acoustic.head import load_head
from ser.checkpoints.folder import Meta
from ser.errors import ModelUnavailableError
from ser.serialization import recognition_to_dict
from ser.training.ratings import concordance, fit_rating, rated_words, with_ratings
from tests.unit.forked_workers import forking
from tests.unit.labelled_store import PITCH, SPEAKERS, active_on, speech, write_base
from tests.unit.stored import recording
from tests.unit.test_heads import LABELS, clips, fitted
from ui.parts.presentation import answer_card
from ui.review.cards import answer

FOLDS = np.arange(120) % 6


def made_up(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Embeddings of six speakers, each with an offset of their own, and a rating that one direction tells."""
    draw = np.random.default_rng(seed)
    points = draw.normal(size=(120, 60)) + draw.normal(size=(6, 60))[FOLDS]
    ratings = 50 + 15 * points[:, 0] + noise * draw.normal(size=120)
    return points, ratings, [f"speaker {fold}" for fold in FOLDS]


def test_a_rating_is_predicted_on_other_speakers() -> None:
    points, ratings, groups = made_up(3.0)
    found = fit_rating(points, ratings, groups, FOLDS)
    assert found is not None and found.kept and found.concordance > 0.6 and (found.clips, found.speakers) == (120, 6)
    assert concordance(points @ found.weights + found.bias, ratings) > 0.9
    assert "valence is predicted, too (concordance 0." in rated_words({"valence": found})
    shuffled = fit_rating(points, np.random.default_rng(1).permutation(ratings), groups, FOLDS)
    assert shuffled is not None and not shuffled.kept
    assert "valence is not predicted yet" in rated_words({"valence": shuffled})


def test_too_few_ratings_are_left_alone() -> None:
    points, ratings, groups = made_up(1.0)
    few = np.where(np.arange(120) < 59, ratings, np.nan)
    assert fit_rating(points, few, groups, FOLDS) is None
    assert fit_rating(points, ratings, ["one"] * 60 + ["two"] * 60, FOLDS) is None
    assert fit_rating(points, np.full(120, 50.0), groups, FOLDS) is None


def test_a_rater_who_rates_everything_higher_does_not_move_the_clips_of_others(tmp_path: Path) -> None:
    with AnnotationStore(tmp_path / "data") as store:
        for seed in range(40):
            clip = store.add_clip(recording(seed), source="test", consent=("training",))
            for rater, more in (("ann", 0), ("bob", 30)) if seed % 2 else (("ann", 0),):
                store.add_correction(clip.id, NewVote(rater, "correct", label="fear", valence=seed + more))
        means = mean_ratings(read_ratings(store), range(1, 41))
    apart = np.diff(means["valence"])
    assert np.isnan(means["arousal"]).all() and np.abs(apart - 1).max() < 16 and abs(apart.mean() - 1) < 1


def test_a_head_keeps_its_predictors(tmp_path: Path) -> None:
    data = clips("one", LABELS, 120)
    head = fitted(data)
    ratings = 50 + 10 * data.plain[:, 0]
    found = fit_rating(head.standardise(data.plain), ratings, data.speakers, FOLDS)
    assert found is not None
    rated = with_ratings(head, {"arousal": found})
    rated.save(tmp_path / "head", Meta("rated", rated.labels))
    read, meta = load_head(tmp_path / "head")
    assert read.ratings == {"arousal": found.concordance} and meta.config["ratings"]
    values = [row["arousal"][0] for row in read.rate(data.plain)]
    assert concordance(np.array(values), ratings) > 0.8 and min(values) >= 0 and max(values) <= 100
    assert with_ratings(head, {}) is head and head.rate(data.plain) == [{}] * 120
    broken = replace(rated, ratings={"arousal": 0.5, "valence": 0.4})
    broken.save(tmp_path / "broken", Meta("broken", rated.labels))
    with pytest.raises(ModelUnavailableError, match="with weights of shapes"):
        load_head(tmp_path / "broken")


def test_a_run_learns_ratings_and_answers_show_them(tmp_path: Path) -> None:
    active = active_on(write_base(tmp_path / "base"), tmp_path / "data")
    for number in range(72):
        kind = sorted(PITCH)[number % 2]
        clip = active.store.add_clip(
            speech(kind, number), source="test", speaker=f"speaker {number % SPEAKERS}", consent=("training",)
        )
        arousal = {"sadness": 20, "happiness": 75}[kind] + number % 5
        active.store.add_correction(clip.id, NewVote("ann", "correct", label=kind, arousal=arousal, valence=50))
    before = active.recognizer.recognize(speech("sadness", 500))
    assert "ratings" not in recognition_to_dict(before) and 'class="ratings"' not in answer_card(before)
    retrainer = Retrainer(active, spawn=forking())
    end = retrainer.wait(lambda status: None, 0.1, retrainer.start("ann").id)
    assert end.state == "promoted" and "arousal is predicted, too (concordance" in end.message, end.message
    assert "valence" not in end.message
    version = active.refresh()
    answers = {kind: active.recognizer.recognize(speech(kind, 500)) for kind in PITCH}
    values = {kind: said.acoustic.ratings["arousal"][0] for kind, said in answers.items()}
    assert values["happiness"] - values["sadness"] > 25
    assert recognition_to_dict(answers["sadness"])["ratings"]["arousal"]["concordance"] > 0.5  # type: ignore[index]
    assert "agrees with raters" in answer_card(answers["sadness"])
    stored = active.store.add_prediction(1, answers["sadness"], version.id)
    assert "arousal <strong>" in answer(stored)
    entry = next(entry for entry in list_entries(active.store) if entry.version.id == version.id)
    assert "- ratings, concordance correlation on speakers left out: arousal 0." in card_text(entry, "embedded", None)
