"""Label biases of a trained text model that make its answers, not only its probabilities, as frequent as the truth.

Least cross entropy leaves rare labels unsaid: where neutral is likeliest, it is the answer. Here biases are chosen for
macro-F1 on held-out comments and dialogues, with the shares of the answers held to those of the truth.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ser.labels import EMOTIONS
from ser.text.checkpoint import load_trained, save_trained
from ser.text.embedded import EmbeddedTextModel
from ser.text.rows import TextPart

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


def balance_model(folder: Path, dev: Sequence[TextPart], created: float) -> None:
    """Choose biases for a trained folder and write them into its head.

    Args:
        folder: of an embedded text model; rewritten.
        dev: held-out sentences.
        created: time to note, seconds since the epoch.
    """
    trained = load_trained(folder)
    model = EmbeddedTextModel(trained)
    parts: list[Part] = []
    for part in dev:
        kept = part.texts.select(np.flatnonzero(part.texts.single))
        logits = np.array([model.logits(text) for text in kept.texts]) / trained.temperature
        parts.append((logits, kept.soft_labels.argmax(1), PART_WEIGHTS.get(part.name, 1.0)))
    save_balanced(folder, choose_biases(parts), created)


def save_balanced(folder: Path, biases: npt.NDArray[np.float64], created: float) -> None:
    """Add biases of calibrated logits to the head of a trained folder."""
    trained = load_trained(folder)
    tensors = dict(trained.tensors)
    tensors["head.bias"] = (tensors["head.bias"] + trained.temperature * biases).astype(np.float32)
    told = {label: round(float(bias), 2) for label, bias in zip(EMOTIONS, biases, strict=True)}
    save_trained(
        folder, tensors, config={**trained.meta["config"], "balance": told}, temperature=trained.temperature,
        seed=int(trained.meta["seed"]), data=trained.meta["data"], metrics=trained.meta["metrics"], created=created,
    )  # fmt: skip


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
