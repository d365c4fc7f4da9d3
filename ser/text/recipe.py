"""The recipe of the shipped text weights: `python -m ser.text.recipe --data DIR --out DIR [--seed N]`.

Comments (GoEmotions) and turns of dialogues (DailyDialog) in, a folder of weights out. Test files are read only to
leave out of training what they contain.
"""

import argparse
import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ser.checkpoints.folder import Meta
from ser.checkpoints.hub import pick_device
from ser.errors import TrainingDataError
from ser.labels import DIALOGUE_SHARES, EMOTIONS
from ser.text.config import TextTrainConfig
from ser.text.data import LabelledTexts, as_transcript, read_labelled_texts
from ser.text.embedded import EmbeddedTextModel, TrainedText
from ser.text.task import TextPart
from ser.text.training import train_adapter
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.training.progress import run_recipe, shown_progress

TESTS = ("dailydialog/test.csv", "dialog-causes/test.csv")
"""Dialogues repeat each other: what the test files say is left out of training, except for phrases of a few words."""

MIN_UNIQUE_WORDS = 4
"""Words from which a turn that a test file has as well counts as the same turn, rather than as a common phrase."""

DEV_DIALOGUES = {"dailydialog/validation.csv": 2, "dialog-causes/train.csv": 8}
"""One dialogue in so many is held out for calibration."""

CONFIG = TextTrainConfig(epochs=1, learning_rate=1e-3)

STEPS = np.arange(-1.0, 2.51, 0.1)
"""Biases that are tried, nats."""

SMOOTHING = 5
"""Neighbouring biases whose scores are averaged: one rare sentence must not decide."""

MAX_SHARE_ERROR, SHARE_PENALTY = 0.04, 5.0
"""Distance between a label's share in answers and truth that costs nothing, and what each further unit costs."""

RIDGE = 0.004
"""Cost of a squared bias."""

PART_WEIGHTS = {"dialogues": 1.5}
"""Dialogues count more, as they are written like speech; any other part counts 1."""

ROUNDS = 4

Part = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], float]


def train_shipped_model(root: Path, out: Path, *, device: str = "cpu", config: TextTrainConfig = CONFIG) -> Meta:
    """Train on GoEmotions once and on the dialogues twice, calibrated on held-out comments and dialogues.

    Args:
        root: with the folders `goemotions-28`, `dailydialog` and `dialog-causes`.
        out: the new folder.
        device: `cpu` or `cuda`.
        config: the recipe of the training itself.

    Raises:
        TrainingDataError: if a file is missing or malformed.
        ModelUnavailableError: if the folder holds something already.
    """
    comments = [
        TextPart("comments", read_labelled_texts(root / "goemotions-28" / f"{name}.csv")) for name in ("train", "dev")
    ]
    train, dev = split_dialogues(root)
    dialogues = [TextPart("dialogues", texts, DIALOGUE_SHARES) for texts in (train, dev)]
    with shown_progress() as on_progress:
        around = Surroundings(Processes(device), on_progress=on_progress)
        trained = train_adapter([comments[0], dialogues[0], dialogues[0]], [comments[1], dialogues[1]], around, config)
    return balanced(trained, [comments[1], dialogues[1]]).save(out)


def balanced(trained: TrainedText, dev: Sequence[TextPart]) -> TrainedText:
    """Choose label biases that make the answers, not only their probabilities, as frequent as the truth.

    Least cross entropy leaves rare labels unsaid: where neutral is likeliest, it is the answer. These biases are chosen
    for macro-F1 on held-out sentences, with the shares of the answers held to those of the truth.
    """
    model = EmbeddedTextModel(trained)
    temperature = trained.meta.temperature
    parts: list[Part] = []
    for part in dev:
        kept = part.texts.select(np.flatnonzero(part.texts.single))
        logits = np.array([model.logits(text) for text in kept.texts]) / temperature
        parts.append((logits, kept.soft_labels.argmax(1), PART_WEIGHTS.get(part.name, 1.0)))
    biases = choose_biases(parts)
    bias = (trained.tensors["head.bias"] + temperature * biases).astype(np.float32)
    named = {label: round(float(bias), 2) for label, bias in zip(EMOTIONS, biases, strict=True)}
    meta = replace(trained.meta, config={**trained.meta.config, "balance": named})
    return TrainedText({**trained.tensors, "head.bias": bias}, meta)


def choose_biases(parts: Sequence[Part]) -> npt.NDArray[np.float64]:
    """Search label by label for the biases with the best sum of macro-F1; neutral keeps 0.

    Args:
        parts: calibrated logits of shape (rows, labels), the label of each row, and the part's weight.

    >>> logits = np.tile([0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0], (4, 1))
    >>> logits[:2, 0] = 0.3
    >>> biases = choose_biases([(logits, np.array([0, 0, 4, 4]), 1.0)])
    >>> (logits + biases).argmax(1).tolist()
    [0, 0, 4, 4]
    """
    biases = np.zeros(len(EMOTIONS))
    order = ["happiness", *(label for label in EMOTIONS if label not in ("happiness", "neutral"))]
    for _ in range(ROUNDS):
        for column in map(EMOTIONS.index, order):
            scores = [_score(parts, np.where(np.arange(len(biases)) == column, step, biases)) for step in STEPS]
            padded = np.pad(scores, SMOOTHING // 2, mode="edge")
            biases[column] = STEPS[int(np.convolve(padded, np.full(SMOOTHING, 1 / SMOOTHING), "valid").argmax())]
    return biases


def _score(parts: Sequence[Part], biases: npt.NDArray[np.float64]) -> float:
    total = -RIDGE * float(biases @ biases)
    for logits, truth, weight in parts:
        answers = (logits + biases).argmax(1)
        asked, given = (np.bincount(rows, minlength=len(biases)) for rows in (truth, answers))
        right = np.bincount(truth[answers == truth], minlength=len(biases))
        total += weight * float((2 * right / np.maximum(asked + given, 1)).mean())
        error = float(np.abs(asked - given).max()) / len(truth)
        total -= SHARE_PENALTY * max(0.0, error - MAX_SHARE_ERROR)
    return total


def split_dialogues(root: Path) -> tuple[LabelledTexts, LabelledTexts]:
    """Split the turns by dialogue into those to train on and those to calibrate on.

    Raises:
        TrainingDataError: if a file is missing or malformed.
    """
    tested = {_letters(text) for name in TESTS for text in read_labelled_texts(root / name).texts if _is_unique(text)}
    parts: tuple[list[LabelledTexts], list[LabelledTexts]] = ([], [])
    for name, every in DEV_DIALOGUES.items():
        texts = read_labelled_texts(root / name)
        held_out = _every(_column(root / name, "dialogue"), every)
        if len(held_out) != len(texts):
            raise TrainingDataError(f"{root / name} has turns without words or a known label; each turn needs both.")
        for part, wanted in zip(parts, (False, True), strict=True):
            part.append(texts.select(row for row, dev in enumerate(held_out) if dev == wanted))
    dev = _joined(parts[1])
    tested |= {_letters(text) for text in dev.texts if _is_unique(text)}
    train = _joined(parts[0])
    return train.select(row for row, text in enumerate(train.texts) if _letters(text) not in tested), dev


def join_punctuation(text: str) -> str:
    """Write a tokenised sentence as people write it.

    >>> join_punctuation("Hey , you ’ re late . Really ?")
    "Hey, you're late. Really?"
    """
    return re.sub(r"\s*[’']\s*", "'", re.sub(r"\s+([.,!?;:])", r"\1", text))


def _joined(parts: Iterable[LabelledTexts]) -> LabelledTexts:
    together = list(parts)
    texts = tuple(join_punctuation(text) for part in together for text in part.texts)
    return LabelledTexts(texts, tuple(labels for part in together for labels in part.labels))


def _column(path: Path, name: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def _every(dialogues: Sequence[str], every: int) -> list[bool]:
    """Mark the turns whose dialogue is one of every so many."""
    number = {dialogue: index for index, dialogue in enumerate(dict.fromkeys(dialogues))}
    return [number[dialogue] % every == every - 1 for dialogue in dialogues]


def _is_unique(text: str) -> bool:
    return len(text.split()) >= MIN_UNIQUE_WORDS


def _letters(text: str) -> str:
    return as_transcript(text).replace(" ", "").replace("'", "")


def main(argv: Sequence[str] | None = None) -> int:
    """Train and print the figures; 0 if done, 2 if the data or the encoder cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m ser.text.recipe", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="goemotions-28 and the dialogues in it")

    def train(options: argparse.Namespace) -> Meta:
        config = replace(CONFIG, seed=options.seed, threads=options.threads)
        return train_shipped_model(options.data, options.out, device=pick_device(options.device), config=config)

    return run_recipe(parser, train, argv)


if __name__ == "__main__":
    raise SystemExit(main())
