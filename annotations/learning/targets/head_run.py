"""One training run of a classifier head: reads the votes, trains on all of them, compares out of fold.

Knows the store and the job; how a head is fine-tuned is in `annotations.learning.targets.head_tuning`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotations.labels.label_set import LabelSet
from annotations.labels.stored import label_set
from annotations.learning.config import RetrainingConfig
from annotations.learning.promotion.confounds import Confounds, channel_of_clips, find_confounds
from annotations.learning.promotion.decision import figures_of
from annotations.learning.promotion.folds import assign_folds, join_groups
from annotations.learning.promotion.gate import Decision, OtherMeasure, decide_by_answers
from annotations.learning.promotion.holdout import MIN_HELD_OUT_CLIPS, unit_names
from annotations.learning.promotion.holdout_store import read_trained
from annotations.learning.targets.base_clips import (
    HEAD_MARGINS,
    BaseClips,
    base_standing,
    distilled,
    divide_base_clips,
)
from annotations.learning.targets.feedback_embeddings import embed_feedback
from annotations.learning.targets.head_tuning import (
    Calibration,
    Feedback,
    HeadTuner,
    Numbers,
    Places,
    calibrate,
    calibrated,
    soft_targets,
)
from annotations.learning.targets.own_labels import base_clips_for, head_for
from annotations.learning.targets.presets import preset_of
from annotations.learning.trainer import TrainingJob
from annotations.raters.ratings import mean_ratings, read_ratings
from annotations.raters.votes import effective_corrections, gold_labels, votes_of_run
from annotations.review.suspects import (
    Suspect,
    cleared_suspects,
    open_suspects,
    record_suspects,
    withdraw_suspects,
)
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from annotations.store.records import Correction, FeedbackExample, ModelVersion
from ser.acoustic.folders import is_head, model_folder
from ser.acoustic.head import ClassifierHead, load_head
from ser.checkpoints.folder import Meta
from ser.errors import TrainingDataError
from ser.training.ratings import RatingFit, fit_rating, rated_words, with_ratings
from ser.training.rehearsal import KeptRehearsal, load_rehearsal

FOLDS = 5
SENTENCE_FOLDS = 3
DIVISIONS = 2
"""Divisions into folds that are averaged for the comparison."""

KEPT = {"temperature": "temperature", "tried": "tried", "labels": "labels", "ratings": "ratings"}
"""Figures of the saved model that the lineage takes over."""


@dataclass(frozen=True, eq=False)
class HeadRun:
    """A run that trains a classifier head.

    Training starts from the head that is no version of the store, not from the current one: so errors do not add up
    over many runs, and what was erased is forgotten.

    Attributes:
        job: of the run.
    """

    job: TrainingJob

    def train(self) -> NewVersion:
        """Train on all feedback and save a model.

        Raises:
            TrainingDataError: if the clips cannot be used.
            TrainingCancelledError: if asked to stop.
        """
        job, feedback = self.job, self.feedback
        chosen = self.tuner.select(feedback)
        found = self.calibration
        head = self.tuner.fit(feedback, chosen, found.strength)
        head = replace(head, temperature=found.temperature or self.start.temperature)
        head = with_ratings(head, {name: fit for name, fit in self.rated.items() if fit.kept})
        metrics: dict[str, object] = {
            "suspected_clips": len(feedback) - len(chosen.rows),
            "tried": list(found.tried),
            "temperature": {
                "before": self.start.temperature,
                "after": found.temperature,
                "kept": found.temperature is None,
            },
        }
        if self.rated:
            metrics["ratings"] = {name: round(fit.concordance, 3) for name, fit in self.rated.items()}
        if head.means is not None:
            metrics["labels"] = {name: list(means) for name, means in head.means.items()}
        config = {"preset": job.config.preset, "seed": job.config.seed, "tune": "head"}
        facts = {**job.facts(), "speakers": len(set(feedback.groups))}
        whole = Meta(job.name, head.labels, config=config, data=facts, metrics=metrics)
        meta = head.save(job.model_dir, whole, KeptRehearsal.of(self.start_folder))
        record(job.store, job.run.id, feedback, chosen.suspects)
        if chosen.suspects:
            job.say(f"Probable label errors, not trained on and back in the review queue: {len(chosen.suspects)}.")
        return job.new_version(
            meta.sha256, {name: meta.metrics[kept] for name, kept in KEPT.items() if kept in meta.metrics}
        )

    def compare(self, version: NewVersion) -> Decision:
        """Compare both heads on clips whose speakers they have not seen, on gold clips and on the base.

        Raises:
            TrainingCancelledError: if asked to stop.
        """
        job, rows = self.job, self.unseen
        champion, made = model_folder(job.base), job.store.data_dir / version.path
        current = self._current(champion)
        before = self._champion_out_of_fold(current)
        after = calibrated(*self._out_of_fold, self.folds, self.start, self.tuner.preset)
        heads = current, load_head(made)[0]
        gold = [head.probabilities(self.gold) if len(self.gold) else np.zeros((0, len(self.labels))) for head in heads]
        decision = decide_by_answers(
            replace(job.holdout, held_out=tuple(job.holdout.held_out[row] for row in rows)),
            np.concatenate([before[rows], gold[0]]),
            np.concatenate([after[rows], gold[1]]),
            replace(job.config.rule, margins=HEAD_MARGINS),
            base=base_standing(*heads, self.base_clips.tested),
            hints={name: hint[rows] for name, hint in self.confounds.hints.items()},
            other=OtherMeasure("; ".join(part for part in (self.confounds.warning, rated_words(self.rated)) if part)),
            labels=self.labels.names,
        )
        return replace(decision, start=self._start_figures(rows))

    def _start_figures(self, rows: Places) -> dict[str, object]:
        """Figures of the head that training starts from, so that the gain of several runs can be told."""
        names, examples = self.labels.names, [self.job.holdout.held_out[row] for row in rows]
        said = [names[place] for place in self.start.probabilities(self.feedback.plain[rows]).argmax(axis=1)]
        found = figures_of([example.soft_label for example in examples], said, None, names)
        return {**found, "votes": sum(len(example.correction_ids) for example in examples)}

    @cached_property
    def start_version(self) -> tuple[ModelVersion, Path]:
        """The version that training starts from, and its folder."""
        found = self.job.store.get_model_version(self.job.run.base_version_id), model_folder(self.job.base)
        while (earlier := self._parent(found[0])) is not None:
            path = earlier.path
            folder = (
                model_folder(self.job.config.origin or self.job.base)
                if path is None
                else self.job.store.data_dir / path
            )
            if not is_head(folder):
                break
            found = earlier, folder
        return found

    @property
    def start_folder(self) -> Path:
        """Folder of the head that training starts from."""
        return self.start_version[1]

    @cached_property
    def unseen(self) -> Places:
        """Places of the clips to compare on: all that no encoder, which training starts from, was tuned on here."""
        run_id = self.start_version[0].training_run_id
        seen = set() if run_id is None else read_trained(self.job.store, run_id)
        rows = np.flatnonzero([clip not in seen for clip in self.feedback.clips])
        if len(rows) < MIN_HELD_OUT_CLIPS:
            raise TrainingDataError(
                f"The encoder was tuned on all but {len(rows)} of {len(self.feedback)} labelled clips; "
                f"{MIN_HELD_OUT_CLIPS} others are needed to compare on. Label further clips."
            )
        return rows

    @cached_property
    def start(self) -> ClassifierHead:
        """The head that training starts from, with the labels of the store."""
        return head_for(load_head(self.start_folder)[0], self.labels)

    @cached_property
    def labels(self) -> LabelSet:
        """The label set of the store, as it was when the run began."""
        with self.job.votes() as store:
            return label_set(store)

    def _current(self, folder: Path) -> ClassifierHead:
        """The current head; in place of one with other labels, the start: the base as far as it knows the labels.

        Such a head has been trained here on clips that the comparison is on, and cannot be trained again without them.
        """
        head = load_head(folder)[0]
        return head if head.classes == self.start.classes else self.start

    @cached_property
    def tuner(self) -> HeadTuner:
        """Tuner with the settings of this run."""
        job, base = self.job, self.base_clips
        replayed = base.replayed and distilled(base.replayed, self.start)
        preset = preset_of(job.config)
        return HeadTuner(self.start, preset, replayed, base.bound, job.config.seed, job.on_progress, job.should_stop)

    @cached_property
    def base_clips(self) -> BaseClips:
        """Base clips by their use, with the labels of the store; none if the model brings none."""
        stored = load_rehearsal(self.start_folder)
        if stored is None:
            return BaseClips()
        parts = divide_base_clips(stored)
        uses = (parts.replayed, parts.bound, parts.tested)
        return BaseClips(*(part and base_clips_for(part, self.labels) for part in uses))

    @cached_property
    def feedback(self) -> Feedback:
        """All labelled clips with their votes, as they stood when the run began."""
        job, examples = self.job, self.job.holdout.training
        embeddings = embed_feedback(job, self.start, examples, self.tuner.preset.copies)
        clips = [example.clip.id for example in examples]
        with job.votes() as store:
            gold = gold_labels(store)
            known = {*clips, *gold}
            votes = [vote for vote in effective_corrections(store) if vote.clip_id in known]
            with store.reading() as connection:
                confirmed, waiting = cleared_suspects(connection), open_suspects(connection)
        groups = self._groups(examples, embeddings[:, 0].astype(np.float32))
        return Feedback.of(clips, groups, embeddings, votes, gold=gold, confirmed=confirmed, suspected=waiting)

    @cached_property
    def folds(self) -> Places:
        """The fold of each clip."""
        return assign_folds(self.feedback.groups, FOLDS, self.job.config.seed)

    @cached_property
    def confounds(self) -> Confounds:
        """Predictions of the labels from what is no voice."""
        paths = [self.job.store.clip_path(example.clip) for example in self.job.holdout.training]
        return find_confounds(channel_of_clips(paths), self.texts, self.targets[0].astype(np.float64), self.folds)

    @cached_property
    def texts(self) -> list[str]:
        """The words of each clip, as people corrected them or models transcribed them; empty if there are none."""
        with self.job.votes() as store, store.reading() as connection:
            texts = dict(connection.execute("SELECT clip_id, text FROM clip_texts").fetchall())
        return [texts.get(clip, "") for clip in self.feedback.clips]

    @cached_property
    def targets(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Soft labels and weights of the clips, by their votes and embeddings."""
        return soft_targets(self.feedback, self.labels.names)

    @cached_property
    def rated(self) -> dict[str, RatingFit]:
        """Predictors of intensity, valence and arousal, as far as enough clips have such ratings."""
        with self.job.votes() as store:
            given = mean_ratings(read_ratings(store), self.feedback.clips)
        known = {name: values for name, values in given.items() if not np.isnan(values).all()}
        points = self.start.standardise(self.feedback.plain) if known else np.zeros((0, 0))
        fits = {name: fit_rating(points, values, self.feedback.groups, self.folds) for name, values in known.items()}
        return {name: fit for name, fit in fits.items() if fit is not None}

    @cached_property
    def gold(self) -> npt.NDArray[np.float32]:
        """Embeddings of gold clips, shape (clips, size)."""
        return embed_feedback(self.job, self.start, self.job.holdout.gold)[:, 0].astype(np.float32)

    @cached_property
    def calibration(self) -> Calibration:
        """Strength and temperature of the version to be."""
        logs, targets, weights = self._out_of_fold
        return calibrate(logs, targets, weights, self.start, self.tuner.preset)

    @cached_property
    def _out_of_fold(self) -> tuple[Numbers, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Log probabilities by heads that have not seen the clip's fold, soft labels and weights."""
        feedback = self.feedback
        divisions = [(folds, folds) for folds in self._divisions]
        return self.tuner.predict_averaged(feedback, feedback.plain, divisions), *self.targets

    @cached_property
    def _divisions(self) -> list[Places]:
        """Folds of each clip, in several ways: of its speaker, and of its sentence where words give the labels away."""
        divisions = []
        for way in range(DIVISIONS):
            seed = self.job.config.seed + way
            folds = assign_folds(self.feedback.groups, FOLDS, seed)
            if self.confounds.words_tell:
                folds = np.stack([folds, assign_folds(self.texts, SENTENCE_FOLDS, seed)], axis=1)
            divisions.append(folds)
        return divisions

    def _champion_out_of_fold(self, champion: ClassifierHead) -> Numbers:
        """Probabilities by the current head; by fits without the clip's fold if it was trained here."""
        feedback, job = self.feedback, self.job
        version = job.store.get_model_version(job.run.base_version_id)
        trained = read_trained(job.store, version.training_run_id) if version.training_run_id is not None else set()
        rows = np.flatnonzero([clip in trained for clip in feedback.clips])
        votes = votes_of_run(job.store, version.training_run_id) if version.training_run_id is not None else []
        own = _with_votes(feedback.take(rows), votes)
        if (
            version.training_run_id is None
            or not len(own)
            or version.id == self.start_version[0].id
            or champion is self.start
        ):
            return champion.probabilities(feedback.plain)
        preset = preset_of(RetrainingConfig.of(job.store.get_training_run(version.training_run_id).config))
        tuner = replace(self.tuner, preset=preset, on_progress=None)
        place = {clip: row for row, clip in enumerate(feedback.clips)}
        rows = np.array([place[clip] for clip in own.clips])
        logs = tuner.predict_averaged(own, feedback.plain, [(folds, folds[rows]) for folds in self._divisions])
        return calibrated(logs, *self.targets, self.folds, self.start, preset)

    def _groups(self, examples: Sequence[FeedbackExample], embeddings: npt.NDArray[np.float32]) -> list[str]:
        return join_groups(unit_names(examples, self.job.holdout.unit), self.start.standardise(embeddings))

    def _parent(self, version: ModelVersion) -> ModelVersion | None:
        if version.training_run_id is None:
            return None
        store = self.job.store
        return store.get_model_version(store.get_training_run(version.training_run_id).base_version_id)


def record(store: AnnotationStore, run_id: int, feedback: Feedback, suspects: Sequence[Suspect] | None) -> None:
    """Send suspected label errors to the review queue; those that no longer look like errors leave it."""
    if suspects is None:
        return
    suspected = {suspect.clip_id for suspect in suspects}
    withdraw_suspects(store, set(feedback.suspected) & set(feedback.clips) - suspected)
    record_suspects(store, run_id, suspects)


def _with_votes(feedback: Feedback, votes: Sequence[Correction]) -> Feedback:
    """The clips that some other votes name a label of, with these votes."""
    labelled = {vote.clip_id for vote in votes if vote.shares}
    rows = np.flatnonzero([clip in labelled for clip in feedback.clips])
    return replace(feedback.take(rows), votes=[vote for vote in votes if vote.clip_id in labelled])
