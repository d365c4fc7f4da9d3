import doctest
import json

import pytest

from benchmarks.acoustic import cross_corpus, folds
from benchmarks.acoustic.cross_corpus import LABELS, main
from tests.unit.benchmark_corpora import make_corpus

FOUR = ("anger", "happiness", "neutral", "sadness")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three corpora: two with a neutral of their own and one in which calm is all there is."""
    folder = tmp_path_factory.mktemp("data")
    make_corpus(folder / "one", ("a", "b", "c"), (*FOUR, "calm", "fear"))
    make_corpus(folder / "two", ("d", "e", "f"), ("anger", "calm", "happiness", "sadness"))
    make_corpus(folder / "tess", ("g", "h"), FOUR)
    make_corpus(folder / "ravdess", ("r1", "r2", "r3", "r4"), (*FOUR, "calm"))
    (folder / "ravdess" / "emobox_folds.csv").write_text("fold,test_speakers\n1,r1 r3\n2,r2 r4\n")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(cross_corpus).failed == 0


def test_each_corpus_is_predicted_by_a_head_trained_on_the_others(data, capsys):
    assert main(["--data", str(data), "--corpora", "one", "two", "tess", "--quick", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    ways = {"plain", "source", "speaker", "source, mix unknown", "speaker, mix unknown"}
    assert set(result["figures"]) == ways == set(result["mean_uar"])
    plain = result["figures"]["plain"]
    # Fear is none of the four; calm is neutral only where there is no other.
    assert {name: row["n"] for name, row in plain.items()} == {"one": 12, "two": 12, "tess": 8}
    assert all(set(row["recall"]) == set(LABELS) and 0.0 <= row["ece"] <= 1.0 for row in plain.values())
    # Labels differ by pitch, which is the same in all corpora: well above the quarter that chance gives.
    assert result["mean_uar"]["plain"] > 0.5


def test_a_corpus_that_is_only_measured_on_is_not_trained_on(data, monkeypatch):
    trained_on = []
    fit = cross_corpus.fit
    monkeypatch.setattr(
        cross_corpus, "fit", lambda train, seed: trained_on.append(set(train.corpora)) or fit(train, seed)
    )
    options = ["--data", str(data), "--corpora", "one", "two", "tess", "--left-out", "one", "tess", "--quick", "--json"]
    assert main(options) == 0
    assert trained_on == [{"two"}, {"one", "two"}]


def test_a_corpus_that_is_not_there_cannot_be_left_out(data, capsys):
    assert main(["--data", str(data), "--corpora", "one", "two", "--left-out", "ten"]) == 2
    assert "ten cannot be left out of" in capsys.readouterr().err


def test_no_actor_of_a_fold_is_trained_on(data, capsys, monkeypatch):
    fitted = []
    fit = folds.fit_fold
    monkeypatch.setattr(folds, "fit_fold", lambda train, seed: fitted.append(set(train.speakers)) or fit(train, seed))
    assert folds.main(["--data", str(data), "--quick", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["folds"]) == {"1", "2"} and result["clips"] == 20
    assert {"plain", "adapted by 16"} <= set(result["uar"])
    assert [speakers <= {"r2", "r4"} for speakers in fitted] == [True] * 3 + [False] * 3
    assert all(speakers <= {"r1", "r3"} for speakers in fitted[3:])
