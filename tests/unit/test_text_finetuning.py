import json
import math

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification

from ser.errors import SettingsError
from ser.evaluation.metrics import macro_f1
from ser.labels import EMOTIONS
from ser.text.classifier import load_text_model
from ser.text.config import TextTrainConfig
from ser.text.data import LabelledTexts
from ser.text.task import TextPart
from ser.text.training import train_text_model
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from tests.unit.test_text_classifier import WORDS, save_checkpoint, save_tokenizer

SAYINGS = {"happiness": "i am so happy", "anger": "i hate you", "neutral": "the door is open"}
ROWS = [(f"{saying} {tail}", label) for tail in ("very", "this", "is", "not") for label, saying in SAYINGS.items()]


def part(rows):
    return TextPart("rows", LabelledTexts(tuple(t for t, _ in rows), tuple((label,) for _, label in rows)))


def save_gpt2(folder):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(WORDS), "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
    GPT2ForSequenceClassification(GPT2Config(**sizes, pad_token_id=0)).save_pretrained(folder)
    save_tokenizer(folder)


def settings(tune, **changes):
    usual = {
        "epochs": 12,
        "batch_size": 6,
        "lora_rank": 4,
        "max_tokens": 16,
        "autocast": False,
        "noise_share": 0,
    }
    return TextTrainConfig(tune=tune, learning_rate=2e-2, **usual | changes)


def train(folder, tune, around):
    return train_text_model(
        [part(ROWS)], [part(ROWS)], folder / "out", around=around, init=folder / "start", config=settings(tune)
    )


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("tune", ["full", "frozen", "head", "top-k:1", "lora", "adalora", "ia3", "prefix", "prompt"])
def test_every_method_trains_and_its_model_loads(tmp_path, kind, tune):
    if kind == "bert":
        save_checkpoint(tmp_path / "start", ["a", "b"], kind)
    else:
        save_gpt2(tmp_path / "start")
    seen = []
    around = Surroundings(Processes(), on_progress=seen.append)
    metrics = train(tmp_path, tune, around)
    losses = [progress.loss for progress in seen]
    assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]
    model = load_text_model(tmp_path / "out")
    assert model.labels == EMOTIONS
    texts, truth = [text for text, _ in ROWS], [label for _, label in ROWS]
    together = model.classify_batch([*texts, "you"])
    for text, scores in zip(texts, together, strict=False):
        assert scores.probabilities == pytest.approx(model.classify(text).probabilities, abs=1e-4)
    # What is loaded answers as what was measured.
    loaded = macro_f1(truth, [scores.label for scores in together[:-1]], EMOTIONS)
    assert loaded == pytest.approx(metrics["dev_macro_f1_written"], abs=1e-3)
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["config"]["tune"] == tune and record["data"]["train"] == {"rows": 12}


def test_methods_that_do_not_exist_or_fit_are_refused(tmp_path):
    save_checkpoint(tmp_path / "start", ["a", "b"])
    for tune, message in (
        ("all", "expected auto, frozen"),
        ("top-k:9", "the model has 2 layers"),
        ("top-k", "expected auto"),
    ):
        with pytest.raises(SettingsError, match=message):
            train(tmp_path, tune, Surroundings(Processes()))
