import json

import pytest

from ser.errors import SettingsError, TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.text.classifier import evaluate_text, load_text_model
from ser.text.config import TextTrainConfig
from ser.text.data import read_labelled_texts
from ser.text.embedded import BASE_SHA256
from ser.text.task import TextPart
from ser.text.training import train_text_model
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings

SAYINGS = {
    "anger": "I hate you and I am furious about {}!",
    "happiness": "I love {}, it makes me so happy!",
    "sadness": "I am crying, I miss {} so much.",
}
THINGS = "cats dogs rain trains tea bread books shoes maps songs games phones hats doors chairs lamps".split()
CONFIG = TextTrainConfig(lora_rank=2, epochs=3, batch_size=8, learning_rate=3e-3, max_tokens=24, seed=1)


def write(path, things):
    rows = [f'"{saying.format(thing)}",{label}' for thing in things for label, saying in SAYINGS.items()]
    rows.append('"what a lovely, awful day",happiness sadness')
    path.write_text("text,labels\n" + "\n".join(rows) + "\n")
    return path


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return write(folder / "train.csv", THINGS[:8]), write(folder / "dev.csv", THINGS[8:])


def train(files, out, config=CONFIG, **watchers):
    train_part, dev_part = (TextPart(path.name, read_labelled_texts(path)) for path in files)
    return train_text_model([train_part], [dev_part], out, around=Surroundings(Processes(), **watchers), config=config)


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "new"
    seen = []
    metrics = train(files, out, on_progress=seen.append)
    return out, metrics, seen


def test_training_learns_and_its_folder_loads(run, files):
    folder, metrics, _ = run
    model = load_text_model(folder)
    figures = evaluate_text(model, files[1])
    assert (figures["n"], figures["multi_label"]) == (24, 1)
    assert figures["macro_f1"] > 0.9
    assert figures["macro_f1"] == pytest.approx(metrics["dev_macro_f1_written"], abs=0.1)


def test_the_folder_says_how_it_was_made(run):
    folder, _, _ = run
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["labels"] == list(EMOTIONS)
    assert meta["config"]["base_sha256"] == BASE_SHA256
    assert meta["config"]["rank"] == 2 and meta["config"]["seed"] == 1
    assert meta["data"] == {"train": {"train.csv": 25}, "dev": {"dev.csv": 24}}
    assert sorted(path.name for path in folder.iterdir()) == ["adapter.safetensors", "meta.json"]


def test_progress_ends_at_the_last_step_with_a_score_each_epoch(run):
    *_, seen = run
    scored = [progress for progress in seen if progress.epoch_done]
    assert [progress.epoch for progress in scored] == [1, 2, 3]
    assert all(0 < progress.figures["dev_macro_f1"] <= 1 for progress in scored)
    assert seen[-1].step == seen[-1].steps == 12
    assert seen[-1].eta == 0.0


def test_the_same_seed_gives_the_same_weights(run, files, tmp_path):
    folder, *_ = run
    train(files, tmp_path / "again")
    first, second = (json.loads((made / "meta.json").read_text()) for made in (folder, tmp_path / "again"))
    assert first["sha256"] == second["sha256"]


def test_a_cancelled_training_writes_nothing(files, tmp_path):
    config = TextTrainConfig(lora_rank=2, epochs=8, batch_size=4, max_tokens=8)
    with pytest.raises(TrainingCancelledError):
        train(files, tmp_path / "out", config, should_stop=lambda: True)
    assert not (tmp_path / "out").exists()


def test_wrong_files_and_recipes_are_refused(files, tmp_path):
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TrainingDataError, match="has the columns a, b"):
        train((tmp_path / "odd.csv", files[1]), tmp_path / "out")
    (tmp_path / "multi.csv").write_text("text,labels\nhm,anger fear\n")
    with pytest.raises(TrainingDataError, match="no row with a single label"):
        train((files[0], tmp_path / "multi.csv"), tmp_path / "out")
    with pytest.raises(SettingsError, match=r"epochs is 0; it must be above 0\."):
        TextTrainConfig(epochs=0)
    with pytest.raises(SettingsError, match=r"transcript_share is 1\.5; it must lie in 0\.\.1\."):
        TextTrainConfig(transcript_share=1.5)
