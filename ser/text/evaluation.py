"""How well a text model does on labelled sentences, as written and as a transcript would have them.

Knows nothing of speech; the figures come from `ser.evaluation`.
"""

from pathlib import Path
from typing import Any

from ser.errors import TrainingDataError
from ser.evaluation import restrict, summarize
from ser.labels import EMOTIONS
from ser.text.data import as_transcript, read_labelled_texts
from ser.types import TextModel


def evaluate_text(model: TextModel, csv: Path) -> dict[str, Any]:
    """Let a text model answer every sentence that has a single emotion.

    Args:
        model: to be measured.
        csv: columns `text` and `label`, or `labels` (several separated by spaces).

    Returns:
        `n, uar, uar_ci, war, macro_f1, per_class, confusion, ece` (see `ser.evaluation.summarize`) on the sentences as
        written; `transcript` with `uar, war, macro_f1, ece` on the same in lower case without punctuation; and what
        was left out: `multi_label` rows, `unknown_labels` {name: rows}, rows `without_text`; `model`.

    Raises:
        TrainingDataError: where the file is malformed or has no row with a single emotion.
    """
    rows = read_labelled_texts(Path(csv))
    chosen = [(text, names[0]) for text, names in zip(rows.texts, rows.labels, strict=True) if len(names) == 1]
    if not chosen:
        raise TrainingDataError(f"Every row of {csv} has several labels; rows with one label are needed to evaluate.")
    truth = [label for _, label in chosen]
    written, _ = restrict(model.classify_batch([text for text, _ in chosen]), EMOTIONS)
    spoken, _ = restrict(model.classify_batch([as_transcript(text) for text, _ in chosen]), EMOTIONS)
    as_heard = summarize(truth, spoken, EMOTIONS)
    return {
        **summarize(truth, written, EMOTIONS),
        "transcript": {name: as_heard[name] for name in ("uar", "war", "macro_f1", "ece")},
        "multi_label": len(rows) - len(chosen),
        "unknown_labels": dict(rows.unknown_labels),
        "without_text": rows.without_text,
        "model": model.name,
    }
