from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser.acoustic.classifier import load_acoustic_model
from ser.acoustic.network import AcousticModelForAudioClassification
from ser.config import TrainConfig
from ser.errors import TrainingDataError
from ser.training import run, run_recipe
from ser.training.crossing import Answered, joint_temperature
from ser.training.dataset import FeatureSet
from ser.training.loop import Fit
from ser.types import Example
from tests.unit.voices import four_voices


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    return four_voices(tmp_path_factory.mktemp("clips"))


def write_corpus(folder: Path, examples: Sequence[Example]) -> Path:
    (folder / "audio").mkdir(parents=True)
    rows = ["file_name,label,speaker"]
    generator = np.random.default_rng(0)
    for example in examples:
        # Without noise of their own, these voices would pass for copies of each other.
        signal, rate = soundfile.read(example.path)
        soundfile.write(
            folder / "audio" / example.path.name, signal + 0.1 * generator.standard_normal(len(signal)), rate
        )
        rows.append(f"audio/{example.path.name},{example.label},{example.speaker}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_the_recipe_trains_measures_and_saves(clips: list[Example], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", clips)
    result = run_recipe(
        [corpus],
        tmp_path / "out",
        config=TrainConfig.tiny(epoch_size=24),
        epochs=2,
        seed=5,
        test_speakers=["s3"],
        dev_speakers=["s2"],
        cache_dir=tmp_path / "cache",
    )
    assert result.leaks.clean and set(result.test_uar) == {"corpus"}
    assert result.meta.data["speakers"] == ["s0", "s1"] and result.meta.data["test_speakers"] == ["s3"]
    assert result.meta.config["seed"] == 5 and result.meta.config["epochs"] == 2
    assert load_acoustic_model(tmp_path / "out").sha256 == result.meta.sha256


def test_the_recipe_fails_on_a_planted_copy(clips: list[Example], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", clips)
    copied = next(e for e in clips if e.speaker == "s0")
    planted = next(e for e in clips if e.speaker == "s3")
    (corpus / "audio" / planted.path.name).write_bytes((corpus / "audio" / copied.path.name).read_bytes())
    with pytest.raises(TrainingDataError, match=r"1 leak\(s\): the same audio is in .*Remove the copies"):
        run_recipe(
            [corpus],
            tmp_path / "out",
            config=TrainConfig.tiny(),
            test_speakers=["s3"],
            dev_speakers=["s2"],
            cache_dir=tmp_path / "cache",
        )
    assert not (tmp_path / "out").exists()


def test_the_recipe_draws_dev_speakers_where_none_are_named(clips: list[Example], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", clips)
    result = run_recipe(
        [corpus], tmp_path / "out", config=TrainConfig.tiny(epochs=1), cache_dir=tmp_path / "cache", test_speakers=[]
    )
    dev, training = set(result.meta.data["dev_speakers"]), set(result.meta.data["speakers"])
    assert dev and training and not dev & training
    with pytest.raises(TrainingDataError, match="Dev speakers nobody are not in the data"):
        run_recipe([corpus], tmp_path / "out2", dev_speakers=["nobody"], cache_dir=tmp_path / "cache")


def test_the_recipe_learns_from_dev_speakers_too_once_they_have_chosen(clips: list[Example], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", clips)
    figures = {}
    for refit in (False, True):
        result = run_recipe(
            [corpus],
            tmp_path / f"out-{refit}",
            config=TrainConfig.tiny(epochs=1, refit=refit),
            test_speakers=["s3"],
            dev_speakers=["s2"],
            cache_dir=tmp_path / "cache",
            checkpoint_dir=tmp_path / "kept",
        )
        figures[refit] = result.meta
        assert not (tmp_path / "kept").exists()
    assert figures[True].metrics["refit"] is True and "refit" not in figures[False].metrics
    assert figures[True].metrics["dev"] == figures[False].metrics["dev"]
    assert figures[True].sha256 != figures[False].sha256


def test_the_recipe_asks_every_speaker_for_its_temperature(clips: list[Example], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", clips)
    heard: list[tuple[str, ...]] = []
    fit_members = run.fit_members

    def noting(network: AcousticModelForAudioClassification, data: FeatureSet, *rest: Any, **named: Any) -> Fit:
        heard.append(tuple(sorted(set(data.speakers))))
        return fit_members(network, data, *rest, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run, "fit_members", noting)
        crossed, plain = (
            run_recipe(
                [corpus],
                tmp_path / f"out-{parts}",
                config=TrainConfig.tiny(epochs=1, refit=True, crossed=parts, crossed_network={"width": 8}),
                test_speakers=["s3"],
                dev_speakers=["s2"],
                cache_dir=tmp_path / "cache",
                checkpoint_dir=tmp_path / "kept",
            ).meta
            for parts in (2, 0)
        )
    assert heard[:4] == [("s0", "s1"), ("s1", "s2"), ("s0", "s2"), ("s0", "s1", "s2")]
    assert crossed.metrics["crossed"]["parts"] == 2 and "corpus" in crossed.metrics["crossed"]["uar"]
    # Nothing but the temperature is another: the weights are those of the last run, on everybody but the tested.
    assert crossed.sha256 == plain.sha256 and crossed.metrics["dev"] == plain.metrics["dev"]
    assert crossed.temperature != plain.temperature
    assert not (tmp_path / "kept").exists()


def test_every_speaker_counts_alike_for_the_temperature() -> None:
    sure = np.array([[4.0, 0.0]], np.float32)
    right, wrong = (np.array([row], np.float32) for row in ([1.0, 0.0], [0.0, 1.0]))

    def answered(speaker: str, clips: int, mistakes: int) -> Answered:
        targets = np.concatenate([right] * (clips - mistakes) + [wrong] * mistakes)
        data = FeatureSet([()] * clips, targets, np.ones(clips, np.float32), [speaker] * clips, ["c"] * clips)
        return Answered(np.repeat(sure, clips, axis=0), data)

    few, many = answered("ann", 10, 4), answered("bob", 1000, 100)
    # One in four wrong, on average over the two: the logits are to say that, ln 3 in place of 4.
    assert joint_temperature([few, many]) == pytest.approx(4.0 / np.log(3.0), rel=0.01)
    assert joint_temperature([many]) == pytest.approx(4.0 / np.log(9.0), rel=0.01)
