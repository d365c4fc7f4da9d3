"""Text models behind one protocol, loaded by name and measured.

Imports torch and transformers only if a checkpoint of transformers is named.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from ser.config import EMBEDDED, NO_MODEL
from ser.errors import TrainingDataError
from ser.evaluation.report import restrict, summarize
from ser.labels import EMOTIONS
from ser.protocols import TextModel
from ser.text.data import as_transcript, read_labelled_texts
from ser.text.embedded import EMBEDDED_FOLDER, is_trained, load_embedded


def load_text_model(name_or_dir: str | Path, device: str = "cpu") -> TextModel | None:
    """Load a text model.

    Args:
        name_or_dir: `embedded`; `none`; a folder that `ser.text.training` made; or the folder or Hub id of a
            text classification checkpoint with weights in safetensors.
        device: `cpu` or `cuda`, for checkpoints of transformers; the embedded model answers on the CPU.

    Returns:
        The model, or None for `none`.

    Raises:
        ModelUnavailableError: if the model is absent, damaged, untrained, or knows fewer than two of `EMOTIONS`.
    """
    if str(name_or_dir) == NO_MODEL:
        return None
    if str(name_or_dir) == EMBEDDED:
        return load_embedded(EMBEDDED_FOLDER)
    folder = Path(name_or_dir).expanduser()
    if is_trained(folder):
        return load_embedded(folder)
    # Serving with the embedded model must not pay for torch and transformers: some 5 s and 400 MB.
    model: TextModel = importlib.import_module("ser.text.foreign").CheckpointTextModel(str(name_or_dir), device)
    return model


def evaluate_text(model: TextModel, csv: Path) -> dict[str, Any]:
    """Measure a text model on every sentence that has a single emotion.

    Args:
        model: to be measured.
        csv: columns `text` and `label`, or `labels` (several separated by spaces).

    Returns:
        `n, uar, uar_ci, war, macro_f1, per_class, confusion, ece` (see `ser.evaluation.report.summarize`) on
        the sentences as written; `weighted_f1`, and `shares`, for each label its share in the truth and in the
        answers; `transcript` with `uar, war, macro_f1, ece` on the same in lower case without punctuation; and
        what was left out: `multi_label` rows, `unknown_labels` {name: rows}, rows `without_text`; `model`.

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
