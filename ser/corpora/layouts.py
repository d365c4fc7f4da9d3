"""The list of layouts, and the reading of a folder in whichever it has."""

import logging
from collections.abc import Sequence
from pathlib import Path

from ser.corpora.acted import CREMA_D, EMODB, RAVDESS, SAVEE, TESS, TUREV
from ser.corpora.corpus import Corpus, Layout, build_corpus
from ser.corpora.folders import AUDIO_SET, FOLDERS, set_name
from ser.corpora.iemocap import IEMOCAP
from ser.corpora.tables.files import TABLE_SUFFIXES
from ser.corpora.tables.layouts import MELD, METADATA, MSP_PODCAST, NEMO, TABLE
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS
from ser.types import Example

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        *(METADATA, NEMO, MELD, MSP_PODCAST, IEMOCAP),
        *(RAVDESS, CREMA_D, TESS, SAVEE, EMODB, TUREV),
        *(AUDIO_SET, TABLE, FOLDERS),
    )
}
"""By name, in the order in which they are looked for: a table says more than names, and bare folders say least."""

logger = logging.getLogger(__name__)


def read_corpus(source: Path | str, label_set: Sequence[str] = EMOTIONS, *, layout: str | None = None) -> Corpus:
    """Read a corpus.

    Args:
        source: a folder, or a table in it; or `LAYOUT:FOLDER` to name its layout; or
            `datasets:ID[:CONFIG][:SPLIT]` for an audio data set of the Hub, in its cache or on disk.
        label_set: the labels wanted; with `ser.labels.RAVDESS_EIGHT`, calm stays apart from neutral.
        layout: one of `LAYOUTS`; by default it is recognised.

    Returns:
        Its examples, and what was left out by name and number.

    Raises:
        TrainingDataError: if the layout is unknown, a table is unreadable or lacks a column, or no usable example
            comes of it.
    """
    prefix, colon, rest = str(source).partition(":")
    if colon and prefix in LAYOUTS and not Path(source).exists():
        source, layout = rest, prefix
    if layout is not None and layout not in LAYOUTS:
        raise TrainingDataError(f"There is no layout '{layout}'. Choose one of {', '.join(LAYOUTS)}.")
    chosen = _recognise(Path(source)) if layout is None else LAYOUTS[layout]
    folder = Path(source)
    if chosen is not AUDIO_SET and not folder.exists():
        raise TrainingDataError(f"There is no folder '{folder}'. Check the path.")
    return build_corpus(
        chosen.rows(folder),
        name=_name(str(source), chosen),
        folder=folder.parent if folder.is_file() else folder,
        label_set=label_set,
        layout=chosen.name,
        licence=chosen.licence,
    )


def load_corpus(source: Path | str, label_set: Sequence[str] = EMOTIONS, *, layout: str | None = None) -> list[Example]:
    """The examples of a corpus; what was left out is logged as a warning.

    Raises:
        TrainingDataError: as `read_corpus`.
    """
    corpus = read_corpus(source, label_set, layout=layout)
    for note in corpus.notes:
        logger.warning(note)
    return list(corpus.examples)


def _name(source: str, layout: Layout) -> str:
    """Weights and figures go by the corpus's own name; tables and plain folders by their folder's."""
    if layout is AUDIO_SET:
        return set_name(source)
    folder = Path(source).resolve()
    return (folder.parent if folder.is_file() else folder).name if layout in (METADATA, TABLE, FOLDERS) else layout.name


def _recognise(folder: Path) -> Layout:
    if folder.is_file() and folder.suffix.lower() in TABLE_SUFFIXES:
        return METADATA
    if not folder.is_dir():
        raise TrainingDataError(f"There is no folder '{folder}'. Check the path.")
    for layout in LAYOUTS.values():
        if layout.recognises(folder):
            return layout
    known = "; ".join(f"{layout.name}: {layout.looks_like}" for layout in LAYOUTS.values() if layout is not METADATA)
    raise TrainingDataError(
        f"There is no metadata.csv in {folder}; a table with the columns file_name,label,speaker is "
        f"expected there, or one of these layouts ({known}). Name the layout with --layout where it is not seen."
    )
