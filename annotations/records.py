"""Rows of the store as values. Knows nothing of SQL or of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VERDICTS = ("accept", "correct", "skip", "unsure")
"""What a rater says of an answer. An accept is a vote too; a skip and an unsure carry no label."""

CONSENT_PURPOSES = ("research", "training", "publication")
"""What a speaker can allow their stored clip to be used for; without any of them nothing is stored."""

RUN_STATUSES = ("running", "promoted", "refused", "cancelled", "failed", "interrupted")


@dataclass(frozen=True)
class Clip:
    """A stored recording.

    Attributes:
        sha256: of the decoded signal; the same recording is the same clip.
        path: of the FLAC file, relative to the store's folder.
        duration: seconds.
        speaker: who speaks, or None where unknown.
        source: `page`, `api`, or the name of what it was imported from.
        session: groups clips of one sitting where the speaker is unknown.
        consent: the purposes allowed, some of `CONSENT_PURPOSES`.
        created_at: ISO 8601, UTC.
    """

    id: int
    sha256: str
    path: str
    duration: float
    speaker: str | None
    source: str
    session: str | None
    consent: tuple[str, ...]
    created_at: str


@dataclass(frozen=True)
class ModelVersion:
    """An acoustic model that can be put to use.

    Attributes:
        name: `embedded`, `v2`, `v3`...
        path: folder relative to the store's folder; None for the embedded weights.
        metrics: figures on held-out feedback, from the run that made it.
    """

    id: int
    name: str
    sha256: str
    path: str | None
    training_run_id: int | None
    metrics: Mapping[str, object]
    created_at: str


@dataclass(frozen=True)
class Prediction:
    """A model's answer for a clip.

    Attributes:
        scores: {"fused": {label: p}, "acoustic": {label: p}, "text": {label: p} | None}.
        entropy: of the fused scores, 0..1; the review queue's order.
        transcript: the words, or None where nothing was transcribed.
        details: the whole answer in the form of `ser.serialization.recognition_to_dict`, word times and notes included.
    """

    id: int
    clip_id: int
    model_version_id: int
    label: str
    scores: Mapping[str, Mapping[str, float] | None]
    entropy: float
    transcript: str | None
    created_at: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Correction:
    """One rater's vote on one clip, never changed; a later one of the same rater replaces it in effect.

    Attributes:
        label: the emotion; None for a skip or an unsure.
        intensity: 0..100, or None where not given.
        retracted_at: when the rater undid it, or None.
    """

    id: int
    clip_id: int
    prediction_id: int | None
    rater: str
    verdict: str
    label: str | None
    intensity: int | None
    transcript: str | None
    created_at: str
    retracted_at: str | None = None


@dataclass(frozen=True)
class TrainingRun:
    """One retraining, from its start to its decision.

    Attributes:
        status: one of `RUN_STATUSES`.
        metrics: {"before": {...}, "after": {...}} on held-out feedback, empty until evaluated.
        reason: the decision in a sentence, or what went wrong.
    """

    id: int
    status: str
    config: Mapping[str, object]
    git_commit: str | None
    base_version_id: int
    new_version_id: int | None
    metrics: Mapping[str, object]
    reason: str | None
    started_by: str
    started_at: str
    finished_at: str | None


@dataclass(frozen=True)
class ReviewItem:
    """A clip as it is put before a rater.

    Attributes:
        prediction: the newest one, or None where no model has heard the clip.
        audio_path: the FLAC file, absolute.
        raters: how many people have given the clip a label that stands.
    """

    clip: Clip
    prediction: Prediction | None
    audio_path: Path
    raters: int


@dataclass(frozen=True)
class HistoryEntry:
    """Something that happened: a vote on a clip, or a training run.

    Attributes:
        kind: `correction` or `training_run`.
        at: when, ISO 8601, UTC; a run counts from its start.
        correction: the vote, with `clip` and the `prediction` it was given on, where there was one.
        run: the training run.
    """

    kind: str
    at: str
    correction: Correction | None = None
    clip: Clip | None = None
    prediction: Prediction | None = None
    run: TrainingRun | None = None


@dataclass(frozen=True)
class FeedbackExample:
    """A clip with what its raters say together, as training reads it.

    Attributes:
        soft_label: {label: share} over the raters whose newest standing vote has a label; shares sum to 1.
        votes: how many raters that is.
        group: speaker, else session, else the clip's own hash: what a split must never divide.
        correction_ids: the votes that made the label.
        transcript: as the latest of them wrote it, or None.
    """

    clip: Clip
    soft_label: Mapping[str, float]
    votes: int
    group: str
    correction_ids: tuple[int, ...]
    transcript: str | None = None


@dataclass(frozen=True)
class FeedbackSummary:
    """How much feedback there is; only votes that stand and carry a label count.

    Attributes:
        votes: one per rater and clip.
        clips: with at least one vote.
        raters: who gave one.
        labels: {label: votes} for each emotion, in order, zeros included.
        training_clips: clips with a vote whose consent includes training.
        training_labels: {label: clips} among those, by the largest share of the soft label.
        groups: speakers (or sessions, or single clips) among those.
        single_vote_clips: clips that only one person has judged.
        new_votes: votes that the version in use did not learn from.
    """

    votes: int
    clips: int
    raters: int
    labels: Mapping[str, int]
    training_clips: int
    training_labels: Mapping[str, int]
    groups: int
    single_vote_clips: int
    new_votes: int
