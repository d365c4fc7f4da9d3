import doctest
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.peers import __main__ as peers
from benchmarks.peers import folds as peers_folds
from benchmarks.peers import opensmile
from benchmarks.peers.__main__ import draw_rows, main, run_mfcc, run_opensmile
from benchmarks.peers.folds import load_folds, score_folds
from benchmarks.peers.opensmile import (
    FEATURE_SETS,
    PeerError,
    ensure_environment,
    kernel,
    run_in,
    standardise,
    train_svm,
)
from ser.audio.decoding import decode_file
from ser.errors import TrainingDataError
from tests.unit.benchmark_corpora import make_corpus

LABELS = ("anger", "calm", "neutral")
ACTORS = ("r1", "r2", "r3", "r4")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_corpus(folder / "ravdess", ACTORS, LABELS, takes=2)
    (folder / "ravdess" / "emobox_folds.csv").write_text("fold,test_speakers\n1,r1 r3\n2,r2 r4\n")
    return folder


@pytest.fixture(scope="module")
def folds(data):
    return load_folds(data / "ravdess")


def separable(count=60, features=40):
    """Three labels, each with a direction of its own in the noise."""
    generator = np.random.default_rng(0)
    truth = np.array(["anger", "fear", "sadness"])[np.arange(count) % 3]
    values = generator.standard_normal((count, features)).astype(np.float32)
    values[:, :3] += 5.0 * np.eye(3, dtype=np.float32)[np.arange(count) % 3]
    return values, truth


# Of librosa's features the first takes half a minute to compile.
@pytest.mark.parametrize("module", [pytest.param(peers, marks=pytest.mark.slow), peers_folds, opensmile])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


def test_calm_stays_apart_and_no_actor_is_in_two_folds(folds):
    assert len(folds) == 24 and set(folds.truth.tolist()) == set(LABELS)
    by_fold = [{s for s, n in zip(folds.speakers, folds.numbers, strict=True) if n == fold} for fold in (1, 2)]
    assert by_fold == [{"r1", "r3"}, {"r2", "r4"}]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("1,r1 r3\n2,r2\n", "r4 is in 0 folds"),
        ("1,r1 r3\n2,r2 r4 r1\n", "r1 is in 2 folds"),
    ],
)
def test_folds_that_do_not_fit_the_corpus_are_refused(tmp_path, table, message):
    make_corpus(tmp_path / "ravdess", ACTORS, LABELS)
    (tmp_path / "ravdess" / "emobox_folds.csv").write_text(f"fold,test_speakers\n{table}")
    with pytest.raises(TrainingDataError, match=message):
        load_folds(tmp_path / "ravdess")


def test_the_mean_is_of_the_folds_and_not_of_the_clips(folds):
    answers = [label if fold == 1 else "anger" for label, fold in zip(folds.truth, folds.numbers, strict=True)]
    scores = score_folds(folds, np.array(answers))
    assert scores["uar"] == [1.0, 0.3333] and scores["mean"] == 0.6667
    low, high = scores["ci"]
    assert low < 0.6667 < high


def test_a_quick_run_sees_every_label_of_every_fold(folds):
    few = folds.take(draw_rows(folds, 1, seed=0))
    for number in (1, 2):
        assert sorted(few.truth[few.numbers == number]) == sorted(LABELS)


def test_a_support_vector_machine_separates_what_is_separable():
    values, truth = separable()
    groups = [f"g{index // 3 % 4}" for index in range(60)]
    scaled = standardise(values[:45], values)
    model = train_svm(scaled[:45], truth[:45], groups[:45])
    assert (model.predict(kernel(scaled[45:], scaled[:45])) == truth[45:]).mean() > 0.9
    assert model.best_params_["C"] in opensmile.COSTS


def test_a_constant_feature_does_not_explode():
    reference = np.full((50, 1), 0.1, np.float32) + np.float32(1e-9)
    assert np.array_equal(standardise(reference, np.array([[0.2]], np.float32)), [[0.0]])


@pytest.mark.slow
def test_mfcc_and_perceptron_are_scored_and_timed(folds):
    results = run_mfcc(folds, [decode_file(path).signal for path in folds.paths[:2]], seed=0)
    assert list(results) == ["MLP", "MLP, features standardised"]
    # Three pitches are easily distinguished on other actors.
    assert results["MLP, features standardised"]["mean"] > 0.6
    assert all(0 < row["ms"]["median"] <= row["ms"]["p95"] for row in results.values())


@pytest.mark.skipif(os.name == "nt", reason="the environment's Python lies elsewhere")
def test_an_environment_is_made_once_and_again_where_its_packages_change(tmp_path):
    first = ensure_environment(tmp_path / "empty", ())
    (first.parent.parent / "mark").touch()
    assert run_in(first, ["-c", "import sys; print(sys.prefix)"]).strip() == str(first.parent.parent)
    assert ensure_environment(tmp_path / "empty", ()) == first
    assert (first.parent.parent / "mark").exists(), "it was made again"
    with pytest.raises(PeerError, match="failed"):
        ensure_environment(tmp_path / "empty", ("./no-such-folder",))
    assert not (first.parent.parent / "mark").exists() and not (first.parent.parent / "peer.json").exists()


def test_an_environment_sees_no_other_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ours.py").touch()
    python = ensure_environment(tmp_path / "empty", ())
    with pytest.raises(PeerError, match="No module named 'ours'"):
        run_in(python, ["-c", "import ours"])


def test_a_folder_without_ravdess_is_said(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "There is no emobox_folds.csv in" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_prints_one_object(data, capsys, tmp_path):
    assert main(["--data", str(data), "--peers", "mfcc", "--quick", "--cache", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["peers"]) == {"mfcc"} and result["clips"] == 12
    assert result["embedded"]["ms"]["median"] > 0 and {"seed", "versions", "machine"} <= set(result)


@pytest.mark.slow
def test_opensmile_runs_in_an_environment_of_its_own(folds):
    cache = peers.default_cache_dir().with_name("peers")
    if not (cache / "environments" / "opensmile" / "peer.json").is_file():
        pytest.skip("openSMILE's environment was not made yet; 'python -m benchmarks.peers' makes it")
    by_actor = replace(folds, numbers=np.array([ACTORS.index(speaker) for speaker in folds.speakers]))
    results = run_opensmile(by_actor, by_actor.take(np.array([0, 1])), cache)
    assert len(results) == 2 * len(FEATURE_SETS)
    assert results["ComParE + SVM"]["mean"] > 0.6
