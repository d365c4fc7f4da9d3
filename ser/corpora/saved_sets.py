"""Where an audio set of the `datasets` library lies, and what it is called; needs not that library."""

from pathlib import Path


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
