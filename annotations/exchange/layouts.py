"""What a corpus's own layout says of its recordings, where no table of ours lies in the folder.

Asks `ser.corpora`, which knows how owners lay out their corpora; opens no audio.
"""

from collections.abc import Mapping
from pathlib import Path

from ser.corpora import LAYOUTS
from ser.corpora.corpus import Row
from ser.errors import TrainingDataError

NOT_HERE = frozenset({"metadata", "datasets"})
"""Layouts that an import reads by itself: our own table, and sets of `datasets`."""


def said_by_layout(folder: Path) -> tuple[str | None, dict[str, Mapping[str, str]]]:
    """Label, speaker, language and transcript of each recording that a corpus's layout speaks of.

    Args:
        folder: of the corpus.

    Returns:
        The layout's name, None where the folder has none that is known, and {file relative to the folder: what is
        said of it}.
    """
    root = folder.resolve()
    for layout in LAYOUTS.values():
        if layout.name in NOT_HERE or not layout.recognises(root):
            continue
        try:
            rows = [row for row in layout.rows(root) if isinstance(row, Row)]
        except TrainingDataError:
            return None, {}
        said: dict[str, Mapping[str, str]] = {}
        for row in rows:
            path = (root / row.file).resolve()
            if path.is_relative_to(root):
                fields = {
                    "label": row.label,
                    "speaker": row.speaker,
                    "transcript": row.transcript,
                    "language": row.language,
                }
                said[path.relative_to(root).as_posix()] = {name: value for name, value in fields.items() if value}
        return layout.name, said
    return None, {}
