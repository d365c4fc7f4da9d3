"""Figures of a text model on labelled sentences, as written and in lower case without punctuation."""

from pathlib import Path
from typing import Any

import numpy as np

from ser.errors import TrainingDataError
from ser.evaluation.report import restrict, summarize
from ser.labels import EMOTIONS
from ser.text.data import as_transcript, read_labelled_texts
from ser.types import TextModel


def evaluate_text(model: TextModel, csv: Path) -> dict[str, Any]:
    """Measure a text model on every sentence that has a single emotion.

    Args:
        model: to be measured.
        csv: columns `text` and `label`, or `labels` (several separated by spaces).

    Returns:
        `n, uar, uar_ci, war, macro_f1, per_class, confusion, ece` (see `ser.evaluation.report`) on the sentences as
        written; `weighted_f1`, and `shares`, for each label its share in the truth and in the answers; `transcript`
        with `uar, war, macro_f1, ece` on the same in lower case without punctuation; and what was left out:
        `multi_label` rows, `unknown_labels` {name: rows}, rows `without_text`; `model`.

    Raises:
        TrainingDataError: if the file is malformed or has no row with a single emotion.
    """
    rows = read_labelled_texts(Path(csv))
    chosen = [(text, names[0]) for text, names in zip(rows.texts, rows.labels, strict=True) if len(names) == 1]
    if not chosen:
        raise TrainingDataError(f"Every row of {csv} has several labels; rows with one label are needed to evaluate.")
    truth = [label for _, label in chosen]
    written, _ = restrict(model.classify_batch([text for text, _ in chosen]), EMOTIONS)
    spoken, _ = restrict(model.classify_batch([as_transcript(text) for text, _ in chosen]), EMOTIONS)
    plain, figures = summarize(truth, spoken, EMOTIONS), summarize(truth, written, EMOTIONS)
    supports = [figures["per_class"][label]["support"] for label in EMOTIONS]
    answered = np.bincount(written.argmax(1), minlength=len(EMOTIONS)) / len(truth)
    return {
        **figures,
        "weighted_f1": float(np.average([figures["per_class"][label]["f1"] for label in EMOTIONS], weights=supports)),
        "shares": {
            label: [support / len(truth), float(share)]
            for label, support, share in zip(EMOTIONS, supports, answered, strict=True)
        },
        "transcript": {name: plain[name] for name in ("uar", "war", "macro_f1", "ece")},
        "multi_label": len(rows) - len(chosen),
        "unknown_labels": dict(rows.unknown_labels),
        "without_text": rows.without_text,
        "model": model.name,
    }
