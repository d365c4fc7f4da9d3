import doctest
import json
import os
from configparser import ConfigParser
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.peers import __main__ as peers
from benchmarks.peers import folds as peers_folds
from benchmarks.peers import functionals as peers_functionals
from benchmarks.peers.__main__ import draw_rows, main, run_mfcc, run_opensmile
from benchmarks.peers.environment import Environment, PeerError, ensure_environment, run_in
from benchmarks.peers.folds import read_folds, score_folds
from benchmarks.peers.functionals import FEATURE_SETS, standardise, train_ridge, train_svm
from benchmarks.peers.nkululeko import RECIPES, configuration, copy_recordings, write_tables
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
    return read_folds(data / "ravdess")


def separable(count=60, features=40):
    """Three labels, each with a direction of its own in the noise."""
    generator = np.random.default_rng(0)
    truth = np.array(["anger", "fear", "sadness"])[np.arange(count) % 3]
    values = generator.standard_normal((count, features)).astype(np.float32)
    values[:, :3] += 5.0 * np.eye(3, dtype=np.float32)[np.arange(count) % 3]
    return values, truth


@pytest.mark.parametrize("module", [peers, peers_folds, peers_functionals])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


def test_calm_stays_apart_and_no_actor_is_in_two_folds(folds):
    assert len(folds) == 24 and set(folds.labels) == set(LABELS)
    by_fold = [{s for s, n in zip(folds.speakers, folds.numbers, strict=True) if n == fold} for fold in (1, 2)]
    assert by_fold == [{"r1", "r3"}, {"r2", "r4"}]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("1,r1 r3\n2,r2\n", "r4 in no fold"),
        ("1,r1 r3\n2,r2 r4 r1\n", "r1 is in two folds"),
    ],
)
def test_folds_that_do_not_fit_the_corpus_are_refused(tmp_path, table, message):
    make_corpus(tmp_path / "ravdess", ACTORS, LABELS)
    (tmp_path / "ravdess" / "emobox_folds.csv").write_text(f"fold,test_speakers\n{table}")
    with pytest.raises(TrainingDataError, match=message):
        read_folds(tmp_path / "ravdess")


def test_the_mean_is_of_the_folds_and_not_of_the_clips(folds):
    answers = [label if fold == 1 else "anger" for label, fold in zip(folds.labels, folds.numbers, strict=True)]
    scores = score_folds(folds, answers)
    assert scores["uar"] == [1.0, 0.3333] and scores["mean"] == 0.6667
    low, high = scores["ci"]
    assert low < 0.6667 < high


def test_a_quick_run_sees_every_label_of_every_fold(folds):
    few = folds.only(draw_rows(folds, 3, seed=0))
    for number in (1, 2):
        assert sorted(np.array(few.labels)[few.numbers == number]) == sorted(LABELS)


@pytest.mark.parametrize("train", [train_svm, train_ridge])
def test_a_linear_classifier_learns_what_can_be_learnt(train):
    values, truth = separable()
    groups = [f"g{index // 3 % 4}" for index in range(60)]
    scaled = standardise(values[:45], values)
    model = train(scaled[:45], truth[:45], groups[:45])
    assert (model.predict(scaled[45:]) == truth[45:]).mean() > 0.9


def test_ridge_counts_a_small_corpus_as_much_as_a_large_one():
    generator = np.random.default_rng(0)
    # The two corpora say the opposite of one feature; the small one alone knows the other feature.
    large, small = generator.standard_normal((200, 2)), generator.standard_normal((10, 2))
    truth = np.concatenate([np.where(large[:, 0] > 0, "a", "b"), np.where(small[:, 0] < 0, "a", "b")])
    values = np.concatenate([large, small]).astype(np.float32)
    model = train_ridge(values, truth, ["large"] * 200 + ["small"] * 10)
    weight = (model.coefficients[:, 0] @ model.known)[0] / np.abs(model.coefficients[:, 0]).sum()
    assert abs(weight) < 0.2, "the corpora cancel out only when they weigh the same"


def test_a_constant_feature_does_not_explode():
    reference = np.full((50, 1), 0.1, np.float32) + np.float32(1e-9)
    assert np.array_equal(standardise(reference, np.array([[0.2]], np.float32)), [[0.0]])


def test_mfcc_and_perceptron_are_scored_and_timed(folds):
    results = run_mfcc(folds, [decode_file(path).signal for path in folds.paths[:2]], seed=0)
    assert list(results) == ["MLP", "MLP, features standardised"]
    # Three pitches are easily told apart on actors that were not heard.
    assert results["MLP, features standardised"]["mean"] > 0.6
    assert all(0 < row["ms"]["median"] <= row["ms"]["p95"] for row in results.values())


@pytest.mark.skipif(os.name == "nt", reason="the environment's Python lies elsewhere")
def test_an_environment_is_made_once_and_again_where_its_packages_change(tmp_path):
    first = ensure_environment(Environment("empty", ()), tmp_path)
    (first.parent.parent / "mark").touch()
    assert run_in(first, ["-c", "import sys; print(sys.prefix)"]).strip() == str(first.parent.parent)
    assert ensure_environment(Environment("empty", ()), tmp_path) == first
    assert (first.parent.parent / "mark").exists(), "it was made again"
    with pytest.raises(PeerError, match="failed"):
        ensure_environment(Environment("empty", ("./no-such-folder",)), tmp_path)
    assert not (first.parent.parent / "mark").exists() and not (first.parent.parent / "peer.json").exists()


def test_an_environment_sees_none_of_our_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ours.py").touch()
    python = ensure_environment(Environment("empty", ()), tmp_path)
    with pytest.raises(PeerError, match="No module named 'ours'"):
        run_in(python, ["-c", "import ours"])


def test_nkululeko_is_told_the_folds(folds, tmp_path):
    recordings = copy_recordings(folds, tmp_path / "flac")
    assert np.abs(decode_file(recordings[0]).signal - decode_file(folds.paths[0]).signal).max() < 1e-4
    write_tables(folds, recordings, tmp_path)
    rows = [line for name in ("train", "test") for line in (tmp_path / f"{name}.csv").read_text().splitlines()[1:]]
    assert len(rows) == len(folds) and {row.rsplit(",", 1)[1] for row in rows} == {"1", "2"}
    config = ConfigParser()
    config.read_string(configuration(RECIPES["SVM, features per speaker"], tmp_path))
    assert config["FEATS"]["scale"] == "speaker" and config["MODEL"]["logo"] == "6"
    assert config["DATA"]["train"] == str(tmp_path / "train.csv")


def test_a_folder_without_ravdess_is_said(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "There is no emobox_folds.csv in" in capsys.readouterr().err


def test_the_command_prints_one_object(data, capsys, tmp_path):
    assert main(["--data", str(data), "--peers", "mfcc", "--quick", "--cache", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["peers"]) == {"mfcc"} and result["clips"] == 24
    assert result["embedded"]["ms"]["median"] > 0 and {"seed", "versions", "machine"} <= set(result)


def test_ours_answers_each_fold_by_a_head_fitted_on_the_others(data, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    arguments = ["--data", str(data), "--peers", "mfcc", "--ours", "--quick", "--json"]
    assert main([*arguments, "--cache", str(tmp_path)]) == 0
    ours = json.loads(capsys.readouterr().out)["peers"]["ours"]
    assert ours["ms"]["median"] > 0
    assert {"plain", "adapted by 16", "adapted by 59"} <= set(ours) and len(ours["plain"]["uar"]) == 2
    kept = json.loads((tmp_path / "so_far.json").read_text())
    assert set(kept["peers"]) == {"ours", "mfcc"} and kept["peers"]["ours"] == ours


@pytest.mark.slow
def test_opensmile_runs_in_an_environment_of_its_own(folds):
    cache = peers.peers_dir()
    if not (cache / "environments" / "opensmile" / "peer.json").is_file():
        pytest.skip("openSMILE's environment was not made yet; 'python -m benchmarks.peers' makes it")
    by_actor = replace(folds, numbers=np.array([ACTORS.index(speaker) for speaker in folds.speakers]))
    results = run_opensmile(by_actor, by_actor.only([0, 1]), cache)
    assert len(results) == 2 * len(FEATURE_SETS)
    assert results["ComParE + SVM"]["mean"] > 0.6
