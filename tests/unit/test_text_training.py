import json

import pytest
import torch

from ser.errors import SettingsError, TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.text.base import BASE_SHA256
from ser.text.classifier import load_text_model
from ser.text.config import TextTrainConfig
from ser.text.evaluation import evaluate_text
from ser.text.training import train_text_model

SAYINGS = {
    "anger": "I hate you and I am furious about {}!",
    "happiness": "I love {}, it makes me so happy!",
    "sadness": "I am crying, I miss {} so much.",
}
THINGS = "cats dogs rain trains tea bread books shoes maps songs games phones hats doors chairs lamps".split()
CONFIG = TextTrainConfig(rank=2, alpha=4, epochs=3, batch_size=8, learning_rate=3e-3, max_tokens=24)


def write(path, things):
    rows = [f'"{saying.format(thing)}",{label}' for thing in things for label, saying in SAYINGS.items()]
    rows.append('"what a lovely, awful day",happiness sadness')
    path.write_text("text,labels\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    # Batches this small are slower on several threads, much so on a busy machine.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return write(folder / "train.csv", THINGS[:8]), write(folder / "dev.csv", THINGS[8:])


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "new"
    seen = []
    return train_text_model(*files, out, config=CONFIG, seed=1, on_progress=seen.append), seen


def test_training_learns_and_its_folder_loads(run, files):
    result, _ = run
    model = load_text_model(result.folder)
    figures = evaluate_text(model, files[1])
    assert (figures["n"], figures["multi_label"]) == (24, 1)
    assert figures["macro_f1"] > 0.9
    assert figures["macro_f1"] == pytest.approx(result.metrics["dev_macro_f1_written"], abs=0.1)


def test_the_folder_says_how_it_was_made(run):
    result, _ = run
    meta = json.loads((result.folder / "meta.json").read_text())
    assert meta["labels"] == list(EMOTIONS)
    assert meta["base"]["sha256"] == BASE_SHA256
    assert meta["config"]["rank"] == 2 and meta["seed"] == 1
    assert meta["data"] == {"train": {"train.csv": 25}, "dev": {"dev.csv": 24}}
    assert meta["temperature"] == pytest.approx(result.temperature, abs=1e-4)
    assert sorted(path.name for path in result.folder.iterdir()) == ["adapter.safetensors", "meta.json"]


def test_progress_ends_at_the_last_step_with_a_score_each_epoch(run):
    _, seen = run
    scored = [progress for progress in seen if progress.dev_macro_f1 is not None]
    assert [progress.epoch for progress in scored] == [1, 2, 3]
    assert seen[-1].step == seen[-1].steps == 12
    assert seen[-1].eta == 0.0 and seen[-1].elapsed > 0.0


def test_the_same_seed_gives_the_same_weights(run, files, tmp_path):
    result, _ = run
    again = train_text_model(*files, tmp_path / "again", config=CONFIG, seed=1)
    first, second = (json.loads((r.folder / "meta.json").read_text()) for r in (result, again))
    assert first["sha256"] == second["sha256"]


def test_a_cancelled_training_writes_nothing(files, tmp_path):
    config = TextTrainConfig(rank=2, epochs=8, batch_size=4, max_tokens=8)
    with pytest.raises(TrainingCancelledError):
        train_text_model(*files, tmp_path / "out", config=config, should_stop=lambda: True)
    assert not (tmp_path / "out").exists()


def test_wrong_files_and_recipes_are_refused(files, tmp_path):
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TrainingDataError, match="has the columns a, b"):
        train_text_model(tmp_path / "odd.csv", files[1], tmp_path / "out")
    (tmp_path / "multi.csv").write_text("text,labels\nhm,anger fear\n")
    with pytest.raises(TrainingDataError, match="no row with a single label"):
        train_text_model(files[0], tmp_path / "multi.csv", tmp_path / "out")
    with pytest.raises(SettingsError, match=r"epochs is 0; it must be above 0\."):
        TextTrainConfig(epochs=0)
    with pytest.raises(SettingsError, match=r"transcript_share is 1\.5; it must lie in 0\.\.1\."):
        TextTrainConfig(transcript_share=1.5)
