"""The recipe of the shipped dialogue model: `python -m ser.conversation.model.recipe --data DIR --out DIR [--seed N]`.

Dialogues with feelings and their causes in, a folder of weights out. Test files are not read.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from accelerate.utils import set_seed
from scipy.optimize import minimize

from ser.checkpoints.folder import Meta
from ser.checkpoints.hub import pick_device
from ser.conversation.model.dialogues import Dialogue, read_dialogues
from ser.conversation.model.network import DialogueNetwork
from ser.conversation.model.task import Answers, DialogueTask, DialogueTrainConfig, answer, make_examples, pair_f1
from ser.labels import EMOTIONS
from ser.text.embedded import BASE_NAME, BASE_SHA256, HEAD_PREFIX, TrainedText
from ser.text.recipe import choose_biases
from ser.text.training import fit_bias
from ser.training.gradients.engine import optimise
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.training.progress import run_recipe, shown_progress

CORPUS = "dialog-causes"

DEV_EVERY = 8
"""One training dialogue in so many joins the validation file's: that alone has 4 turns of fear and 2 of disgust. The
text model, whose adapter training begins with, holds the same ones out."""

THRESHOLDS = np.arange(0.2, 0.81, 0.01)
SMOOTHING = 7
"""Neighbouring thresholds whose scores are averaged."""


def split_dialogues(root: Path) -> tuple[list[Dialogue], list[Dialogue]]:
    """Read the dialogues to train on, and those that choose and calibrate."""
    found = read_dialogues(root / CORPUS / "train.csv")
    dev = [dialogue for place, dialogue in enumerate(found) if place % DEV_EVERY == DEV_EVERY - 1]
    train = [dialogue for place, dialogue in enumerate(found) if place % DEV_EVERY != DEV_EVERY - 1]
    return train, read_dialogues(root / CORPUS / "valid.csv") + dev


def train_dialogue_model(
    root: Path, out: Path, *, config: DialogueTrainConfig | None = None, device: str = "cpu"
) -> Meta:
    """Train on the dialogues, keep the best epoch, calibrate, and write the folder `out`.

    Args:
        root: with the folder `dialog-causes`.
        out: the new folder.
        config: the recipe.
        device: `cpu` or `cuda`.

    Raises:
        TrainingDataError: if a file is missing or malformed.
        ModelUnavailableError: if the folder holds something already.
    """
    config = config or DialogueTrainConfig()
    train, dev = split_dialogues(root)
    set_seed(config.seed)
    network = DialogueNetwork(config.lora_rank, config.dropout, config.context)
    with shown_progress() as on_progress:
        around = Surroundings(Processes(device), on_progress=on_progress)
        optimise(network, DialogueTask(train, dev, config, device), config, around)
    answers = answer(network, make_examples(dev, 0.0), device)
    facts = {
        "train": {"dialogues": len(train), "turns": sum(len(dialogue.texts) for dialogue in train)},
        "dev": {"dialogues": len(dev), "turns": len(answers.truth), "pairs": len(answers.causes)},
        "causes_in_later_turns": sum(dialogue.later for dialogue in train),
    }
    return calibrated(network.tensors(), answers, config, facts).save(out)


def calibrated(
    tensors: dict[str, np.ndarray],
    dev: Answers,
    config: DialogueTrainConfig,
    facts: dict[str, object],
) -> TrainedText:
    """Fit temperature and label biases of the feelings, and scale, bias and threshold of the causes."""
    temperature, bias = fit_bias(dev.emotions, dev.truth, np.ones(len(dev.truth)))
    bias = bias + choose_biases([(dev.emotions / temperature + bias, dev.truth, 1.0)])
    tensors[f"{HEAD_PREFIX}bias"] = (tensors[f"{HEAD_PREFIX}bias"] + temperature * bias).astype(np.float32)
    scale, shift = fit_causes(dev.predicted_pairs, dev.causes)
    threshold = choose_threshold(dev.causes, 1 / (1 + np.exp(-(scale * dev.predicted_pairs + shift))))
    calibration = {"cause_scale": scale, "cause_bias": shift, "cause_threshold": threshold}
    said = replace(dev, emotions=(dev.emotions / temperature + bias).astype(np.float32))
    metrics = {"dev_macro_f1": round(said.score()[0], 4)}
    for name, logits in (("told", dev.pairs), ("predicted", dev.predicted_pairs)):
        positive, negative = pair_f1(dev.causes, 1 / (1 + np.exp(-(scale * logits + shift))) > threshold)
        metrics |= {f"dev_pairs_{name}_positive_f1": round(positive, 4)}
        metrics |= {f"dev_pairs_{name}_macro_f1": round((positive + negative) / 2, 4)}
    base = {"rank": config.lora_rank, "alpha": 2 * config.lora_rank, "base_sha256": BASE_SHA256}
    settings = {**asdict(config), **base, **{name: round(value, 4) for name, value in calibration.items()}}
    meta = Meta(
        f"{BASE_NAME} + LoRA, dialogues", EMOTIONS, round(temperature, 4), settings, data=facts, metrics=metrics
    )
    return TrainedText(tensors, meta)


def fit_causes(logits: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Fit scale and bias of logits to the truth by least cross-entropy.

    Source: Platt 1999, "Probabilistic Outputs for Support Vector Machines".

    >>> logits = np.repeat(np.float32([-1, 1]), 100)
    >>> scale, bias = fit_causes(logits, np.tile([0, 0, 0, 1, 1, 1, 1, 1, 0, 1], 20))
    >>> abs(scale) < 0.01, round(bias, 1)
    (True, 0.4)
    """
    values = logits.astype(np.float64)

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        scaled = parameters[0] * values + parameters[1]
        return float((np.logaddexp(0, scaled) - truth * scaled).mean())

    found = minimize(loss, np.array([1.0, 0.0]), method="BFGS")
    return float(found.x[0]), float(found.x[1])


def choose_threshold(truth: npt.NDArray[np.int64], chances: npt.NDArray[np.float64]) -> float:
    """Choose the probability from which a pair counts as cause, by macro-F1 of the pairs."""
    scores = [sum(pair_f1(truth, chances > threshold)) for threshold in THRESHOLDS]
    padded = np.pad(scores, SMOOTHING // 2, mode="edge")
    return float(THRESHOLDS[int(np.convolve(padded, np.ones(SMOOTHING), "valid").argmax())])


def main(argv: Sequence[str] | None = None) -> int:
    """Train and print the figures; 0 if done, 2 if the data or the encoder cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m ser.conversation.model.recipe", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help=f"{CORPUS} in it")
    parser.add_argument("--no-context", action="store_true", help="read each turn alone, to measure what context gives")

    def train(options: argparse.Namespace) -> Meta:
        config = DialogueTrainConfig(seed=options.seed, threads=options.threads, context=not options.no_context)
        return train_dialogue_model(options.data, options.out, config=config, device=pick_device(options.device))

    return run_recipe(parser, train, argv)


if __name__ == "__main__":
    raise SystemExit(main())
