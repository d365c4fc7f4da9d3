"""The recipe of the guard's weights: `python -m ser.conversation.guard.recipe --data DIR [--out FILE] [--seed N]`.

A linear classifier on sentence vectors and cues, fitted on phrases written for the purpose (`phrases.csv`, spread by
`templates.json`), on harmless ones that look like them (`harmless.csv`), and on turns of DailyDialog's validation file.
"""

import argparse
import csv
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from ser.conversation.guard.guard import KINDS, WEIGHTS_FILE, describe, find_plain, split_sentences
from ser.conversation.model.dialogue import TurnEncoder
from ser.conversation.model.dialogues import read_dialogues
from ser.errors import SerError

FOLDER = WEIGHTS_FILE.parent

TEMPLATES = 300
"""Sentences drawn of the templates of each kind."""

WEIGHTS = {"phrases": 30.0, "templates": 3.0, "harmless": 10.0, "turns": 1.0}
"""Of the sentences of each source."""

INVERSE_PENALTY = 10.0

MOST_ALARMS = 0.003
"""Share of sentences of ordinary dialogues on which the classifier may raise an alarm; out of fold."""

FOLDS = 5

Array = npt.NDArray[np.float32]


def read_sentences(root: Path, seed: int) -> dict[str, tuple[list[str], list[int]]]:
    """Read {source: sentences and the index of the kind of each, -1 for harmless ones}.

    Raises:
        TrainingDataError: if the dialogues cannot be read.
    """
    rows = list(csv.DictReader((FOLDER / "phrases.csv").open(encoding="utf-8", newline="")))
    harmless = [row["text"] for row in csv.DictReader((FOLDER / "harmless.csv").open(encoding="utf-8", newline=""))]
    drawn, kinds = draw_templates(json.loads((FOLDER / "templates.json").read_text(encoding="utf-8")), seed)
    dialogues = read_dialogues(root / "dailydialog" / "validation.csv")
    turns = {part for dialogue in dialogues for text in dialogue.texts for part in split_sentences(text)}
    ordinary = sorted(part for part in turns if find_plain(part) is None)
    return {
        "phrases": ([row["text"] for row in rows], [KINDS.index(row["kind"]) for row in rows]),
        "templates": (drawn, kinds),
        "harmless": (harmless, [-1] * len(harmless)),
        "turns": (ordinary, [-1] * len(ordinary)),
    }


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


def fit(vectors: Mapping[str, Array], kinds: Mapping[str, Sequence[int]]) -> tuple[Array, Array]:
    """Fit a classifier of each kind against all that is harmless; returns weights (kinds, width) and biases."""
    names = list(vectors)
    rows = np.concatenate([vectors[name] for name in names])
    truth = np.concatenate([kinds[name] for name in names])
    weights = np.concatenate([np.full(len(vectors[name]), WEIGHTS[name]) for name in names])
    fitted = []
    for kind in range(len(KINDS)):
        # A sentence of another kind is no counterexample: threats are abuse, too.
        used = (truth == kind) | (truth < 0)
        model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
        fitted.append(model.fit(rows[used], truth[used] == kind, sample_weight=weights[used]))
    return (
        np.concatenate([model.coef_ for model in fitted]).astype(np.float32),
        np.concatenate([model.intercept_ for model in fitted]).astype(np.float32),
    )


def choose_threshold(
    vectors: Mapping[str, Array], kinds: Mapping[str, Sequence[int]], seed: int
) -> tuple[float, float]:
    """Choose the probability of an alarm out of fold; returns it and the share of held-out phrases above it."""
    rng = np.random.default_rng(seed)
    folds = {name: rng.integers(0, FOLDS, len(rows)) for name, rows in vectors.items()}
    scores = {name: np.zeros(len(rows)) for name, rows in vectors.items()}
    for fold in range(FOLDS):
        kept = {name: folds[name] != fold for name in vectors}
        weight, bias = fit(
            {name: rows[kept[name]] for name, rows in vectors.items()},
            {name: np.asarray(kinds[name])[kept[name]] for name in vectors},
        )
        for name, rows in vectors.items():
            logits = rows[~kept[name]] @ weight.T + bias
            scores[name][~kept[name]] = 1 / (1 + np.exp(-logits.max(1)))
    threshold = float(np.quantile(scores["turns"], 1 - MOST_ALARMS))
    return threshold, float((scores["phrases"] > threshold).mean())


def main(argv: Sequence[str] | None = None) -> int:
    """Fit and print the figures; 0 if done, 2 if the data or the encoder cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m ser.conversation.guard.recipe", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="dailydialog in it")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default 0)")
    options = parser.parse_args(argv)
    try:
        sentences = read_sentences(options.data, options.seed)
        encoder = TurnEncoder()
        vectors = {
            name: np.array([describe(encoder, text) for text in tqdm(texts, desc=name, disable=None)])
            for name, (texts, _) in sentences.items()
        }
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    kinds = {name: found for name, (_, found) in sentences.items()}
    threshold, recall = choose_threshold(vectors, kinds, options.seed)
    weight, bias = fit(vectors, kinds)
    save_file({"weight": weight, "bias": bias, "threshold": np.array([threshold], dtype=np.float32)}, options.out)
    print(f"Saved {options.out}. Threshold {threshold:.3f}; {recall:.1%} of the phrases above it out of fold.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
