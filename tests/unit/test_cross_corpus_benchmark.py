import doctest
import hashlib
import json
from argparse import Namespace

import numpy as np
import pytest

from benchmarks import cross_corpus
from benchmarks.cross_corpus import ADAPTED_BY, copy_some, draw, main, read_four, run_functionals, trained_without
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from tests.unit.benchmark_corpora import make_corpus

FOUR = ("anger", "happiness", "neutral", "sadness")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two corpora: one with a neutral of its own and one in which calm is all there is."""
    folder = tmp_path_factory.mktemp("data")
    make_corpus(folder / "one", ("a", "b", "c"), (*FOUR, "calm", "fear"))
    make_corpus(folder / "two", ("d", "e", "f"), ("anger", "calm", "happiness", "sadness"))
    return folder


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(cross_corpus).failed == 0


def test_calm_is_neutral_only_where_there_is_no_other(data):
    one, two = (read_four(data / name) for name in ("one", "two"))
    assert sorted(example.hard_label for example in one) == sorted(FOUR * 3)
    assert sorted(example.hard_label for example in two) == sorted(FOUR * 3)
    assert {example.path.stem.split("_")[1] for example in one} == set(FOUR)
    assert {e.path.stem.split("_")[1] for e in two if e.hard_label == "neutral"} == {"calm"}


def test_a_draw_keeps_the_order_and_the_number(data):
    examples = read_four(data / "one")
    few = draw(examples, 5, seed=1)
    assert len(few) == 5 and few == [example for example in examples if example in few]
    assert draw(examples, None, seed=1) == examples


def test_a_small_copy_names_the_recordings_where_they_lie(data, tmp_path):
    make_corpus(tmp_path / "three", ("g",), ("anger", "sadness"), takes=3)
    few = load_corpus(copy_some(tmp_path / "three", tmp_path / "few" / "three", 2))
    assert len(few) == 4 and {example.corpus for example in few} == {"three"}
    assert few[0].path.is_file() and few[0].path.parent == tmp_path / "three" / "audio"
    with pytest.raises(TrainingDataError, match="Name the folder of the corpora with --data"):
        copy_some(tmp_path, tmp_path / "none", 2)


def test_functionals_are_normalised_per_speaker_or_not(data, tmp_path):
    """Kept features in which every speaker's own offset hides the label from all but the second way."""
    corpora = {name: read_four(data / name) for name in ("one", "two")}
    kept = tmp_path / "functionals" / "ComParE"
    kept.mkdir(parents=True)
    generator = np.random.default_rng(0)
    offsets = {name: 40.0 * generator.standard_normal(30) for name in "abcdef"}
    for example in (example for group in corpora.values() for example in group):
        row = offsets[example.speaker].copy()
        row[FOUR.index(example.hard_label)] += 6.0
        digest = hashlib.sha256(example.path.read_bytes()).hexdigest()[:24]
        np.save(kept / f"{digest}.npy", row.astype(np.float32))
    figures = run_functionals(corpora, ["one", "two"], tmp_path)
    plain, normalised = figures["ComParE + ridge, plain"], figures["ComParE + ridge, features per speaker"]
    assert [row["uar"] for row in normalised.values()] == [1.0, 1.0]
    assert all(row["uar"] < 0.8 and row["n"] == 12 for row in plain.values())


def test_a_trained_network_is_used_again_on_the_corpus_it_never_heard(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    quick = Namespace(quick=True, seed=0, noise=None)
    model = trained_without("two", [data / "one", data / "two"], tmp_path / "models", quick)
    assert set(model.meta.data["test_speakers"]) == {"d", "e", "f"}
    # Without --quick the recipe would take an hour here, were the model not used again.
    options = ["--corpora", "one", "two", "--left-out", "two", "--parts", "network", "--json"]
    assert main(["--data", str(data), "--models", str(tmp_path / "models"), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["clips"] == {"one": 12, "two": 12}
    assert len(result["figures"]) == len(ADAPTED_BY) and {"seed", "versions", "machine"} <= set(result)
    for way, rows in result["figures"].items():
        assert rows["two"]["n"] == 12 and set(rows["two"]["recall"]) == set(FOUR)
        assert result["mean_uar"][way] == rows["two"]["uar"]


def test_a_corpus_that_is_not_there_cannot_be_left_out(data, capsys):
    assert main(["--data", str(data), "--corpora", "one", "two", "--left-out", "ten", "--parts", "network"]) == 2
    assert "ten cannot be left out of one, two." in capsys.readouterr().err
