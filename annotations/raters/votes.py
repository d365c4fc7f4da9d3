"""The standing votes, one a rater and clip, their soft labels and counts; and gold clips, whose label is known.

The part of `annotations.store.queries` that training reads.
"""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from sqlite3 import Connection

from annotations.labels.stored import label_set, read_label_set, votes_outside
from annotations.store import AnnotationStore
from annotations.store.new_records import check_rater, check_verdict
from annotations.store.records import UNKNOWN_SPEAKERS, Correction, FeedbackExample, FeedbackSummary
from annotations.store.rows import CLIPS, insert_row, read_clip, timestamp, to_clip, to_correction
from annotations.store.settings import settings_in_force
from annotations.store.training_records import find_active_version
from ser.labels import EMOTIONS

EFFECTIVE = """
SELECT corrections.*, NULL AS retracted_at,
    corrections.seconds < 0.5 * (SELECT duration FROM clips WHERE clips.id = corrections.clip_id) AS hasty
FROM judgements JOIN corrections ON corrections.id = judgements.correction_id
"""
"""The newest vote of each rater on each clip, among those not taken back, and whether it came before half of the clip
had been played."""


def mix_shares(votes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average several votes, each with the same weight, labels or distributions.

    >>> mix_shares([{"fear": 1.0}, {"fear": 0.5, "sadness": 0.5}])
    {'fear': 0.75, 'sadness': 0.25}
    """
    mixed = {label: sum(shares.get(label, 0.0) for shares in votes) / len(votes) for label in in_order(*votes)}
    return {label: share for label, share in mixed.items() if share}


def in_order(*shares: Mapping[str, float]) -> list[str]:
    """Labels of some shares: the seven in `EMOTIONS` order, others as they come."""
    named = dict.fromkeys(label for given in shares for label in given)
    return [*(label for label in EMOTIONS if label in named), *(label for label in named if label not in EMOTIONS)]


def hard_label(shares: Mapping[str, float]) -> str:
    """The label with the largest share; on a tie the first in `EMOTIONS` order, or as they come.

    >>> hard_label({"sadness": 0.5, "fear": 0.5})
    'fear'
    """
    return max(in_order(shares), key=lambda label: shares[label])


def effective_corrections(store: AnnotationStore) -> list[Correction]:
    """The newest standing vote of each rater on each clip, oldest first; skips and unsures among them.

    Labels are those of the store's set: a vote whose label has no place in it comes without one.
    """
    with store.reading() as connection:
        return _effective(connection)


def votes_of_run(store: AnnotationStore, run_id: int) -> list[Correction]:
    """The votes that a training run read, with labels of the store's set, oldest first."""
    query = (
        "SELECT corrections.*, NULL AS retracted_at FROM training_run_corrections "
        "JOIN corrections ON corrections.id = correction_id WHERE training_run_id = ? ORDER BY created_at, id"
    )
    labels = label_set(store)
    return [labels.vote(to_correction(row)) for row in store.fetch(query, (run_id,))]


def training_examples(store: AnnotationStore) -> list[FeedbackExample]:
    """List the clips for training, each with the soft label of its raters.

    Of each rater the newest vote on the clip counts, unless they took it back; where that newest one is a skip
    or an unsure they say nothing of the clip, even if an earlier vote of theirs did. Each of the rest counts the
    same: two votes for fear and one for sadness are fear 2/3, sadness 1/3; a vote that is itself a distribution is
    divided as it says. Left out are clips that nobody gave a label and clips whose consent, as it stands now, does
    not include training.

    Args:
        store: to read; a snapshot of it gives the same from one moment on.

    Returns:
        In the order in which the clips were stored. `group` must not be divided between training and test:
        it is the speaker if known, else the session, else all clips of the source whose speakers are unknown.
    """
    with store.reading() as connection:
        voted = "clips.id IN (SELECT clip_id FROM corrections WHERE label IS NOT NULL)"
        stored = map(to_clip, connection.execute(f"{CLIPS} WHERE {voted} ORDER BY clips.id"))
        clips = {clip.id: clip for clip in stored if "training" in clip.consent}
        votes: dict[int, list[Correction]] = defaultdict(list)
        for correction in _effective(connection):
            if correction.label is not None and correction.weight > 0:
                votes[correction.clip_id].append(correction)
    return [
        FeedbackExample(
            clip=clip,
            soft_label=mix_shares([vote.shares for vote in votes[clip_id]]),
            votes=len(votes[clip_id]),
            group=clip.speaker or clip.session or f"{UNKNOWN_SPEAKERS}{clip.source}",
            correction_ids=tuple(vote.id for vote in votes[clip_id]),
            transcript=next((vote.transcript for vote in reversed(votes[clip_id]) if vote.transcript), None),
        )
        for clip_id, clip in clips.items()
        if clip_id in votes
    ]


def votes_hash(examples: Iterable[FeedbackExample]) -> str:
    """SHA-256 of what a run trains on and is compared on: which clips, with which labels, by which votes."""
    digest = hashlib.sha256()
    for example in examples:
        said = [example.clip.sha256, dict(example.soft_label), example.group, example.transcript]
        digest.update(json.dumps([*said, example.correction_ids], sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def feedback_summary(store: AnnotationStore) -> FeedbackSummary:
    """Count the feedback for a retraining, and how much of it is new."""
    examples = training_examples(store)
    with store.reading() as connection:
        votes, labels_here = (
            [vote for vote in _effective(connection) if vote.label is not None],
            read_label_set(connection),
        )
        learned = _learned_by_active_version(connection)
    per_clip = Counter(vote.clip_id for vote in votes)
    labels = Counter(vote.label for vote in votes)
    return FeedbackSummary(
        votes=len(votes),
        clips=len(per_clip),
        raters=len({vote.rater for vote in votes}),
        labels={label: labels[label] for label in labels_here.names},
        training_clips=len(examples),
        groups=len({example.group for example in examples if not example.group.startswith(UNKNOWN_SPEAKERS)}),
        unknown_speaker_clips=sum(example.group.startswith(UNKNOWN_SPEAKERS) for example in examples),
        single_vote_clips=sum(1 for count in per_clip.values() if count == 1),
        new_votes=sum(1 for vote in votes if vote.id not in learned),
        outside=votes_outside(store),
    )


def _effective(connection: Connection) -> list[Correction]:
    labels, weight = read_label_set(connection), settings_in_force(connection).hasty_weight
    rows = connection.execute(f"{EFFECTIVE} ORDER BY created_at, id")
    votes = [
        replace(to_correction(row), hasty=bool(row["hasty"]), weight=weight if row["hasty"] else 1.0) for row in rows
    ]
    return [labels.vote(vote) for vote in votes]


def _learned_by_active_version(connection: Connection) -> set[int]:
    # By the run's own list and not by time: an imported vote is older than its import.
    version = find_active_version(connection)
    if version is None or version.training_run_id is None:
        return set()
    rows = connection.execute(
        "SELECT correction_id FROM training_run_corrections WHERE training_run_id = ?", (version.training_run_id,)
    )
    return {row["correction_id"] for row in rows}


def mark_gold(store: AnnotationStore, clip_id: int, label: str, *, by: str) -> None:
    """Say that a clip's label is known; the latest word of it holds.

    Args:
        store: to write to.
        clip_id: of the clip.
        label: one of the store's set.
        by: who says so.

    Raises:
        ClipNotFoundError: if there is no such clip.
        InvalidVoteError: if the label is none, or nobody is named.
    """
    _mark(store, clip_id, check_verdict("correct", label, label_set(store).names)[1], by)


def unmark_gold(store: AnnotationStore, clip_id: int, *, by: str) -> None:
    """Make an ordinary clip of a gold one again.

    Raises:
        ClipNotFoundError: if there is no such clip.
    """
    _mark(store, clip_id, None, by)


def gold_labels(store: AnnotationStore) -> dict[int, str]:
    """{clip: known label} of all gold clips whose label has a place in the store's set."""
    rows = store.fetch(
        "SELECT clip_id, label FROM gold_marks WHERE id IN (SELECT max(id) FROM gold_marks GROUP BY clip_id) "
        "AND label IS NOT NULL ORDER BY clip_id"
    )
    labels = label_set(store)
    known = {row["clip_id"]: labels.place_of(row["label"]) for row in rows}
    return {clip: label for clip, label in known.items() if label is not None}


def gold_is_due(rater: str, given: int, rate: float) -> bool:
    """Decide if a rater's next clip is a gold one: at random, but the same each time it is asked.

    Args:
        rater: whose.
        given: clips that they had before.
        rate: share of gold clips.

    >>> sum(gold_is_due("ann", given, 0.1) for given in range(1000))
    115
    """
    return random.Random(f"{rater}\n{given}").random() < rate


def _mark(store: AnnotationStore, clip_id: int, label: str | None, by: str) -> None:
    by = check_rater(by)
    with store.database.writing() as connection:
        read_clip(connection, clip_id)
        insert_row(connection, "gold_marks", clip_id=clip_id, label=label, marked_by=by, created_at=timestamp())
