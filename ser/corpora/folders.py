"""Layouts of the `datasets` library: folders named by emotion, and its sets, which `ser.corpora.audio_sets` opens."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from ser.audio.formats import AUDIO_SUFFIXES
from ser.corpora.corpus import Broken, Layout, Row, recordings, relative
from ser.labels import to_emotion

SPLITS = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
"""Names of folders above those of the emotions. Source: the audiofolder of `datasets`."""


def folder_rows(folder: Path) -> Iterator[Row | Broken]:
    """`happy/any.wav`, or `train/happy/any.wav`: the folder is the label; speakers are unknown."""
    return rows_by_folder(relative(path, folder) for path in recordings(folder))


def rows_by_folder(names: Iterable[str]) -> Iterator[Row | Broken]:
    """Rows of recordings, by their names below the corpus's folder, whose folder is their label."""
    for name in names:
        parents = PurePosixPath(name).parts[:-1]
        if not parents:
            yield Broken(name, "it lies in no folder named by an emotion")
            continue
        split = SPLITS.get(parents[0].lower()) if len(parents) > 1 else None
        yield Row(name, parents[-1], split=split)


def is_sorted_by_label(names: Iterable[str], known: Callable[[str], object] = to_emotion) -> bool:
    """True if recordings lie in two folders named by different labels, at least, one or two deep.

    >>> is_sorted_by_label(["train/angry/1.wav", "train/sad/1.wav"]), is_sorted_by_label(["angry/1.wav", "2.wav"])
    (True, False)
    """
    paths = [PurePosixPath(name) for name in names if PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES]
    return len({known(path.parts[-2]) for path in paths if 2 <= len(path.parts) <= 3} - {None}) >= 2


def is_saved_set(folder: Path) -> bool:
    """True if `save_to_disk` of the `datasets` library left this folder."""
    return any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json", "state.json"))


def set_name(source: str) -> str:
    """The name of a set: the last part of its id, or the name of its folder or file.

    >>> set_name("owner/speech:english:train")
    'speech'
    """
    place = Path(source.partition(":")[0])
    return place.resolve().name if place.is_dir() else place.stem if place.is_file() else place.name


FOLDERS = Layout(
    "folders",
    "angry/any.wav or train/angry/any.wav",
    "",
    "https://huggingface.co/docs/datasets/audio_dataset",
    lambda folder: is_sorted_by_label(path.relative_to(folder).as_posix() for path in folder.glob("*/**/*.*")),
    folder_rows,
)


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
