"""Clips and votes out of the store in several forms, each written whole or not at all, and remembered for erasures.

Leaves out clips without consent to the purpose of the export. Decodes nothing: stored files are copied as they are.
"""

import functools
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from annotations.errors import ExchangeError
from annotations.exchange.exports.audformat import write_audformat
from annotations.exchange.exports.card import CARD, Card
from annotations.exchange.exports.labelstudio import CONFIG, write_labelstudio
from annotations.exchange.exports.parquet import write_parquet
from annotations.exchange.exports.reading import AUDIO, Exported, ExportReport, read_clips
from annotations.exchange.exports.tables import write_audiofolder, write_csv, write_jsonl
from annotations.exchange.registry import RememberedExport, forget_export, is_whole, remember_export
from annotations.labels.stored import label_set
from annotations.store import AnnotationStore
from annotations.store.database import plain_os_errors
from annotations.store.media import TEMPORARY
from annotations.store.records import CONSENT_PURPOSES

__all__ = ["FORMATS", "ExportReport", "export_store", "remake_export"]

SPREADSHEET = "csv for spreadsheets"
"""CSV whose text no spreadsheet takes for formulas; a form of its own, so that an erasure writes it so again."""

_OWN_FILE = re.compile(r"[0-9a-f]{64}\.(flac|jpg)")

OnClip = Callable[[int], None]

Write = Callable[[Iterable[Exported], Path, Sequence[str]], None]


@dataclass(frozen=True)
class Form:
    """Format and contents of an export.

    Attributes:
        write: makes it, given a scratch folder, or in that the main file, and the labels of the store.
        is_folder: whether it is a folder; otherwise it is a file, and perhaps `partners` next to it.
        partners: from the file's name to those of the files and folders next to it.
    """

    write: Write
    is_folder: bool = False
    partners: Callable[[Path], Sequence[str]] = lambda out: ()


_FORMS: Mapping[str, Form] = {
    "audiofolder": Form(write_audiofolder, is_folder=True),
    "parquet": Form(write_parquet),
    "csv": Form(write_csv, partners=lambda out: [f"{out.stem}_votes{out.suffix}"]),
    SPREADSHEET: Form(
        functools.partial(write_csv, for_spreadsheets=True), partners=lambda out: [f"{out.stem}_votes{out.suffix}"]
    ),
    "jsonl": Form(write_jsonl, partners=lambda out: [f"{out.stem}_{AUDIO}"]),
    "audformat": Form(write_audformat, is_folder=True),
    "labelstudio": Form(write_labelstudio, partners=lambda out: [f"{out.stem}_{AUDIO}", f"{out.stem}_{CONFIG}"]),
}
FORMATS = tuple(form for form in _FORMS if form != SPREADSHEET)


def export_store(
    store: AnnotationStore,
    form: str,
    out: Path,
    purpose: str = "research",
    *,
    licence: str | None = None,
    only: Collection[int] | None = None,
    remembered: bool = True,
    on_clip: OnClip | None = None,
) -> ExportReport:
    """Write clips with their votes, raw and taken together.

    `audiofolder` is a folder with `audio/`, the table `metadata.csv` for `datasets`, and `annotations.jsonl`, from
    which an import restores clips, consents, answers, votes and times. `jsonl` is that table with a
    folder of its recordings. Both hold the pictures of faces that may be passed on, each next to its recording; other
    forms hold none. `csv` is a table of clips, with the raw votes in a second table, without recordings.
    `parquet` is one file with the recordings inside, as `datasets` and the Hub's viewer read it; an import restores
    all from it, too. `audformat` is a folder as the package of that name reads it, and `labelstudio` a list of tasks
    with annotations and predictions. Each comes with a data set card.

    Args:
        store: to read, at one moment.
        form: one of `FORMATS`, or `SPREADSHEET`.
        out: the folder or file to make; must not be there yet.
        purpose: one of `CONSENT_PURPOSES`; clips without consent to it are left out.
        licence: under which the recordings may be passed on, for the card.
        only: ids of the clips wanted; None for all.
        remembered: whether erasures should look for it; False for one that is deleted at once.
        on_clip: told after each clip how many there are so far; what it raises ends the export without a trace.

    Raises:
        ExchangeError: if `out` is there already, or form or purpose are unknown.
        StoreError: if the disk is full or refuses; nothing is left of the export then.
    """
    if form not in _FORMS:
        raise ExchangeError(f"The format is '{form}'; expected one of {', '.join(FORMATS)}.")
    if purpose not in CONSENT_PURPOSES:
        raise ExchangeError(f"The purpose is '{purpose}'; expected one of {', '.join(CONSENT_PURPOSES)}.")
    out = out.absolute()
    for path in _places(out, form):
        empty_folder = path.is_dir() and not any(path.iterdir())
        if path.exists() and not (_FORMS[form].is_folder and empty_folder):
            raise ExchangeError(f"{path} exists already. Choose another place, or move it away.")
    return _export(store, form, out, purpose, licence, only, remembered, on_clip)


def remake_export(store: AnnotationStore, export: RememberedExport, clip_ids: Collection[int]) -> ExportReport:
    """Write an export over itself from the present store; other files in its folder stay.

    Raises:
        StoreError: if the disk is full or refuses.
    """
    return _export(store, export.form, Path(export.path), export.purpose, None, clip_ids)


def _export(
    store: AnnotationStore,
    form: str,
    out: Path,
    purpose: str,
    licence: str | None,
    only: Collection[int] | None,
    remembered: bool = True,
    on_clip: OnClip | None = None,
) -> ExportReport:
    report = ExportReport()
    card = Card(store, purpose, licence)
    clips = card.counting(_counted(read_clips(store, purpose, report, only), on_clip))
    with plain_os_errors(out.parent), _scratch(out) as scratch:
        _FORMS[form].write(clips, scratch if _FORMS[form].is_folder else scratch / out.name, label_set(store).names)
        card.write(scratch / _card_name(out, form), form, out.name)
        number = remember_export(store, str(out), form, purpose, report.clip_ids) if remembered else None
        try:
            _put_in_place(scratch, out, form)
        except BaseException:
            if number is not None:
                forget_export(store, number)
            raise
    if number is not None and not is_whole(store, number, report.clips):
        # Erased after it was read and before it could be found here.
        return _export(store, form, out, purpose, licence, report.clip_ids)
    return report


def _counted(clips: Iterator[Exported], on_clip: OnClip | None) -> Iterator[Exported]:
    for done, clip in enumerate(clips, 1):
        yield clip
        if on_clip is not None:
            on_clip(done)


def _card_name(out: Path, form: str) -> str:
    return CARD if _FORMS[form].is_folder else f"{out.stem}_{CARD}"


def _places(out: Path, form: str) -> list[Path]:
    """List the files that an export writes next to `out` or in its place; the main file comes last."""
    if _FORMS[form].is_folder:
        return [out]
    return [*(out.with_name(name) for name in (_card_name(out, form), *_FORMS[form].partners(out))), out]


def _put_in_place(scratch: Path, out: Path, form: str) -> None:
    if not _FORMS[form].is_folder:
        # The main file comes last: once it is there, so is what it refers to.
        for path in _places(out, form):
            if path.is_dir():
                _replace_parts(scratch / path.name, path)
            else:
                os.replace(scratch / path.name, path)
    elif not out.exists() or not any(out.iterdir()):
        os.replace(scratch, out)
    else:
        _replace_parts(scratch, out)


def _replace_parts(new: Path, old: Path) -> None:
    """Put the files of a folder in the place of an earlier export's; recordings and pictures no more in it go."""
    kept = {path.name for path in new.rglob("*.*")}
    for path in list(old.rglob("*.*")):
        if _OWN_FILE.fullmatch(path.name) and path.name not in kept:
            path.unlink()
    for path in list(new.rglob("*")):
        if path.is_file():
            target = old / path.relative_to(new)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Make a temporary folder next to `out`, removed afterwards."""
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex}")
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
