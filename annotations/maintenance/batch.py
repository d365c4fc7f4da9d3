"""The same change to many clips at once: speaker, consent, known answer, another look, erasure.

What one clip cannot take is named and the rest goes on. Roles are checked by the caller.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from annotations.maintenance.erasure.erase import erase_clips, withdraw_from_clips
from annotations.raters.votes import effective_corrections, gold_labels, hard_label, mark_gold, mix_shares, unmark_gold
from annotations.review.suspects import queue_again
from annotations.store import AnnotationStore
from annotations.store.new_records import check_consent, check_name, check_rater
from annotations.store.rows import timestamp
from ser.errors import SerError

__all__ = ["BatchReport", "count_loss", "erase_many", "queue_again", "set_consent", "set_gold", "set_speaker"]


@dataclass
class BatchReport:
    """Outcome of a change to many clips.

    Attributes:
        changed: clips that are otherwise now.
        unchanged: clips that were so before.
        left_out: (clip, reason) of those that could not be changed.
        lines: further sentences on what was done.
    """

    changed: int = 0
    unchanged: int = 0
    left_out: list[tuple[int, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def set_speaker(store: AnnotationStore, clip_ids: Sequence[int], speaker: str) -> BatchReport:
    """Say who speaks in some clips, in place of what was known; an empty name makes the speaker unknown.

    Raises:
        InvalidVoteError: if the name cannot be.
    """
    name, listed = check_name("The speaker", speaker), json.dumps(list(clip_ids))
    with store.database.writing() as connection:
        there = _present(connection.execute(_THERE, (listed,)).fetchall(), clip_ids)
        changed = connection.execute(
            "UPDATE clips SET speaker = ? WHERE speaker IS NOT ? AND id IN (SELECT value FROM json_each(?))",
            (name, name, listed),
        ).rowcount
    there.changed, there.unchanged = changed, len(clip_ids) - len(there.left_out) - changed
    return there


def set_consent(store: AnnotationStore, clip_ids: Sequence[int], purposes: Sequence[str], *, by: str) -> BatchReport:
    """Let some clips be used for these purposes and no others.

    What is no longer allowed is withdrawn as `withdraw_consent` does: exports lose the clips, versions are marked.

    Raises:
        ConsentRequiredError: if no purpose is named: what may be used for nothing has to be erased.
    """
    wanted, by, listed = check_consent(purposes), check_rater(by), json.dumps(list(clip_ids))
    now = timestamp()
    with store.database.writing() as connection:
        report = _present(connection.execute(_THERE, (listed,)).fetchall(), clip_ids)
        before = {(row["clip_id"], row["purpose"]) for row in connection.execute(_CONSENTS, (listed,))}
        left_out = {clip_id for clip_id, _ in report.left_out}
        kept = [clip_id for clip_id in clip_ids if clip_id not in left_out]
        new = [(clip_id, purpose) for clip_id in kept for purpose in wanted if (clip_id, purpose) not in before]
        connection.executemany(
            "INSERT INTO consents (clip_id, purpose, given_by, created_at) VALUES (?, ?, ?, ?)",
            [(*pair, by, now) for pair in new],
        )
    gone = {pair for pair in before if pair[1] not in wanted}
    touched = {clip_id for clip_id, _ in (*new, *gone)}
    if gone:
        withdrawn = sorted({purpose for _, purpose in gone})
        found = withdraw_from_clips(store, _named(kept), kept, withdrawn, by, dry_run=False)
        report.lines += found.lines()
    report.changed, report.unchanged = len(touched), len(kept) - len(touched)
    return report


def set_gold(store: AnnotationStore, clip_ids: Sequence[int], label: str | None, *, by: str) -> BatchReport:
    """Mark clips as gold: with a label, or with what most of their votes say.

    Args:
        store: to write to.
        clip_ids: of the clips.
        label: one of the store's set; the empty text takes the marks back; None takes the label of the votes, and
            leaves out clips without any, or with two labels equally often.
        by: who says so.
    """
    known = gold_labels(store)
    voted = _voted(store, clip_ids) if label is None else {}
    report = BatchReport()
    for clip_id in clip_ids:
        wanted = voted.get(clip_id) if label is None else label
        if wanted is None:
            report.left_out.append((clip_id, "its votes name no label, or two equally often"))
        elif known.get(clip_id, "") == wanted:
            report.unchanged += 1
        else:
            try:
                if wanted:
                    mark_gold(store, clip_id, wanted, by=by)
                else:
                    unmark_gold(store, clip_id, by=by)
                report.changed += 1
            except SerError as error:
                report.left_out.append((clip_id, str(error)))
    return report


def erase_many(store: AnnotationStore, clip_ids: Sequence[int], *, by: str, dry_run: bool = False) -> BatchReport:
    """Erase clips with everything that is known or was made of them, as `erase_clip`."""
    with store.reading() as connection:
        report = _present(connection.execute(_THERE, (json.dumps(list(clip_ids)),)).fetchall(), clip_ids)
    left_out = {clip_id for clip_id, _ in report.left_out}
    kept = [clip_id for clip_id in clip_ids if clip_id not in left_out]
    found = erase_clips(store, "clip", _named(kept), kept, by=by, dry_run=dry_run)
    report.changed, report.lines = found.clips, found.lines()
    return report


def count_loss(store: AnnotationStore, clip_ids: Sequence[int], what: str) -> Counter[str]:
    """Count what stands now and would be overwritten: {speaker, purpose or known answer: clips}.

    Args:
        store: to read.
        clip_ids: of the clips.
        what: `speaker`, `consent` or `gold`.
    """
    listed = json.dumps(list(clip_ids))
    if what == "gold":
        known = gold_labels(store)
        return Counter(known[clip_id] for clip_id in clip_ids if clip_id in known)
    query = {"speaker": _SPEAKERS, "consent": f"SELECT purpose, count(*) FROM ({_CONSENTS}) GROUP BY purpose"}[what]
    return Counter({name: count for name, count in store.fetch(query, (listed,))})


_THERE = "SELECT id FROM clips WHERE id IN (SELECT value FROM json_each(?))"
_CONSENTS = "SELECT clip_id, purpose FROM consents_in_force WHERE clip_id IN (SELECT value FROM json_each(?))"
_SPEAKERS = (
    "SELECT speaker, count(*) AS clips FROM clips WHERE speaker IS NOT NULL "
    "AND id IN (SELECT value FROM json_each(?)) GROUP BY speaker ORDER BY clips DESC"
)


def _present(rows: Sequence[Sequence[int]], clip_ids: Sequence[int]) -> BatchReport:
    there = {row[0] for row in rows}
    return BatchReport(left_out=[(clip_id, "it was erased") for clip_id in clip_ids if clip_id not in there])


def _voted(store: AnnotationStore, clip_ids: Sequence[int]) -> dict[int, str]:
    """The label that most votes on each clip name, where there is one."""
    wanted = set(clip_ids)
    shares: dict[int, list[dict[str, float]]] = {}
    for vote in effective_corrections(store):
        if vote.clip_id in wanted and vote.label is not None:
            shares.setdefault(vote.clip_id, []).append(vote.shares)
    mixed = {clip_id: mix_shares(votes) for clip_id, votes in shares.items()}
    return {
        clip_id: hard_label(mix)
        for clip_id, mix in mixed.items()
        if sum(abs(share - max(mix.values())) < 1e-9 for share in mix.values()) == 1
    }


def _named(clips: Sequence[int]) -> str:
    return f"clip {clips[0]}" if len(clips) == 1 else f"{len(clips)} clips"
