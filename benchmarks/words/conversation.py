"""The dialogue model on dialogues it has not seen: `python -m benchmarks.words.conversation --data DIR`.

Feelings of turns given those before them, and causes of feelings, on `DIR/dialog-causes/test.csv`; how often a feeling
is said where there is none, on `DIR/dailydialog/test.csv`; the time that a turn takes as it serves. With `--weights` of
a model that was trained with `--no-context` each turn is read alone.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks.machine import run_benchmark
from ser.conversation.model.dialogue import DIALOGUE_FOLDER, DialogueModel, load_dialogue_model
from ser.conversation.model.dialogues import Dialogue, read_dialogues, unlike
from ser.conversation.model.network import DialogueNetwork
from ser.conversation.model.task import NEUTRAL, Answers, answer, make_examples, pair_f1
from ser.evaluation.metrics import macro_f1
from ser.labels import EMOTIONS

PACKAGES = ("torch", "onnxruntime", "tokenizers", "numpy")
QUICK = 20
DRAWS = 200
"""Of dialogues with replacement, for intervals."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.words.conversation", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR")
    parser.add_argument("--weights", type=Path, default=DIALOGUE_FOLDER, metavar="DIR", help="default: those that ship")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=f"only {QUICK} dialogues of each file")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return figures and times.

    Raises:
        SerError: if the weights or the data cannot be used.
    """
    model = load_dialogue_model(options.weights)
    config = model.meta.config
    network = DialogueNetwork(int(str(config["rank"])), 0.0, bool(config["context"]))
    network.set_tensors(model.tensors)
    files = {name: options.data / name / "test.csv" for name in ("dialog-causes", "dailydialog")}
    dialogues, others = (read_dialogues(path)[: QUICK if options.quick else None] for path in files.values())
    tested = answer(network, make_examples(dialogues, 0.0))
    scale, bias = (float(str(config[f"cause_{name}"])) for name in ("scale", "bias"))
    truth = tested.causes.astype(np.int64)
    told, predicted = (expit(scale * logits + bias) for logits in (tested.pairs, tested.predicted_pairs))
    nearest = np.zeros(len(truth))
    if config["context"]:
        truth, told, predicted, nearest = _serve(model, dialogues)
    plain = answer(network, make_examples(unlike(others, dialogues), 0.0))
    rows = plain.emotions.argmax(1)
    return {
        "benchmark": "conversation",
        "model": model.name,
        "context": config["context"],
        "turns": len(tested.truth),
        "emotions_macro_f1": round(_emotions(tested), 4),
        "emotions_macro_f1_ci": _interval(tested, dialogues),
        "pairs": len(truth),
        "causes": int(truth.sum()),
        "later_causes_left_out": sum(dialogue.later for dialogue in dialogues),
        "label_told": _pairs(truth, told > model.threshold),
        "label_predicted": _pairs(truth, predicted > model.threshold),
        "self_or_turn_before": _pairs(truth, nearest > 0),
        "dailydialog_turns": len(plain.truth),
        "dailydialog_macro_f1": round(_emotions(plain), 4),
        "dailydialog_neutral_said_felt": round(float((rows[plain.truth == NEUTRAL] != NEUTRAL).mean()), 4),
        **_time(dialogues[:QUICK]),
    }


def _emotions(answers: Answers, places: np.ndarray | None = None) -> float:
    truth, said = answers.truth, answers.emotions.argmax(1)
    if places is not None:
        truth, said = truth[places], said[places]
    return macro_f1([EMOTIONS[i] for i in truth], [EMOTIONS[i] for i in said], EMOTIONS)


def _interval(answers: Answers, dialogues: Sequence[Dialogue]) -> list[float]:
    """95 % interval of macro-F1, dialogues drawn with replacement."""
    ends = np.cumsum([len(dialogue.texts) for dialogue in dialogues])
    places = np.split(np.arange(ends[-1]), ends[:-1])
    rng = np.random.default_rng(0)
    drawn = [
        _emotions(answers, np.concatenate([places[i] for i in rng.integers(0, len(places), len(places))]))
        for _ in range(DRAWS)
    ]
    return [round(float(value), 4) for value in np.percentile(drawn, [2.5, 97.5])]


def _pairs(truth: np.ndarray, said: np.ndarray) -> dict[str, float]:
    positive, negative = pair_f1(truth, said)
    figures = {"macro_f1": (positive + negative) / 2, "positive_f1": positive, "negative_f1": negative}
    return {name: round(value, 4) for name, value in figures.items()}


def _serve(model: DialogueModel, dialogues: Sequence[Dialogue]) -> list[np.ndarray]:
    """All pairs of a turn of feeling and one up to it as the model serves: truth, told, predicted, and no model."""
    columns: tuple[list[float], ...] = ([], [], [], [])
    for dialogue in dialogues:
        reading = model.read(dialogue.texts, dialogue.speakers)
        told, predicted = model.causes(reading, np.eye(len(EMOTIONS))[list(dialogue.labels)]), model.causes(reading)
        for place, label in enumerate(dialogue.labels):
            if label != NEUTRAL and dialogue.causes is not None:
                upto = range(place + 1)
                columns[0].extend(source in dialogue.causes[place] for source in upto)
                columns[1].extend(told[place, : place + 1].tolist())
                columns[2].extend(predicted[place, : place + 1].tolist())
                columns[3].extend(source >= place - 1 for source in upto)
    return [np.array(columns[0], dtype=np.int64), *(np.array(column, dtype=float) for column in columns[1:])]


def _time(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Milliseconds of a dialogue as it serves, by turn: reading it, and reading it anew for its last turn."""
    model, whole = load_dialogue_model(), list[float]()
    model.read(dialogues[0].texts, dialogues[0].speakers)
    for dialogue in dialogues:
        started = time.perf_counter()
        model.causes(model.read(dialogue.texts, dialogue.speakers))
        whole.append(time.perf_counter() - started)
    turns = [len(dialogue.texts) for dialogue in dialogues]
    return {
        "dialogue_p95_ms": round(1000 * float(np.percentile(whole, 95)), 1),
        "turn_p50_ms": round(1000 * float(np.median(np.divide(whole, turns))), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
