"""Clips and votes out of the store: audiofolder, CSV, JSONL and Parquet, each written whole or not at all.

Leaves out clips without consent to the purpose of the export. Decodes nothing: stored files are copied as they are.
"""

import csv
import json
import os
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from annotations.database import plain_os_errors
from annotations.errors import ClipNotFoundError, ExchangeError
from annotations.exchange.parquet import write_parquet
from annotations.exchange.sources import OWN_TABLE, TABLE
from annotations.feedback import EFFECTIVE, hard_label, soft_label
from annotations.records import CONSENT_PURPOSES, Clip, Correction
from annotations.rows import CLIPS, CORRECTIONS, to_clip, to_correction
from annotations.store import AnnotationStore
from ser.labels import EMOTIONS

FORMATS = ("audiofolder", "csv", "jsonl", "parquet")
AUDIO = "audio"

VOTE_FIELDS = ("rater", "verdict", "label", "intensity", "transcript", "created_at", "retracted_at")

Record = dict[str, object]


@dataclass
class ExportReport:
    """What an export holds.

    Attributes:
        clips: that were exported.
        votes: raw votes on them, those taken back included.
        without_consent: clips left out for lack of consent to the purpose.
        missing: (clip, reason) of clips whose recording is gone.
    """

    clips: int = 0
    votes: int = 0
    without_consent: int = 0
    missing: list[tuple[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """As plain values for JSON."""
        missing = [{"clip": name, "error": reason} for name, reason in self.missing]
        return {"clips": self.clips, "votes": self.votes, "without_consent": self.without_consent, "missing": missing}


@dataclass(frozen=True)
class Exported:
    """A clip on its way out: what is said of it, and its file."""

    record: Record
    path: Path


def export_store(store: AnnotationStore, form: str, out: Path, purpose: str = "research") -> ExportReport:
    """Write clips with their votes, raw and taken together.

    `audiofolder` is a folder with `audio/`, the table `metadata.csv` for `datasets`, and `annotations.jsonl`, from
    which an import restores clips, consents, votes and times. `jsonl` is that table with its recordings in a
    folder beside it. `csv` is a table of clips, with the raw votes in a second one beside it, without recordings.
    `parquet` is one file with the recordings inside, as `datasets` and the Hub's viewer read it.

    Args:
        store: to read, at one moment.
        form: one of `FORMATS`.
        out: the folder or file to make; must not be there yet.
        purpose: one of `CONSENT_PURPOSES`; clips without consent to it are left out.

    Raises:
        ExchangeError: where `out` is there already, or form or purpose are unknown.
        StoreError: where the disk is full or refuses; nothing is left of the export then.
    """
    if form not in FORMATS:
        raise ExchangeError(f"The format is '{form}'; expected one of {', '.join(FORMATS)}.")
    if purpose not in CONSENT_PURPOSES:
        raise ExchangeError(f"The purpose is '{purpose}'; expected one of {', '.join(CONSENT_PURPOSES)}.")
    out = out.absolute()
    report = ExportReport()
    clips = _read(store, purpose, report)
    writers: dict[str, Callable[[Iterable[Exported], Path], None]] = {
        "audiofolder": _write_audiofolder,
        "csv": _write_csv,
        "jsonl": _write_jsonl,
        "parquet": lambda found, folder: write_parquet(((c.record, c.path) for c in found), folder / out.name),
    }
    with plain_os_errors(out.parent), _all_or_nothing(out, form) as folder:
        writers[form](clips, folder / out.name if form in ("csv", "jsonl") else folder)
    return report


def _read(store: AnnotationStore, purpose: str, report: ExportReport) -> Iterator[Exported]:
    with store.reading() as connection:
        votes: dict[int, list[Correction]] = defaultdict(list)
        for row in connection.execute(f"{CORRECTIONS} ORDER BY corrections.id"):
            votes[row["clip_id"]].append(to_correction(row))
        standing = {row["id"] for row in connection.execute(EFFECTIVE)}
        consents: dict[int, list[Record]] = defaultdict(list)
        for row in connection.execute("SELECT * FROM consents_in_force"):
            given = {key: row[key] for key in ("purpose", "given_by", "created_at")}
            consents[row["clip_id"]].append(given)
        clips = [to_clip(row) for row in connection.execute(f"{CLIPS} ORDER BY clips.id")]
    for clip in clips:
        if purpose not in clip.consent:
            report.without_consent += 1
            continue
        try:
            path = store.clip_path(clip)
        except ClipNotFoundError as error:
            report.missing.append((clip.sha256, str(error)))
            continue
        report.clips += 1
        report.votes += len(votes[clip.id])
        yield Exported(_describe(clip, votes[clip.id], standing, consents[clip.id]), path)


def _describe(clip: Clip, votes: list[Correction], standing: set[int], consents: list[Record]) -> Record:
    said = [vote for vote in votes if vote.id in standing and vote.label is not None]
    shares = soft_label(vote.label for vote in said if vote.label)
    return {
        "file_name": f"{AUDIO}/{clip.sha256}.flac",
        "sha256": clip.sha256,
        "duration": clip.duration,
        "speaker": clip.speaker,
        "session": clip.session,
        "source": clip.source,
        "created_at": clip.created_at,
        "label": hard_label(shares) if shares else None,
        "soft_label": {label: shares.get(label, 0.0) for label in EMOTIONS} if shares else None,
        "raters": len(said),
        "transcript": next((vote.transcript for vote in reversed(said) if vote.transcript), None),
        "consents": consents,
        "votes": [{name: getattr(vote, name) for name in VOTE_FIELDS} for vote in votes],
    }


def _write_audiofolder(clips: Iterable[Exported], folder: Path) -> None:
    (folder / AUDIO).mkdir()
    with (
        open(folder / TABLE, "w", encoding="utf-8", newline="") as table,
        open(folder / OWN_TABLE, "w", encoding="utf-8", newline="\n") as own,
    ):
        writer = csv.writer(table)
        writer.writerow(_FLAT)
        for clip in clips:
            shutil.copyfile(clip.path, folder / str(clip.record["file_name"]))
            writer.writerow(_flatten(clip.record))
            own.write(json.dumps(clip.record, ensure_ascii=False) + "\n")


def _write_jsonl(clips: Iterable[Exported], table: Path) -> None:
    audio = table.with_name(f"{table.stem}_{AUDIO}")
    audio.mkdir()
    with open(table, "w", encoding="utf-8", newline="\n") as own:
        for clip in clips:
            target = audio / f"{clip.record['sha256']}.flac"
            shutil.copyfile(clip.path, target)
            record = {**clip.record, "file_name": f"{audio.name}/{target.name}"}
            own.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_csv(clips: Iterable[Exported], table: Path) -> None:
    votes_table = table.with_name(f"{table.stem}_votes{table.suffix}")
    with (
        open(table, "w", encoding="utf-8", newline="") as first,
        open(votes_table, "w", encoding="utf-8", newline="") as second,
    ):
        writer, votes = csv.writer(first), csv.writer(second)
        writer.writerow(_FLAT[1:])
        votes.writerow(("sha256", *VOTE_FIELDS))
        for clip in clips:
            writer.writerow(_flatten(clip.record)[1:])
            for vote in clip.record["votes"]:  # type: ignore[attr-defined]
                votes.writerow((clip.record["sha256"], *vote.values()))


_PLAIN = (
    "file_name",
    "sha256",
    "duration",
    "label",
    "raters",
    "speaker",
    "session",
    "source",
    "created_at",
    "transcript",
)
_FLAT = (*_PLAIN, "consent", *(f"share_{label}" for label in EMOTIONS))


def _flatten(record: Record) -> list[object]:
    shares = record["soft_label"]
    purposes = [str(given["purpose"]) for given in record["consents"]]  # type: ignore[attr-defined]
    flat = [record[name] for name in _PLAIN]
    return [
        *flat,
        " ".join(sorted(purposes)),
        *(shares.values() if isinstance(shares, dict) else [None] * len(EMOTIONS)),
    ]


@contextmanager
def _all_or_nothing(out: Path, form: str) -> Iterator[Path]:
    """A scratch folder whose content moves to its place once all of it is written."""
    partners = {
        "csv": [out.with_name(f"{out.stem}_votes{out.suffix}")],
        "jsonl": [out.with_name(f"{out.stem}_{AUDIO}")],
    }.get(form, [])
    for path in (out, *partners):
        if path.exists() and not (form == "audiofolder" and path.is_dir() and not any(path.iterdir())):
            raise ExchangeError(f"{path} exists already. Choose another place, or move it away.")
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f".tmp-{os.getpid()}-{uuid.uuid4().hex}")
    scratch.mkdir()
    try:
        yield scratch
        if form == "audiofolder":
            os.replace(scratch, out)
        else:
            # The main table comes last: once it is there, so is what it refers to.
            for path in (*partners, out):
                os.replace(scratch / path.name, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
