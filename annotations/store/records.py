"""Rows of the store as values. Knows nothing of SQL or of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VERDICTS = ("accept", "correct", "skip", "unsure")
"""Verdicts of a rater on a prediction. An accept is a vote too; a skip and an unsure carry no label."""

CONSENT_PURPOSES = ("research", "training", "publication")
"""Purposes that a speaker can consent to; without any of them nothing is stored."""

WHOLE = "whole recording"
"""Source of recordings that are kept whole next to the clips cut from them: nobody labels them, no model answers."""

RUN_STATUSES = ("queued", "running", "paused", "promoted", "refused", "cancelled", "failed", "interrupted")
UNFINISHED = ("queued", "running", "paused")
"""The statuses of runs that have not ended."""

TARGETS = ("acoustic", "text", "fusion", "transcriber")
"""Models that can be trained; each has a current version of its own."""


@dataclass(frozen=True)
class Clip:
    """A stored recording.

    Attributes:
        sha256: of the decoded signal; the same recording is the same clip.
        path: of the FLAC file, relative to the store's folder.
        duration: seconds.
        speaker: who speaks, or None if unknown.
        source: `page`, `api`, or the name of what it was imported from.
        session: groups clips of one session where the speaker is unknown.
        consent: the purposes allowed, some of `CONSENT_PURPOSES`.
        created_at: ISO 8601, UTC.
        language: ISO 639-1, as it came with the recording, or None if unknown.
        parent_sha256: of the longer recording that it was cut from, whether that is stored or not; None of a whole one.
        parent_start: where it begins in that, seconds.
        parent_end: where it ends in that.
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
    language: str | None = None
    parent_sha256: str | None = None
    parent_start: float | None = None
    parent_end: float | None = None


@dataclass(frozen=True)
class ModelVersion:
    """A model that can be promoted.

    Attributes:
        name: `embedded`, `v2`, `v3`...
        path: folder relative to the store's folder; None for the embedded weights.
        metrics: figures on held-out feedback, from the run that made it.
        target: which of the models it is, one of `TARGETS`.
        parent_id: the version it was trained on; None if it was not trained here.
        lineage: what it is made of, for the record: hash of the snapshot, configuration, commit, seed, origin.
        weights_removed_at: when its weights were removed to save space, ISO 8601, UTC; None while they are there.
    """

    id: int
    name: str
    sha256: str
    path: str | None
    training_run_id: int | None
    metrics: Mapping[str, object]
    created_at: str
    target: str = "acoustic"
    parent_id: int | None = None
    lineage: Mapping[str, object] = field(default_factory=dict)
    weights_removed_at: str | None = None


@dataclass(frozen=True)
class Prediction:
    """A model's answer for a clip.

    Attributes:
        scores: {"fused": {label: p}, "acoustic": {label: p}, "text": {label: p} | None}.
        entropy: of the fused scores, 0..1.
        transcript: the words, or None if nothing was transcribed.
        details: the whole answer in the form of `ser.serialization.recognition_to_dict`, word times and notes included.
        margin: how far the first label is ahead of the second in the fused scores, 0..1.
        disagreement: between sound and words, 0..1; None if the words abstained.
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
    margin: float | None = None
    disagreement: float | None = None


@dataclass(frozen=True)
class Correction:
    """One rater's vote on one clip, never changed; a later one of the same rater replaces it in effect.

    Attributes:
        prediction_id: the newest answer there was when they voted, or None if there was none.
        label: the emotion, the largest share of a distribution; None for a skip or an unsure.
        intensity: 0..100, or None if not given.
        retracted_at: when the rater undid it, or None.
        distribution: {label: share}, shares sum to 1; None if the rater chose one label.
        valence: from 0, most unpleasant, by 50, neutral, to 100, most pleasant, or None if not given. A point n of
            a nine-point scale, such as that of the self-assessment manikins, is `round((n - 1) * 12.5)`.
        arousal: from 0, calm, to 100, excited, likewise.
        comment: a remark of the rater, or None.
        seconds: the time from the clip's appearance to the vote, or None if not measured.
        answer_shown: whether the rater saw the answer before they voted, False in blind mode; None if not known.
        hasty: whether it came before half of the clip had been played, as far as `votes.effective_corrections` read it.
        weight: what it counts in training for that, 0..1.
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
    distribution: Mapping[str, float] | None = None
    valence: int | None = None
    arousal: int | None = None
    comment: str | None = None
    seconds: float | None = None
    answer_shown: bool | None = None
    hasty: bool = False
    weight: float = 1.0

    @property
    def shares(self) -> dict[str, float]:
        """Return the vote's distribution over emotions: its shares, or 1 for its label; empty without a label."""
        if self.distribution is not None:
            return dict(self.distribution)
        return {self.label: 1.0} if self.label is not None else {}


@dataclass(frozen=True)
class TrainingRun:
    """One retraining, from its start to its decision.

    Attributes:
        status: one of `RUN_STATUSES`.
        metrics: {"before": {...}, "after": {...}} on held-out feedback, empty until evaluated.
        reason: the decision in a sentence, or what went wrong.
        finished_at: None for those that are `UNFINISHED`.
        target: what is trained, one of `TARGETS`.
        preset: `quick` or `thorough`.
        cause: why it began: `asked`, or the setting that began it.
        snapshot_sha256: of the votes as they stood when it began; None until then.
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
    target: str = "acoustic"
    preset: str = "quick"
    cause: str = "asked"
    snapshot_sha256: str | None = None


@dataclass(frozen=True)
class ReviewItem:
    """A clip as it is put before a rater.

    Attributes:
        prediction: the newest one, or None if no model has analysed the clip.
        audio_path: the FLAC file, absolute.
        raters: how many people have given the clip a label that stands.
    """

    clip: Clip
    prediction: Prediction | None
    audio_path: Path
    raters: int


@dataclass(frozen=True)
class HistoryEntry:
    """Something that happened: a vote on a clip, an answer of a model, or a training run.

    Attributes:
        kind: `correction`, `prediction` or `training_run`.
        at: when, ISO 8601, UTC; a run counts from its start.
        correction: the vote, with `clip` and the `prediction` it was given on, if there was one.
        prediction: the answer, with `clip`.
        run: the training run.
        version: the model version that gave the prediction; only in the history of a clip.
    """

    kind: str
    at: str
    correction: Correction | None = None
    clip: Clip | None = None
    prediction: Prediction | None = None
    run: TrainingRun | None = None
    version: ModelVersion | None = None


UNKNOWN_SPEAKERS = "unknown speakers of "
"""Beginning of the group of clips that come without speaker and session; the source follows."""


@dataclass(frozen=True)
class FeedbackExample:
    """A clip with what its raters say together, as training reads it.

    Attributes:
        soft_label: {label: share} over the raters whose newest standing vote has a label; shares sum to 1.
        votes: how many raters that is.
        group: speaker, else session, else `UNKNOWN_SPEAKERS` and the clip's source: what a split should not divide.
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
    """Counts of the feedback; only votes that stand and carry a label count.

    Attributes:
        votes: one per rater and clip.
        clips: with at least one vote.
        raters: who gave one.
        labels: {label: votes} for each label of the store, in order, zeros included.
        training_clips: clips with a vote whose consent includes training.
        groups: known speakers or sessions among those.
        unknown_speaker_clips: clips among those with neither.
        single_vote_clips: clips that only one person has labelled.
        new_votes: votes that the current version did not train on.
        outside: {label: votes} of votes that have no place in the label set, and count nowhere else here.
    """

    votes: int
    clips: int
    raters: int
    labels: Mapping[str, int]
    training_clips: int
    groups: int
    unknown_speaker_clips: int
    single_vote_clips: int
    new_votes: int
    outside: Mapping[str, int] = field(default_factory=dict)
