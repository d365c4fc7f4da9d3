import doctest
import json
import re

import pytest

from benchmarks.acoustic import cremad, cross_corpus, folds
from benchmarks.acoustic.cross_corpus import LABELS, main
from ser.errors import TrainingDataError
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
    make_corpus(folder / "cremad", ("c1", "c2", "c3", "c4", "c5", "c6"), (*FOUR, "fear"))
    (folder / "cremad" / "tfds_split.csv").write_text("split,speakers\ntrain,c1 c2 c3\nvalidation,c4\ntest,c5 c6\n")
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


def test_the_test_actors_of_cremad_decide_nothing(data, capsys, monkeypatch):
    fitted, compared = [], []
    fit, accuracy = cremad.fit, cremad.accuracy
    monkeypatch.setattr(cremad, "fit", lambda train, config: fitted.append(set(train.speakers)) or fit(train, config))
    monkeypatch.setattr(
        cremad, "accuracy", lambda head, part: compared.append(set(part.speakers)) or accuracy(head, part)
    )
    assert cremad.main(["--data", str(data), "--quick", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["clips"] == {"train": 15, "validation": 5, "test": 10}
    assert set(map(frozenset, fitted)) == {frozenset({"c1", "c2", "c3"})}
    assert set(map(frozenset, compared)) == {frozenset({"c4"})}
    chosen, shipped = result["figures"]["chosen on validation"], result["figures"]["shipped configuration"]
    assert chosen["validation_accuracy"] >= shipped["validation_accuracy"]
    # Labels differ by pitch: well above the fifth that chance gives.
    assert chosen["accuracy"] > 0.5 and set(chosen["recall"]) >= {*FOUR, "fear"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("split,speakers\ntrain,c1 c2\nvalidation,c4\ntest,c2\n", "has c2 in two parts"),
        ("split,speakers\ntrain,c1 c2\ntest,c5\n", "lacks the part(s) validation"),
        ("split,speakers\ntrain,c1\nvalidation,c4\ntest,someone\n", "no clips of the 1 actors of the part 'test'"),
    ],
)
def test_a_split_that_does_not_fit_the_corpus_is_refused(data, tmp_path, table, message):
    (tmp_path / "cremad").mkdir()
    for name in ("audio", "metadata.csv"):
        (tmp_path / "cremad" / name).symlink_to(data / "cremad" / name)
    (tmp_path / "cremad" / "tfds_split.csv").write_text(table)
    with pytest.raises(TrainingDataError, match=re.escape(message)):
        cremad.embed_parts(tmp_path, 0, copies=False)
