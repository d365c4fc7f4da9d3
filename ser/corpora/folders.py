"""Layouts of the `datasets` library: folders named by emotion, and its sets, which `ser.corpora.audio_sets` opens."""

import importlib
from collections.abc import Iterator
from pathlib import Path

from ser.audio.formats import AUDIO_SUFFIXES
from ser.corpora.corpus import Broken, Layout, Row, recordings, relative
from ser.labels import to_emotion

SPLITS = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
"""Names of folders above those of the emotions. Source: the audiofolder of `datasets`."""


def folder_rows(folder: Path) -> Iterator[Row | Broken]:
    """`happy/any.wav`, or `train/happy/any.wav`: the folder is the label; speakers are unknown."""
    for path in recordings(folder):
        parents = path.relative_to(folder).parts[:-1]
        if not parents:
            yield Broken(path.name, "it lies in no folder named by an emotion")
            continue
        split = SPLITS.get(parents[0].lower()) if len(parents) > 1 else None
        yield Row(relative(path, folder), parents[-1], split=split)


def _recognises(folder: Path) -> bool:
    """Two folders named by an emotion, at least, with recordings in them."""
    places = {
        path.name.lower() for deep in ("*", "*/*") for path in folder.glob(deep) if path.is_dir() and _holds(path)
    }
    return len({to_emotion(name) for name in places} - {None}) >= 2


def _holds(folder: Path) -> bool:
    return any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.iterdir())


FOLDERS = Layout(
    "folders",
    "angry/any.wav or train/angry/any.wav",
    "",
    "https://huggingface.co/docs/datasets/audio_dataset",
    _recognises,
    folder_rows,
)


def is_saved_set(folder: Path) -> bool:
    """Whether `save_to_disk` of the `datasets` library left this folder."""
    return any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json", "state.json"))


def set_name(source: str) -> str:
    """What a set is called: the last part of its id, or the folder's name.

    >>> set_name("owner/speech:english:train")
    'speech'
    """
    folder = Path(source)
    return folder.resolve().name if folder.is_dir() else source.partition(":")[0].rpartition("/")[2]


def _set_rows(source: Path) -> Iterator[Row | Broken]:
    # Loading the library takes longer than reading most corpora.
    rows: Iterator[Row | Broken] = importlib.import_module("ser.corpora.audio_sets").set_rows(str(source))
    return rows


AUDIO_SET = Layout(
    "datasets",
    "Parquet files, or what save_to_disk left; or datasets:ID[:CONFIG][:SPLIT] for one of the Hub",
    "see the set's card",
    "https://huggingface.co/docs/datasets/audio_dataset",
    lambda folder: is_saved_set(folder) or any(folder.glob("*.parquet")) or any(folder.glob("data/*.parquet")),
    _set_rows,
)
