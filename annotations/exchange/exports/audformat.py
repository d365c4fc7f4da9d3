"""Clips as an audformat database: `db.yaml`, tables in CSV and the recordings, as the package `audformat` loads them.

Source: https://audeering.github.io/audformat/ (data header, data tables). Knows records and files; knows no store.
"""

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from annotations.exchange.exports.reading import AUDIO, Exported
from annotations.exchange.exports.tables import gold_label, votes_of
from ser.labels import EMOTIONS
from ser.types import SAMPLING_RATE

HEADER = "db.yaml"

FILES: Mapping[str, str] = {
    "emotion": "emotion",
    "gold": "emotion",
    "raters": "count",
    "duration": "seconds",
    "speaker": "text",
    "session": "text",
    "source": "text",
    "language": "text",
    "transcript": "text",
    "sha256": "text",
    "parent_sha256": "text",
    "parent_start": "seconds",
    "parent_end": "seconds",
}
"""Columns of the table of files without the shares, each with its scheme."""

VOTES: Mapping[str, str] = {
    "file": "text",
    "rater": "text",
    "verdict": "verdict",
    "emotion": "emotion",
    "intensity": "percent",
    "valence": "percent",
    "arousal": "percent",
    "transcript": "text",
    "comment": "text",
    "seconds": "seconds",
    "created_at": "text",
    "retracted_at": "text",
}

SCHEMES: Mapping[str, Mapping[str, object]] = {
    "verdict": {"dtype": "str", "labels": ["accept", "correct", "skip", "unsure"]},
    "text": {"dtype": "str"},
    "count": {"dtype": "int", "minimum": 0},
    "percent": {"dtype": "int", "minimum": 0, "maximum": 100},
    "seconds": {"dtype": "float", "minimum": 0},
    "share": {"dtype": "float", "minimum": 0, "maximum": 1},
}


def write_audformat(clips: Iterable[Exported], folder: Path, labels: Sequence[str] = EMOTIONS) -> None:
    """A table of files with the votes taken together, and one of the raw votes."""
    (folder / AUDIO).mkdir()
    (folder / HEADER).write_text(yaml.safe_dump(_header(labels), sort_keys=False, allow_unicode=True), encoding="utf-8")
    number = 0
    with (
        open(folder / "db.files.csv", "w", encoding="utf-8", newline="") as first,
        open(folder / "db.votes.csv", "w", encoding="utf-8", newline="") as second,
    ):
        files, votes = csv.writer(first), csv.writer(second)
        columns = _columns(labels)
        files.writerow(("file", *columns))
        votes.writerow(("vote", *VOTES))
        for clip in clips:
            name = str(clip.record["file_name"])
            shutil.copyfile(clip.path, folder / name)
            files.writerow((name, *_file_cells(clip.record, columns)))
            for vote in votes_of(clip.record):
                said = {**vote, "file": name, "emotion": vote["label"]}
                votes.writerow((number, *(said.get(column) for column in VOTES)))
                number += 1


def _columns(labels: Sequence[str]) -> dict[str, str]:
    return {**FILES, **{f"share_{label}": "share" for label in labels}}


def _file_cells(record: Mapping[str, object], columns: Iterable[str]) -> list[object]:
    shares = record["soft_label"]
    said: dict[str, object] = {**record, "emotion": record["label"], "gold": gold_label(dict(record))}
    if isinstance(shares, dict):
        said |= {f"share_{label}": share for label, share in shares.items()}
    return [said.get(column) for column in columns]


def _header(labels: Sequence[str]) -> dict[str, object]:
    taken_together = {"emotion", *(f"share_{label}" for label in labels)}
    files = {
        name: {"scheme_id": scheme, **({"rater_id": "raters"} if name in taken_together else {})}
        for name, scheme in _columns(labels).items()
    }
    files["gold"]["rater_id"] = "gold"
    return {
        "name": "speech-emotion-studio",
        "description": "Recordings with emotions as raters labelled them. 'files' takes the votes on each together, "
        "'votes' holds every one of them.",
        "source": "Speech Emotion Studio",
        "usage": "other",
        "media": {"clips": {"type": "audio", "format": "flac", "channels": 1, "sampling_rate": SAMPLING_RATE}},
        "raters": {
            "raters": {"type": "vote", "description": "the newest standing vote of each rater, counting the same"},
            "gold": {"type": "ground truth", "description": "a known answer"},
        },
        "schemes": {
            "emotion": {"dtype": "str", "labels": list(labels)},
            **{name: dict(scheme) for name, scheme in SCHEMES.items()},
        },
        "tables": {"files": {"type": "filewise", "media_id": "clips", "columns": files}},
        "misc_tables": {
            "votes": {
                "levels": {"vote": "int"},
                "columns": {name: {"scheme_id": scheme} for name, scheme in VOTES.items()},
            }
        },
    }
