"""Audio sets of the `datasets` library -> rows: from the Hub, saved to disk, or in Parquet files.

Imported only when such a set is read: the library is slow to load. Recordings that lie inside a set are written to
files once, named by their content; they are decoded by `ser.audio.decoding`.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from ser.corpora.corpus import Broken, Row
from ser.corpora.folders import is_saved_set, set_name
from ser.errors import TrainingDataError

LABEL_COLUMNS = ("label", "emotion", "emotions", "labels", "major_emotion", "class", "EmoClass")
SPEAKER_COLUMNS = ("speaker", "speaker_id", "speakerid", "actor", "actor_id", "client_id", "SpkrID")
TEXT_COLUMNS = ("transcript", "transcription", "raw_text", "text", "sentence", "normalized_text")
"""Names in use for the same thing, the first one that is there counts. Source: the columns of public sets."""


def set_rows(source: str) -> Iterator[Row | Broken]:
    """Rows of a set, with absolute paths.

    Args:
        source: `ID[:CONFIG][:SPLIT]` of the Hub, or a folder with Parquet files or what `save_to_disk` left.

    Raises:
        TrainingDataError: if the set cannot be had, or has no column of recordings or of labels.
    """
    folder = Path(source)
    try:
        if folder.is_dir():
            parts = _local(folder)
        else:
            name, _, rest = source.partition(":")
            config, split = _config_and_split(rest)
            loaded = datasets.load_dataset(name, config, split=split)
            parts = {split: loaded} if split else dict(loaded)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise TrainingDataError(
            f"The audio set '{source}' cannot be had: {error} Expected is ID[:CONFIG][:SPLIT] of the Hub, or a folder "
            "with Parquet files or of save_to_disk."
        ) from error
    columns = _Columns(next(iter(parts.values())).features, source)
    return _rows(parts, columns, set_name(source))


def _local(folder: Path) -> dict[str, Any]:
    """{split: set} of a folder."""
    if is_saved_set(folder):
        loaded = datasets.load_from_disk(str(folder))
    else:
        files: dict[str, list[str]] = {}
        for path in sorted(folder.rglob("*.parquet")):
            # The Hub names files train-00000-of-00002.parquet.
            files.setdefault(path.stem.split("-")[0], []).append(str(path))
        if not files:
            raise TrainingDataError(f"There are no Parquet files in {folder}, and save_to_disk left nothing there.")
        loaded = datasets.load_dataset("parquet", data_files=files)
    return dict(loaded) if isinstance(loaded, dict) else {"": loaded}


def _config_and_split(rest: str) -> tuple[str | None, str | None]:
    """`config:split`, `config` or `split`; one word alone is a split where it sounds like one."""
    first, _, second = rest.partition(":")
    if second:
        return first or None, second
    return (None, first) if first in _SPLITS else (first or None, None)


class _Columns:
    """The columns of a set by what they hold."""

    def __init__(self, features: Mapping[str, Any], source: str) -> None:
        self.features = features
        audio = [name for name, kind in features.items() if isinstance(kind, datasets.Audio)]
        label = self.find(LABEL_COLUMNS)
        if not audio or label is None:
            raise TrainingDataError(
                f"The audio set '{source}' has the columns {', '.join(features)}; one of recordings (Audio) and one of "
                f"{', '.join(LABEL_COLUMNS)} are needed."
            )
        self.audio, self.label = audio[0], label
        self.names: Sequence[str] | None = getattr(features[label], "names", None)

    def find(self, names: Iterable[str]) -> str | None:
        """The first of `names` that the set has."""
        lower = {name.lower(): name for name in self.features}
        return next((lower[name.lower()] for name in names if name.lower() in lower), None)


def _rows(parts: Mapping[str, Any], columns: _Columns, corpus: str) -> Iterator[Row | Broken]:
    speaker, text = columns.find(SPEAKER_COLUMNS), columns.find(TEXT_COLUMNS)
    for split, part in parts.items():
        # Never decoded by the library: its decoder needs FFmpeg's libraries on the machine.
        for number, row in enumerate(part.cast_column(columns.audio, datasets.Audio(decode=False))):
            where = f"{split or 'row'} {number}"
            label = row[columns.label]
            if columns.names is not None and isinstance(label, int):
                label = columns.names[label] if 0 <= label < len(columns.names) else None
            file = _file_of(row[columns.audio])
            if file is None or label is None:
                yield Broken(where, "no recording" if file is None else "no label")
                continue
            yield Row(
                file,
                str(label),
                f"{corpus}_{row[speaker]}" if speaker and row[speaker] not in (None, "") else "",
                row[text] if text else None,
                _word(row.get("language")),
                _word(row.get("gender")),
                split=_SPLITS.get(split, split),
            )


def _word(value: object) -> str | None:
    return value.lower() if isinstance(value, str) else None


def _file_of(audio: Mapping[str, Any] | None) -> str | None:
    """The path of a recording; one that lies inside the set is written to a file first."""
    if not audio:
        return None
    path, data = audio.get("path"), audio.get("bytes")
    if data is None:
        return str(Path(path).resolve()) if path else None
    suffix = Path(path or "").suffix or ".wav"
    name = hashlib.sha256(data).hexdigest()
    file = recordings_dir() / name[:2] / f"{name}{suffix}"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        building = file.with_suffix(f".{os.getpid()}.tmp")
        building.write_bytes(data)
        os.replace(building, file)
    return str(file)


def recordings_dir() -> Path:
    """Folder for recordings out of audio sets; safe to delete at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "speech-emotion-studio" / "recordings"


_SPLITS = {"train": "train", "validation": "dev", "dev": "dev", "valid": "dev", "test": "test"}
