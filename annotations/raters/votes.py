"""The standing votes: one a rater and clip, with soft labels over raters, and counts.

The part of `annotations.store.queries` that training reads.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from sqlite3 import Connection

from annotations.store import AnnotationStore
from annotations.store.records import Correction, FeedbackExample, FeedbackSummary
from annotations.store.settings import settings_in_force
from annotations.store.tables.rows import CLIPS, to_clip, to_correction
from annotations.store.training_records import find_active_version
from ser.labels import EMOTIONS

EFFECTIVE = """
SELECT corrections.*, NULL AS retracted_at,
    corrections.seconds < 0.5 * (SELECT duration FROM clips WHERE clips.id = corrections.clip_id) AS hasty
FROM judgements JOIN corrections ON corrections.id = judgements.correction_id
"""
"""The newest vote of each rater on each clip, among those not taken back, and whether it came before half of the clip
could be heard."""


def soft_label(labels: Iterable[str]) -> dict[str, float]:
    """The share of each emotion among votes that count alike; emotions without a vote are left out.

    >>> soft_label(["sadness", "fear", "sadness", "sadness"])
    {'fear': 0.25, 'sadness': 0.75}
    """
    counts = Counter(labels)
    total = counts.total()
    return {label: counts[label] / total for label in EMOTIONS if counts[label]}


def mix_shares(votes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average several votes, each with the same weight, labels or distributions.

    >>> mix_shares([{"fear": 1.0}, {"fear": 0.5, "sadness": 0.5}])
    {'fear': 0.75, 'sadness': 0.25}
    """
    mixed = {label: sum(shares.get(label, 0.0) for shares in votes) / len(votes) for label in EMOTIONS}
    return {label: share for label, share in mixed.items() if share}


def hard_label(shares: Mapping[str, float]) -> str:
    """The emotion with the largest share; on a tie the first in `EMOTIONS` order.

    >>> hard_label({"sadness": 0.5, "fear": 0.5})
    'fear'
    """
    return max(EMOTIONS, key=lambda label: shares.get(label, 0.0))


def effective_corrections(store: AnnotationStore) -> list[Correction]:
    """The newest standing vote of each rater on each clip, oldest first; skips and unsures among them."""
    with store.reading() as connection:
        return _effective(connection)


def votes_of_run(store: AnnotationStore, run_id: int) -> list[Correction]:
    """The votes that a training run read, as they were given, oldest first."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT corrections.*, NULL AS retracted_at FROM training_run_corrections "
            "JOIN corrections ON corrections.id = correction_id WHERE training_run_id = ? ORDER BY created_at, id",
            (run_id,),
        )
        return [to_correction(row) for row in rows]


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
        it is the speaker if known, else the session, else the clip alone.
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
            group=clip.speaker or clip.session or clip.sha256,
            correction_ids=tuple(vote.id for vote in votes[clip_id]),
            transcript=next((vote.transcript for vote in reversed(votes[clip_id]) if vote.transcript), None),
        )
        for clip_id, clip in clips.items()
        if clip_id in votes
    ]


def votes_hash(examples: Iterable[FeedbackExample]) -> str:
    """SHA-256 of what a run trains on and is labelled by: which clips, what is said of them, and by which votes."""
    digest = hashlib.sha256()
    for example in examples:
        said = [example.clip.sha256, dict(example.soft_label), example.group, example.transcript]
        digest.update(json.dumps([*said, example.correction_ids], sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def feedback_summary(store: AnnotationStore) -> FeedbackSummary:
    """Count the feedback for a retraining, and how much of it is new."""
    examples = training_examples(store)
    with store.reading() as connection:
        votes = [vote for vote in _effective(connection) if vote.label is not None]
        learned = _learned_by_active_version(connection)
    per_clip = Counter(vote.clip_id for vote in votes)
    labels = Counter(vote.label for vote in votes)
    training_labels = Counter(hard_label(example.soft_label) for example in examples)
    return FeedbackSummary(
        votes=len(votes),
        clips=len(per_clip),
        raters=len({vote.rater for vote in votes}),
        labels={label: labels[label] for label in EMOTIONS},
        training_clips=len(examples),
        training_labels={label: training_labels[label] for label in EMOTIONS},
        groups=len({example.group for example in examples}),
        single_vote_clips=sum(1 for count in per_clip.values() if count == 1),
        new_votes=sum(1 for vote in votes if vote.id not in learned),
    )


def _effective(connection: Connection) -> list[Correction]:
    weight = settings_in_force(connection).hasty_weight
    rows = connection.execute(f"{EFFECTIVE} ORDER BY created_at, id")
    return [
        replace(to_correction(row), hasty=bool(row["hasty"]), weight=weight if row["hasty"] else 1.0) for row in rows
    ]


def _learned_by_active_version(connection: Connection) -> set[int]:
    # By the run's own list and not by time: an imported vote is older than its import.
    version = find_active_version(connection)
    if version is None or version.training_run_id is None:
        return set()
    rows = connection.execute(
        "SELECT correction_id FROM training_run_corrections WHERE training_run_id = ?", (version.training_run_id,)
    )
    return {row["correction_id"] for row in rows}
