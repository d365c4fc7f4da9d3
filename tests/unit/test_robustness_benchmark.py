import doctest
import json

import numpy as np
import pytest
import soundfile

from benchmarks.acoustic import robustness
from benchmarks.acoustic.robustness import Clip, compare, main
from ser.types import SAMPLING_RATE, Audio
from tests.unit.benchmark_corpora import make_corpus


def clips_of(corpus, count):
    audio = Audio(np.full(8_000, 0.1, np.float32))
    labels = ("anger", "sadness")
    return [Clip(f"{index}.wav", corpus, labels[index % 2], audio) for index in range(count)]


def test_a_loss_is_given_by_corpus_and_on_their_mean():
    clips = clips_of("one", 40) + clips_of("two", 20)
    right = [clip.truth for clip in clips]
    half = [clip.truth if clip.corpus == "two" else "anger" for clip in clips]
    result = compare(clips, {"clean": right, "noise 10 dB": half, "noise 0 dB": half}, seed=0)
    row = result["conditions"]["noise 10 dB"]
    assert row["uar"] == {"one": 0.5, "two": 1.0, "mean": 0.75}
    assert [row["change"][name][0] for name in ("one", "two", "mean")] == [-0.5, 0.0, -0.25]
    assert row["change"]["two"] == [0.0, 0.0, 0.0]
    assert result["conditions"]["clean"]["change"]["mean"] == [0.0, 0.0, 0.0]
    assert result["target"]["missed_in"] == ["noise 10 dB", "noise 0 dB"]
    assert result["target"]["beyond_in"] == {"noise 10 dB": ["one"], "noise 0 dB": ["one"]}


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(robustness).failed == 0


def test_the_mean_of_one_corpus_changes_as_that_corpus_does():
    clips = clips_of("one", 50)
    worse = [clip.truth if index % 4 else "fear" for index, clip in enumerate(clips)]
    row = compare(clips, {"clean": [c.truth for c in clips], "telephone": worse}, seed=0)["conditions"]["telephone"]
    assert row["change"]["mean"] == pytest.approx(row["change"]["one"], abs=0.03)


def test_the_interval_holds_the_change():
    clips = clips_of("one", 60)
    worse = [clip.truth if index % 3 else "fear" for index, clip in enumerate(clips)]
    change = compare(clips, {"clean": [c.truth for c in clips], "telephone": worse}, seed=0)
    value, low, high = change["conditions"]["telephone"]["change"]["mean"]
    assert low < value < high < 0.0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_corpus(folder / "tiny", ("a", "b"), ("anger", "sadness"))
    (folder / "noise").mkdir()
    hiss = 0.1 * np.random.default_rng(0).standard_normal(8_000)
    soundfile.write(folder / "noise" / "5-1-A.flac", hiss, SAMPLING_RATE)
    return folder


def test_the_command_prints_one_object(data, capsys):
    options = ["--corpora", "tiny", "--speakers", "a", "--conditions", "noise 10 dB", "telephone", "--quick", "--json"]
    assert main(["--data", str(data), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["clips"] == {"tiny": 2}
    assert list(result["conditions"]) == ["clean", "noise 10 dB", "telephone"]
    assert {"seed", "versions", "machine", "sha256", "target"} <= set(result)
    assert all(set(row["uar"]) == {"tiny", "mean"} for row in result["conditions"].values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--speakers", "nobody"], "has no clip of nobody. Name others with --speakers"),
        (
            ["--speakers", "a", "--conditions", "rain"],
            "There is no condition rain; expected some of clean, noise 20 dB",
        ),
    ],
)
def test_what_is_not_there_is_said(data, capsys, options, message):
    assert main(["--data", str(data), "--corpora", "tiny", *options]) == 2
    assert message in capsys.readouterr().err
