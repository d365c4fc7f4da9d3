"""The recipe of the guard's weights: `python -m ser.conversation.guard.recipe --data DIR [--out FILE] [--seed N]`.

An adapter of the sentence encoder's last layers, trained on phrases written for the purpose (`phrases.csv`, spread by
`templates.json`), on harmless ones that look like them (`harmless.csv`), and on turns of dialogues, those that a linear
classifier takes for something near first. Every second dialogue of DailyDialog's validation file is left out: it sets
the thresholds.
"""

import argparse
import csv
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from accelerate.utils import set_seed
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression

from ser.conversation.guard.guard import KINDS, WEIGHTS_FILE, find_plain, split_sentences
from ser.conversation.guard.network import (
    GuardNetwork,
    GuardTask,
    GuardTrainConfig,
    Sentences,
    States,
    form_of,
    probabilities,
)
from ser.conversation.model.dialogues import Dialogue, read_dialogues, unlike
from ser.errors import SerError
from ser.training.gradients.engine import optimise
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.training.progress import shown_progress

FOLDER = WEIGHTS_FILE.parent
HARMLESS = len(KINDS)

TEMPLATES = 250
"""Sentences drawn of the templates of each kind."""

WEIGHTS = {"phrases": 2.0, "harmless": 2.0, "templates": 0.5, "turns": 1.0}
"""Of the sentences of each source."""

NEAR, FURTHER = 5000, 1500
"""Ordinary sentences that are trained on: those nearest to the phrases, and others by chance."""

MOST_ALARMS, MOST_BEYOND_DOUBT = 0.005, 0.001
"""Shares of the turns left out on which there may be an alarm, and one beyond doubt, plain phrases included."""

Rows = Sequence[tuple[str, int, str]]
"""(sentence, index of its kind, source)"""


def read_written(seed: int) -> list[tuple[str, int, str]]:
    """Read what was written for the purpose; what is harmless has the index after the last kind."""
    rows = list(csv.DictReader((FOLDER / "phrases.csv").open(encoding="utf-8", newline="")))
    harmless = [row["text"] for row in csv.DictReader((FOLDER / "harmless.csv").open(encoding="utf-8", newline=""))]
    drawn, kinds = draw_templates(json.loads((FOLDER / "templates.json").read_text(encoding="utf-8")), seed)
    return [
        *((row["text"], KINDS.index(row["kind"]), "phrases") for row in rows),
        *((text, HARMLESS, "harmless") for text in harmless),
        *((text, kind, "templates") for text, kind in zip(drawn, kinds, strict=True)),
    ]


def read_ordinary(root: Path) -> tuple[list[str], list[str]]:
    """Read the sentences of ordinary dialogues to train on, and the turns that set the thresholds.

    Raises:
        TrainingDataError: if the dialogues cannot be read.
    """
    found = read_dialogues(root / "dailydialog" / "validation.csv")
    left_out, trained = found[1::2], found[::2]
    # The dialogues with causes were drawn from the same source.
    known = [*left_out, *read_dialogues(root / "dailydialog" / "test.csv")]
    trained += unlike(read_dialogues(root / "dialog-causes" / "train.csv"), known)
    return _sentences(unlike(trained, left_out)), [text for dialogue in left_out for text in dialogue.texts]


def _sentences(dialogues: Sequence[Dialogue]) -> list[str]:
    parts = {part for dialogue in dialogues for text in dialogue.texts for part in split_sentences(text)}
    return sorted(part for part in parts if find_plain(part) is None)


def draw_templates(templates: Mapping[str, Mapping[str, list]], seed: int) -> tuple[list[str], list[int]]:
    """Fill the templates of each kind, draw some, and add the whole sentences."""
    rng = np.random.default_rng(seed)
    sentences, kinds = list[str](), list[int]()
    for kind, parts in templates.items():
        filled = [frame.format(*words) for words in itertools.product(*parts["slots"]) for frame in parts["frames"]]
        drawn = [filled[place] for place in sorted(rng.permutation(len(filled))[:TEMPLATES])] + parts["sentences"]
        sentences += drawn
        kinds += [KINDS.index(kind)] * len(drawn)
    return sentences, kinds


def choose_near(rows: Rows, ordinary: Sequence[str], states: States, seed: int) -> list[str]:
    """Choose the ordinary sentences that are trained on."""

    def pooled(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([states[text][1:-1].astype(np.float32).mean(0) for text in texts])

    written = [(text, kind) for text, kind, source in rows if source != "templates"]
    inputs = np.concatenate([pooled([text for text, _ in written]), pooled(ordinary)])
    truth = np.arange(len(inputs)) < len(written)
    truth[: len(written)] = [kind != HARMLESS for _, kind in written]
    model = LogisticRegression(max_iter=500).fit(inputs, truth)
    order = np.argsort(-model.decision_function(inputs[len(written) :]))
    others = np.random.default_rng(seed).permutation(order[NEAR:])[:FURTHER]
    return [ordinary[place] for place in (*order[:NEAR], *others)]


def choose_thresholds(network: GuardNetwork, turns: Sequence[str], states: States) -> npt.NDArray[np.float32]:
    """Choose the probabilities of an alarm, and of one beyond doubt, by the turns that were left out."""
    parts = [split_sentences(turn) for turn in turns]
    scores = iter(probabilities(network, [states[part] for found in parts for part in found]))
    most = [max([0.0, *(max(next(scores), find_plain(part) is not None) for part in found)]) for found in parts]
    return np.quantile(most, [1 - MOST_ALARMS, 1 - MOST_BEYOND_DOUBT]).astype(np.float32)


def train_guard(root: Path, config: GuardTrainConfig) -> tuple[dict[str, np.ndarray], Mapping[str, object]]:
    """Train the guard; returns its tensors and figures.

    Raises:
        TrainingDataError: if the dialogues cannot be read.
        ModelUnavailableError: if the sentence encoder is absent.
    """
    rows, (ordinary, turns) = read_written(config.seed), read_ordinary(root)
    set_seed(config.seed)
    network = GuardNetwork(config.lora_rank, config.dropout)
    written = [text for text, _, _ in rows]
    states = network.read([*written, *map(form_of, written), *ordinary])
    rows += [(text, HARMLESS, "turns") for text in choose_near(rows, ordinary, states, config.seed)]
    states |= network.read({form_of(text) for text, _, _ in rows} - states.keys())
    sentences = Sentences(
        [text for text, _, _ in rows],
        np.array([kind for _, kind, _ in rows]),
        np.array([WEIGHTS[source] for _, _, source in rows], dtype=np.float32),
    )
    with shown_progress() as on_progress:
        around = Surroundings(Processes("cpu"), on_progress=on_progress)
        optimise(network, GuardTask(sentences, states, config), config, around)
    left_out = network.read({part for turn in turns for part in split_sentences(turn)})
    thresholds = choose_thresholds(network, turns, left_out)
    facts = {"sentences": len(rows), "turns_left_out": len(turns), "thresholds": thresholds.round(4).tolist()}
    return {**network.tensors(), "thresholds": thresholds}, {**facts, "config": asdict(config)}


def main(argv: Sequence[str] | None = None) -> int:
    """Train and print the figures; 0 if done, 2 if the data or the encoder cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m ser.conversation.guard.recipe", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="dailydialog and dialog-causes in it")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default 0)")
    parser.add_argument("--epochs", type=int, default=GuardTrainConfig.epochs, metavar="N", help="default: %(default)s")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (default: all cores)")
    options = parser.parse_args(argv)
    config = GuardTrainConfig(seed=options.seed, epochs=options.epochs, threads=options.threads)
    try:
        tensors, facts = train_guard(options.data, config)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    save_file(tensors, options.out)
    print(f"Saved {options.out}. {json.dumps(facts)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
