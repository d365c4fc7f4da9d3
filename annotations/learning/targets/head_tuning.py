"""Fine-tunes the classifier head of the acoustic model from votes and embeddings; the encoder under it stays frozen.

Pure but for reports of progress: knows no store, no run and no recording.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from annotations.learning.labels.acoustic_consensus import main_directions
from annotations.learning.labels.single_votes import weigh_single_votes
from annotations.learning.labels.soft_labels import refine_soft_labels, weigh_votes
from annotations.learning.targets.base_clips import hold_back
from annotations.learning.targets.label_errors import find_suspects
from annotations.learning.targets.presets import HeadPreset
from annotations.review.suspects import Suspect
from annotations.store.records import Correction
from ser.acoustic.head import ClassifierHead
from ser.errors import TrainingCancelledError
from ser.evaluation.metrics import fit_temperature
from ser.labels import EMOTIONS
from ser.training.heads import fine_tune_head
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.training.rehearsal import Rehearsal

MIN_CALIBRATION_CLIPS = 30
"""Clips under which a temperature would be fitted to chance; the one before then stays."""

Array = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Feedback:
    """Labelled clips, ready for training a head.

    Attributes:
        clips: ids in the store.
        groups: of each clip; never divided between training and test.
        embeddings: shape (clips, 1 + copies, size), the untouched recording first.
        points: the untouched recordings' embeddings in few dimensions, shape (clips, directions).
        votes: standing votes on the clips and on gold clips; at least one that names a label on each clip.
        gold: {clip: known label}.
        confirmed: clips whose label looked like a mistake once and was confirmed since.
        suspected: clips whose label looks like a mistake as far as earlier runs know.
    """

    clips: Sequence[int]
    groups: Sequence[str]
    embeddings: npt.NDArray[np.float16]
    points: Numbers
    votes: Sequence[Correction]
    gold: Mapping[int, str] = field(default_factory=dict)
    confirmed: Collection[int] = ()
    suspected: Collection[int] = ()

    @classmethod
    def of(
        cls,
        clips: Sequence[int],
        groups: Sequence[str],
        embeddings: npt.NDArray[np.float16],
        votes: Sequence[Correction],
        **others: Collection[int] | Mapping[int, str],
    ) -> "Feedback":
        """Make one, with the points of its embeddings; arguments as the attributes."""
        points = main_directions(embeddings[:, 0].astype(np.float32))
        return cls(clips, groups, embeddings, points, votes, **others)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def plain(self) -> Array:
        """Embeddings of the untouched recordings, shape (clips, size)."""
        return self.embeddings[:, 0].astype(np.float32)

    def take(self, rows: Places) -> "Feedback":
        """The clips in these places, with the votes on them and on gold clips alone."""
        clips = [self.clips[row] for row in rows]
        known = {*clips, *self.gold}
        return replace(
            self,
            clips=clips,
            groups=[self.groups[row] for row in rows],
            embeddings=self.embeddings[rows],
            points=self.points[rows],
            votes=[vote for vote in self.votes if vote.clip_id in known],
        )


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Embeddings, labels and votes that a head is fitted on.

    Attributes:
        rows: places of its clips in the feedback.
        targets: soft labels, shape (clips, 7).
        weights: shape (clips,).
        suspects: clips whose labels look like mistakes and that are left out; None if there is too little to tell, and
            those suspected before are left out.
    """

    rows: Places
    targets: Array
    weights: Array
    suspects: Sequence[Suspect] | None


@dataclass(frozen=True, eq=False)
class Calibration:
    """Strength and temperature of a head, chosen from out-of-fold predictions.

    Attributes:
        strength: place of the chosen one among the preset's.
        temperature: of the chosen one; None if there are too few clips to tell.
        tried: penalty and mean log probability of each strength.
    """

    strength: int
    temperature: float | None
    tried: Sequence[Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class HeadTuner:
    """Fine-tuning of heads from feedback: the same for a version and for each fold of its comparison.

    Attributes:
        start: the head that training starts from; it is not changed.
        preset: how thoroughly.
        rehearsal: base clips that are replayed; None if there are none.
        guard: base clips that are not replayed: how far a head moves is bounded by their recall; None for no bound.
        seed: of what is drawn.
        on_progress: called after every fit of `predict_out_of_fold`.
        should_stop: asked before every fit.
    """

    start: ClassifierHead
    preset: HeadPreset
    rehearsal: Rehearsal | None = None
    guard: Rehearsal | None = None
    seed: int = 0
    on_progress: OnProgress | None = None
    should_stop: ShouldStop | None = None

    def select(self, feedback: Feedback) -> TrainingSet:
        """Choose what to fit on: labels from votes and embeddings together, without suspected label errors."""
        targets, weights = soft_targets(feedback, self.start.classes)
        suspects = _suspects(feedback, targets, self.start.classes, self.seed)
        targets = self._doubting(feedback, targets)
        left_out = set(feedback.suspected) if suspects is None else {suspect.clip_id for suspect in suspects}
        rows = np.flatnonzero([clip not in left_out for clip in feedback.clips])
        if len(np.unique(targets[rows].argmax(1))) < 2:
            rows, suspects = np.arange(len(feedback)), None
        return TrainingSet(rows, targets[rows], weights[rows], suspects)

    @cached_property
    def _replayed(self) -> Array | None:
        """Features of the base clips: all heads that come from one start share them."""
        return self.start.features(self.rehearsal.embeddings) if self.rehearsal else None

    def _doubting(self, feedback: Feedback, targets: Array) -> Array:
        """Soft labels, those of a single vote by what the starting head makes of the clip as well."""
        given = Counter(vote.clip_id for vote in feedback.votes if vote.shares)
        rater = {vote.clip_id: vote.rater for vote in feedback.votes if vote.shares}
        alone = [given[clip] == 1 and clip not in feedback.gold for clip in feedback.clips]
        rows = np.flatnonzero(alone)
        if not len(rows) or self.start.means is not None:
            # The starting head's scores say nothing of a vote for a label that it was not trained on.
            return targets
        logs = np.log(np.maximum(self.start.probabilities(feedback.plain[rows]), 1e-9)).astype(np.float64)
        raters = np.unique(
            [rater[clip] for clip, one in zip(feedback.clips, alone, strict=True) if one], return_inverse=True
        )[1]
        weighed = targets.copy()
        weighed[rows] = weigh_single_votes(logs, targets[rows].astype(np.float64), raters)
        return weighed

    def fit(self, feedback: Feedback, chosen: TrainingSet, strength: int = 0) -> ClassifierHead:
        """Fine-tune on every copy of the chosen clips; the copies of a clip share its weight.

        Raises:
            TrainingCancelledError: if asked to stop.
        """
        if self.should_stop is not None and self.should_stop():
            raise TrainingCancelledError("Training was stopped before the head was fitted.")
        embeddings = feedback.embeddings[chosen.rows]
        count, copies, size = embeddings.shape
        head = fine_tune_head(
            self.start,
            embeddings.reshape(count * copies, size).astype(np.float32),
            np.repeat(chosen.targets, copies, axis=0),
            np.repeat(chosen.weights / copies, copies),
            rehearsal=self.rehearsal,
            config=self.preset.strengths[strength],
            replayed=self._replayed,
        )
        return head if self.guard is None else hold_back(head, self.start, self.guard)

    def predict_averaged(self, feedback: Feedback, asked: Array, divisions: Sequence[tuple[Places, Places]]) -> Numbers:
        """Predict clips out of fold by several divisions into folds, their log probabilities averaged.

        One division is a matter of luck: averaged over two, true gains of 3 to 7 points were promoted in 42 in place of
        37 % of 19 rounds (`benchmarks.gate`).

        Args:
            feedback: to train on.
            asked: embeddings to predict, shape (clips, size).
            divisions: folds of the clips to predict and of the feedback's, as `predict_out_of_fold` takes them.
        """
        count = len(divisions)
        parts = [
            self.predict_out_of_fold(feedback, asked, folds, places, turn=(turn, count))
            for turn, (folds, places) in enumerate(divisions)
        ]
        return log_softmax(np.mean(parts, axis=0))

    def predict_out_of_fold(
        self, feedback: Feedback, asked: Array, folds: Places, places: Places, turn: tuple[int, int] = (0, 1)
    ) -> Numbers:
        """Predict clips by heads that have not seen their fold.

        Each head leans to the labels that its own folds happen to have more of. Side by side such heads would look
        worse than any of them is, so each one's mean log probabilities over all clips are set to the mean of all heads.

        Args:
            feedback: to train on.
            asked: embeddings to predict, shape (clips, size).
            folds: of the clips to predict, shape (clips,); or several ways to divide them, shape (clips, ways), of
                which a head has seen neither fold.
            places: the folds of each clip of the feedback.
            turn: of how many calls this is which, for reports of progress.

        Returns:
            Log probabilities at the starting head's temperature, shape (strengths, clips, labels).

        Raises:
            TrainingCancelledError: if asked to stop.
        """
        folds, places = (part.reshape(len(part), -1) for part in (folds, places))
        cells = np.unique(folds, axis=0)
        count = len(cells)
        answers = np.zeros((len(self.preset.strengths), len(asked), len(self.start.classes)))
        levels = np.zeros((count, len(answers), len(self.start.classes)))
        started, total = time.monotonic(), turn[1] * count * len(answers)
        before = turn[0] * count * len(answers)
        features = self.start.features(asked)
        for fold, cell in enumerate(cells):
            part, own = feedback.take(np.flatnonzero((places != cell).all(axis=1))), (folds == cell).all(axis=1)
            chosen = self.select(part)
            for strength in range(len(answers)):
                logs = np.log(np.maximum(self.fit(part, chosen, strength).probabilities_of(features), 1e-9))
                levels[fold, strength] = logs.mean(axis=0)
                answers[strength, own] = (logs - levels[fold, strength])[own]
                fits = fold * len(answers) + strength + 1
                done = before + fits
                left = (time.monotonic() - started) / fits * (total - done)
                self._report(TrainProgress(fold + 1, count, done, total, None, None, left, "choosing"))
        return log_softmax(answers + levels.mean(axis=0)[:, None])

    def _report(self, progress: TrainProgress) -> None:
        if self.on_progress is not None:
            self.on_progress(progress)


def soft_targets(feedback: Feedback, labels: Sequence[str] = EMOTIONS) -> tuple[Array, Array]:
    """Soft labels by votes and embeddings, shape (clips, labels), and the weight of each clip, shape (clips,)."""
    evidence = weigh_votes(feedback.votes, feedback.gold, labels)
    refined = refine_soft_labels(evidence, dict(zip(feedback.clips, feedback.points, strict=True)))
    rows = [[refined.soft_labels[clip].get(label, 0.0) for label in labels] for clip in feedback.clips]
    weights = np.array([refined.weights[clip] for clip in feedback.clips], dtype=np.float32)
    return np.array(rows, dtype=np.float32).reshape(-1, len(labels)), weights


def calibrate(logs: Numbers, targets: Array, weights: Array, start: ClassifierHead, preset: HeadPreset) -> Calibration:
    """Choose the strength whose predictions are best out of fold, and its temperature.

    Args:
        logs: as `HeadTuner.predict_out_of_fold` gives them.
        targets: soft labels, shape (clips, 7).
        weights: shape (clips,).
        start: the head that training started from.
        preset: that names the strengths.
    """
    if len(targets) < MIN_CALIBRATION_CLIPS:
        return Calibration(0, None, ())
    tried, temperatures = [], []
    for config, rows in zip(preset.strengths, logs * start.temperature, strict=True):
        temperatures.append(fit_temperature(rows, targets, weights))
        mean = float(np.average((targets * log_softmax(rows / temperatures[-1])).sum(axis=1), weights=weights))
        tried.append({"penalty": config.penalty, "log_probability": round(mean, 4)})
    best = max(range(len(tried)), key=lambda place: tried[place]["log_probability"])
    return Calibration(best, temperatures[best], tried)


def calibrated(
    logs: Numbers, targets: Array, weights: Array, folds: Places, start: ClassifierHead, preset: HeadPreset
) -> Numbers:
    """Out-of-fold probabilities, strength and temperature chosen on the other folds, shape (clips, 7).

    Arguments as `calibrate`'s; `folds` are those of the clips.
    """
    answers = np.zeros(targets.shape)
    for fold in np.unique(folds):
        rest, rows = folds != fold, folds == fold
        found = calibrate(logs[:, rest], targets[rest], weights[rest], start, preset)
        scale = start.temperature / (found.temperature or start.temperature)
        answers[rows] = np.exp(log_softmax(logs[found.strength, rows] * scale))
    return answers


def log_softmax(logits: Numbers) -> Numbers:
    """Log probabilities of logits, row by row."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _suspects(feedback: Feedback, targets: Array, labels: Sequence[str], seed: int) -> list[Suspect] | None:
    found = find_suspects(feedback.points, targets, feedback.groups, seed)
    if found is None:
        return None
    return [
        Suspect(feedback.clips[place], labels[targets[place].argmax()], labels[label], certainty)
        for place, label, certainty in found
        if feedback.clips[place] not in feedback.confirmed
    ]
