"""Corpus folders in, a measured head out; leaks and unknown speakers refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.acoustic.classifier import load_acoustic_model
from ser.audio.decoding import decode_file
from ser.errors import TrainingDataError
from ser.training.recipe import ROOM, SHORT, HeadRecipe, plainly_labelled, run_recipe
from ser.training.rehearsal import load_rehearsal
from ser.types import Example
from tests.unit.voices import four_voices


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    return four_voices(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


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


RECIPE = HeadRecipe(test_speakers=["s3"], dev_speakers=["s2"])


def test_the_recipe_trains_measures_and_saves(clips: list[Example], cache: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", clips)
    stages: list[str] = []
    result = run_recipe(
        [corpus], tmp_path / "out", RECIPE, cache_dir=cache, on_progress=lambda progress: stages.append(progress.stage)
    )
    assert result.leaks.clean and set(result.test_uar) == {"corpus"} and set(stages) == {"preparing"}
    assert result.meta.data["speakers"] == ["s0", "s1"] and result.meta.data["test_speakers"] == ["s3"]
    assert result.meta.labels == ("anger", "neutral", "sadness")
    assert result.meta.metrics["dev"]["corpus"]["clips"] == 6
    # Voices that differ in pitch alone, in noise: well above the third that chance gives.
    assert result.test_uar["corpus"] > 0.5
    model = load_acoustic_model(tmp_path / "out")
    assert model.sha256 == result.meta.sha256
    known = next(example for example in clips if example.speaker == "s0")
    assert model.classify(decode_file(known.path)).label == known.label
    again = run_recipe([corpus], tmp_path / "again", RECIPE, cache_dir=cache)
    assert again.meta.sha256 == result.meta.sha256
    with pytest.raises(TrainingDataError, match="exists already"):
        run_recipe([corpus], tmp_path / "out", RECIPE, cache_dir=cache)


def test_the_recipe_fails_on_a_planted_copy(clips: list[Example], cache: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", clips)
    copied = next(e for e in clips if e.speaker == "s0")
    planted = next(e for e in clips if e.speaker == "s3")
    (corpus / "audio" / planted.path.name).write_bytes((corpus / "audio" / copied.path.name).read_bytes())
    with pytest.raises(TrainingDataError, match=r"1 leak\(s\): the same audio is in .*Remove the copies"):
        run_recipe([corpus], tmp_path / "out", RECIPE, cache_dir=cache)
    assert not (tmp_path / "out").exists()


def test_the_recipe_draws_dev_speakers_where_none_are_named(clips: list[Example], cache: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", clips)
    result = run_recipe([corpus], tmp_path / "out", HeadRecipe(test_speakers=()), cache_dir=cache)
    dev, training = set(result.meta.data["dev_speakers"]), set(result.meta.data["speakers"])
    assert dev and training and not dev & training
    with pytest.raises(TrainingDataError, match="Dev speakers nobody are not in the data"):
        run_recipe([corpus], tmp_path / "out2", HeadRecipe(dev_speakers=["nobody"]), cache_dir=cache)


def test_clips_of_training_and_dev_speakers_come_with_the_head(
    clips: list[Example], cache: Path, tmp_path: Path
) -> None:
    run_recipe([write_corpus(tmp_path / "corpus", clips)], tmp_path / "out", RECIPE, cache_dir=cache)
    kept = load_rehearsal(tmp_path / "out")
    assert kept is not None and set(kept.speakers) == {"s0", "s1", "s2"}
    assert np.allclose(kept.targets.sum(axis=1), 1.0) and len(kept) == len(kept.corpora) == len(kept.speakers)


def test_copies_are_embedded_for_training_alone(clips: list[Example], cache: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", clips)
    recipe = HeadRecipe(augmentations=(ROOM, SHORT), test_speakers=["s3"], dev_speakers=["s2"])
    result = run_recipe([corpus], tmp_path / "out", recipe, cache_dir=cache)
    copies = result.meta.config["augmentations"]
    assert isinstance(copies, list) and [copy["crop_probability"] for copy in copies] == [0.0, 1.0]
    assert result.meta.metrics["test"]["corpus"]["clips"] == 6


def test_finer_labels_stay_where_their_corpus_draws_the_distinction() -> None:
    calm, neutral = (Example(Path("a.wav"), label, "s") for label in ("calm", "neutral"))
    assert [example.label for example in plainly_labelled([calm, neutral])] == ["calm", "neutral"]
    assert [example.label for example in plainly_labelled([calm])] == ["neutral"]
