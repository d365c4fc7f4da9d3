"""Erases a clip, a speaker, a rater, or what a withdrawn consent covered, everywhere and for good, and reports it.

First the rows go, in one transaction that also notes what is left to do; then the recordings, what was made from them,
copies of the database, and exports.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterable, Sequence

from annotations.errors import ClipNotFoundError, ConsentRequiredError
from annotations.exchange.registry import exports_with_clips, exports_with_rater
from annotations.maintenance.erasure.performing import finish_erasures, perform
from annotations.maintenance.erasure.report import ErasureReport
from annotations.maintenance.erasure.rows import (
    anonymise_person,
    delete_clips,
    delete_person,
    delete_voices,
    forget_sources,
    words_of,
)
from annotations.maintenance.erasure.traces import find_traces
from annotations.store import AnnotationStore
from annotations.store.erasure_log import hash_recording, mark_runs
from annotations.store.faces import delete_faces
from annotations.store.new_records import check_consent, check_rater
from annotations.store.records import CONSENT_PURPOSES
from annotations.store.rows import timestamp

__all__ = [
    "ErasureReport",
    "erase_clip",
    "erase_clips",
    "erase_picture",
    "erase_rater",
    "erase_recording",
    "erase_speaker",
    "finish_erasures",
    "withdraw_consent",
    "withdraw_from_clips",
]


def erase_clip(store: AnnotationStore, clip_id: int, *, by: str, dry_run: bool = False) -> ErasureReport:
    """Erase a clip with everything that is known or was made of it, the clips that were cut from it included.

    Args:
        store: where it lies; others may use it meanwhile.
        clip_id: of the clip.
        by: who erases, for the log.
        dry_run: only count.

    Returns:
        What was erased, what could not be reached, and which model versions trained on it.

    Raises:
        ClipNotFoundError: if there is no such clip.
        StoreError: if the store cannot be written; nothing is erased then.
    """
    parts = _parts_of(store, store.get_clip(clip_id).sha256)
    return erase_clips(store, "clip", f"clip {clip_id}", [clip_id, *parts], by=by, dry_run=dry_run)


def erase_recording(store: AnnotationStore, sha256: str, *, by: str, dry_run: bool = False) -> ErasureReport:
    """Erase every clip that was cut from a recording, and the recording if it is stored, as `erase_clip`.

    Args:
        store: see `erase_clip`.
        sha256: of the recording's decoded signal, as exports name it.
        by: who erases.
        dry_run: only count.

    Raises:
        ClipNotFoundError: if no clip is of that recording.
    """
    whole = store.find_clip(sha256)
    ids = [*([whole.id] if whole else []), *_parts_of(store, sha256)]
    if not ids:
        raise ClipNotFoundError(f"No clip is of the recording {sha256[:12]}.... Exports name it as parent_sha256.")
    return erase_clips(store, "clip", f"recording {sha256}", ids, by=by, dry_run=dry_run, whole=sha256)


def _parts_of(store: AnnotationStore, sha256: str) -> list[int]:
    return [row["id"] for row in store.fetch("SELECT id FROM clips WHERE parent_sha256 = ?", (sha256,))]


def erase_speaker(store: AnnotationStore, speaker: str, *, by: str, dry_run: bool = False) -> ErasureReport:
    """Erase every clip of a speaker, as `erase_clip`, and their voices that are kept.

    Raises:
        ClipNotFoundError: if no clip and no voice has that speaker.
    """
    ids = [row["id"] for row in store.fetch("SELECT id FROM clips WHERE speaker = ?", (speaker,))]
    if not ids and not store.fetch("SELECT 1 FROM voices WHERE speaker = ?", (speaker,)):
        raise ClipNotFoundError(
            f"No clip has the speaker '{speaker}'. Check the spelling; `stats` counts the speakers."
        )
    return erase_clips(store, "speaker", speaker, ids, by=by, dry_run=dry_run)


def erase_rater(
    store: AnnotationStore, rater: str, *, by: str, dry_run: bool = False, keep_votes: bool = False
) -> ErasureReport:
    """Erase a rater: their votes with all they wrote, their roles, and their name wherever it stands.

    Clips stay, also those that the rater brought: erase these by clip or speaker. Where somebody else's record says
    that the rater consented, promoted or started something, a pseudonym takes the name's place.

    Args:
        store: see `erase_clip`.
        rater: their name.
        by: who erases.
        dry_run: only count.
        keep_votes: keep their labels under a pseudonym that nobody can trace back, without transcripts and comments.

    Raises:
        ClipNotFoundError: if the name stands nowhere.
    """
    rater = check_rater(rater)
    pseudonym = f"erased-{secrets.token_hex(4)}"
    by = pseudonym if by == rater else by
    change = anonymise_person if keep_votes else delete_person

    def begin(connection: sqlite3.Connection, number: int, report: ErasureReport) -> dict[str, object]:
        concerned = "corrections.rater = ?"
        if not keep_votes:
            report.versions = mark_runs(connection, number, concerned, (rater,))
        exports = exports_with_rater(connection, rater)
        report.rows = change(connection, rater, pseudonym)
        if not report.rows:
            raise ClipNotFoundError(f"The store knows no rater '{rater}'. Check the spelling.")
        report.votes = report.rows.get("corrections", 0)
        forget_sources(connection, rater)
        return {
            "rater": rater,
            "pseudonym": pseudonym,
            "keep_votes": keep_votes,
            "exports": exports,
            "needles": [rater],
        }

    return perform(store, "rater", rater, begin, by, dry_run)


def withdraw_consent(
    store: AnnotationStore, clip_id: int, purposes: Iterable[str], by: str, *, dry_run: bool = False
) -> ErasureReport:
    """Take back the consent to use a clip for some purposes.

    Exports made for these purposes lose the clip, and model versions trained on it are marked where training is among
    them. Where no purpose is left, the clip is erased: nothing is stored without consent.

    Args:
        store: see `erase_clip`.
        clip_id: of the clip.
        purposes: some of `CONSENT_PURPOSES`.
        by: who withdraws.
        dry_run: only count.

    Raises:
        ClipNotFoundError: if there is no such clip.
        ConsentRequiredError: if none of the purposes was consented to.
    """
    clip = store.get_clip(clip_id)
    withdrawn = [purpose for purpose in check_consent(purposes) if purpose in clip.consent]
    if not withdrawn:
        raise ConsentRequiredError(
            f"Clip {clip_id} may be used for {', '.join(clip.consent) or 'nothing'}; none of what was named. "
            f"Name some of {', '.join(CONSENT_PURPOSES)} that hold."
        )
    if set(withdrawn) == set(clip.consent):
        parts = _parts_of(store, clip.sha256)
        return erase_clips(store, "consent", f"clip {clip_id}", [clip_id, *parts], by=by, dry_run=dry_run)

    return withdraw_from_clips(store, f"clip {clip_id}", [clip_id], withdrawn, by, dry_run=dry_run)


def withdraw_from_clips(
    store: AnnotationStore, subject: str, clip_ids: Sequence[int], purposes: Iterable[str], by: str, *, dry_run: bool
) -> ErasureReport:
    """Take back the consent to use clips for some purposes, as one entry of the log; each keeps another purpose.

    Args:
        store: see `erase_clip`.
        subject: of the log.
        clip_ids: of clips that stay; those without consent to any of the purposes are left as they are.
        purposes: some of `CONSENT_PURPOSES`.
        by: who withdraws.
        dry_run: only count.
    """

    def begin(connection: sqlite3.Connection, number: int, report: ErasureReport) -> dict[str, object]:
        listed, exports, traces, withdrawn = json.dumps(list(clip_ids)), set[int](), [], 0
        for purpose in check_consent(purposes):
            rows = connection.execute(
                "SELECT clip_id, sha256 FROM consents_in_force JOIN clips ON clips.id = clip_id "
                "WHERE purpose = ? AND clip_id IN (SELECT value FROM json_each(?))",
                (purpose, listed),
            ).fetchall()
            connection.executemany(
                "INSERT INTO consents (clip_id, purpose, granted, given_by, created_at) VALUES (?, ?, 0, ?, ?)",
                [(row["clip_id"], purpose, by, timestamp()) for row in rows],
            )
            withdrawn += len(rows)
            concerned = [row["clip_id"] for row in rows]
            exports.update(exports_with_clips(connection, concerned, [purpose]))
            if purpose == "training" and rows:
                voted = "corrections.clip_id IN (SELECT value FROM json_each(?))"
                report.versions = mark_runs(connection, number, voted, (json.dumps(concerned),))
                # The features that training keeps go, the recordings stay.
                traces = [find_traces(store.data_dir, row["sha256"]).as_dict() for row in rows]
        report.rows = {"consents": withdrawn}
        return {"features": traces, "exports": sorted(exports)}

    return perform(store, "consent", subject, begin, by, dry_run)


def erase_clips(
    store: AnnotationStore,
    kind: str,
    subject: str,
    clip_ids: Sequence[int],
    *,
    by: str,
    dry_run: bool = False,
    whole: str | None = None,
) -> ErasureReport:
    """Erase clips with everything that is known or was made of them, as one entry of the log.

    Args:
        store: see `erase_clip`.
        kind: of the entry.
        subject: of the entry.
        clip_ids: of the clips.
        by: who erases.
        dry_run: only count.
        whole: hash of the longer recording that all are parts of, which counts as erased, too.
    """

    def begin(connection: sqlite3.Connection, number: int, report: ErasureReport) -> dict[str, object]:
        listed, speaker = json.dumps(list(clip_ids)), kind == "speaker"
        chosen = "SELECT value FROM json_each(?)"
        rows = connection.execute(f"SELECT sha256 FROM clips WHERE id IN ({chosen})", (listed,)).fetchall()
        traces = [find_traces(store.data_dir, row["sha256"]) for row in rows]
        report.versions = mark_runs(connection, number, f"corrections.clip_id IN ({chosen})", (listed,))
        exports = exports_with_clips(connection, clip_ids, CONSENT_PURPOSES)
        needles = [trace.sha256 for trace in traces] + words_of(connection, listed)
        if speaker:
            needles.append(subject)
            forget_sources(connection, subject)
        report.rows = delete_clips(connection, clip_ids) + delete_voices(connection, subject if speaker else "")
        report.clips = report.rows.get("clips", 0)
        report.votes = report.rows.get("corrections", 0)
        report.recordings = sum(trace.content is not None for trace in traces)
        connection.executemany(
            "INSERT OR REPLACE INTO erased_recordings VALUES (?, ?)",
            [(hash_recording(sha256), number) for sha256 in [*(t.sha256 for t in traces), *([whole] if whole else [])]],
        )
        recordings, named = [trace.as_dict() for trace in traces], subject if speaker else None
        return {"recordings": recordings, "exports": exports, "needles": needles, "speaker": named}

    return perform(store, kind, subject, begin, by, dry_run)


def erase_picture(store: AnnotationStore, clip_id: int, *, by: str, dry_run: bool = False) -> ErasureReport:
    """Erase the picture of a face that is kept with a clip, and what it showed; recording and votes stay.

    An answer in which the face counted keeps the label it was given.

    Args:
        store: see `erase_clip`.
        clip_id: of the clip.
        by: who erases.
        dry_run: only count.

    Raises:
        ClipNotFoundError: if there is no such clip, or no picture with it.
    """
    clip = store.get_clip(clip_id)

    def begin(connection: sqlite3.Connection, number: int, report: ErasureReport) -> dict[str, object]:
        deleted = delete_faces(connection, "clip_id = ?", (clip_id,))
        if not deleted:
            raise ClipNotFoundError(f"No picture is kept with clip {clip_id}. The clip itself is there.")
        report.rows = {"faces": deleted}
        exports = exports_with_clips(connection, [clip_id], CONSENT_PURPOSES)
        return {"pictures": [clip.sha256], "exports": exports}

    return perform(store, "consent", f"clip {clip_id}", begin, by, dry_run)
