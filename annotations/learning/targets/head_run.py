"""One training run of a classifier head: reads the votes, trains on all of them, compares out of fold.

Knows the store and the job; how a head is fine-tuned is in `annotations.learning.targets.head_tuning`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotations.learning.config import RetrainingConfig
from annotations.learning.promotion.comparison import Answers
from annotations.learning.promotion.decision import Standing
from annotations.learning.promotion.folds import assign_folds, join_groups
from annotations.learning.promotion.gate import AnswerAll, Decision, judge
from annotations.learning.promotion.holdout import unit_names
from annotations.learning.promotion.holdout_store import read_trained
from annotations.learning.targets.feedback_embeddings import embed_feedback
from annotations.learning.targets.head_tuning import (
    Calibration,
    Feedback,
    HeadTuner,
    Numbers,
    Places,
    calibrate,
    calibrated,
    distilled,
    soft_targets,
)
from annotations.learning.targets.presets import preset_of
from annotations.learning.trainer import TrainingJob
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
from ser.evaluation.metrics import confusion, uar_of
from ser.labels import EMOTIONS
from ser.training.recipe import DEV_SPEAKERS
from ser.training.rehearsal import Rehearsal, load_rehearsal
from ser.types import EmotionScores

FOLDS = 5

KEPT = {"temperature": "temperature", "tried": "tried"}
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
        metrics: dict[str, object] = {
            "suspected_clips": len(feedback) - len(chosen.rows),
            "tried": list(found.tried),
            "temperature": {
                "before": self.start.temperature,
                "after": found.temperature,
                "kept": found.temperature is None,
            },
        }
        config = {"preset": job.config.preset, "seed": job.config.seed, "tune": "head"}
        facts = {**job.facts(), "speakers": len(set(feedback.groups))}
        meta = head.save(
            job.model_dir,
            Meta(job.name, head.labels, config=config, data=facts, metrics=metrics),
            load_rehearsal(self.start_folder),
        )
        record(job.store, job.run.id, feedback, chosen.suspects)
        if chosen.suspects:
            job.say(f"{len(chosen.suspects)} labels look like mistakes: not trained on, and back in the review queue.")
        return job.new_version(meta.sha256, {name: meta.metrics.get(kept) for name, kept in KEPT.items()})

    def compare(self, version: NewVersion) -> Decision:
        """Compare both heads on clips whose speakers they have not seen, on gold clips and on the base.

        Raises:
            TrainingCancelledError: if asked to stop.
        """
        job = self.job
        champion, made = model_folder(job.base), job.store.data_dir / version.path
        before = self._champion_out_of_fold(load_head(champion)[0])
        after = calibrated(*self._out_of_fold, self.folds, self.start, self.tuner.preset)

        def answering(folder: Path, rows: Numbers) -> AnswerAll:
            def answer(clips: Sequence[FeedbackExample]) -> list[EmotionScores]:
                gold = load_head(folder)[0].probabilities(self.gold) if len(self.gold) else np.zeros((0, len(EMOTIONS)))
                return [EmotionScores(tuple(row)) for row in np.concatenate([rows, gold]).tolist()]

            return answer

        return judge(
            job.holdout,
            answering(champion, before),
            answering(made, after),
            job.config.rule,
            base=base_standing(champion, made),
        )

    @cached_property
    def start_folder(self) -> Path:
        """Folder of the head that training starts from."""
        version, location = self.job.store.get_model_version(self.job.run.base_version_id), model_folder(self.job.base)
        while (earlier := self._parent(version)) is not None:
            version = earlier
            path = version.path
            folder = model_folder(self.job.config.origin or self.job.base) if path is None else self._folder(path)
            if not is_head(folder):
                break
            location = folder
        return location

    @cached_property
    def start(self) -> ClassifierHead:
        """The head that training starts from."""
        return load_head(self.start_folder)[0]

    @cached_property
    def tuner(self) -> HeadTuner:
        """Tuner with the settings of this run."""
        job, stored = self.job, load_rehearsal(self.start_folder)
        replayed = None if stored is None else distilled(stored.take(~base_test_rows(stored)), self.start)
        preset = preset_of(job.config)
        return HeadTuner(self.start, preset, replayed, job.config.seed, job.on_progress, job.should_stop)

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
        logs = self.tuner.predict_out_of_fold(feedback, feedback.plain, self.folds, self.folds)
        return logs, *soft_targets(feedback)

    def _champion_out_of_fold(self, champion: ClassifierHead) -> Numbers:
        """Probabilities by the current head; by fits without the clip's fold if it was trained here."""
        feedback, job = self.feedback, self.job
        version = job.store.get_model_version(job.run.base_version_id)
        trained = read_trained(job.store, version.training_run_id) if version.training_run_id is not None else set()
        rows = np.flatnonzero([clip in trained for clip in feedback.clips])
        votes = votes_of_run(job.store, version.training_run_id) if version.training_run_id is not None else []
        own = _with_votes(feedback.take(rows), votes)
        if version.training_run_id is None or not len(own):
            return champion.probabilities(feedback.plain)
        preset = preset_of(RetrainingConfig.of(job.store.get_training_run(version.training_run_id).config))
        tuner = replace(self.tuner, preset=preset, on_progress=None)
        place = {clip: row for row, clip in enumerate(feedback.clips)}
        places = self.folds[[place[clip] for clip in own.clips]]
        logs = tuner.predict_out_of_fold(own, feedback.plain, self.folds, places)
        return calibrated(logs, *soft_targets(feedback), self.folds, self.start, preset)

    def _groups(self, examples: Sequence[FeedbackExample], embeddings: npt.NDArray[np.float32]) -> list[str]:
        return join_groups(unit_names(examples, self.job.holdout.unit), self.start.standardise(embeddings))

    def _parent(self, version: ModelVersion) -> ModelVersion | None:
        if version.training_run_id is None:
            return None
        store = self.job.store
        return store.get_model_version(store.get_training_run(version.training_run_id).base_version_id)

    def _folder(self, path: str) -> Path:
        return self.job.store.data_dir / path


def record(store: AnnotationStore, run_id: int, feedback: Feedback, suspects: Sequence[Suspect] | None) -> None:
    """Send suspected label errors to the review queue; those that no longer look like errors leave it."""
    if suspects is None:
        return
    doubted = {suspect.clip_id for suspect in suspects}
    withdraw_suspects(store, set(feedback.suspected) & set(feedback.clips) - doubted)
    record_suspects(store, run_id, suspects)


def _with_votes(feedback: Feedback, votes: Sequence[Correction]) -> Feedback:
    """The clips that some other votes name a label of, with these votes."""
    labelled = {vote.clip_id for vote in votes if vote.shares}
    rows = np.flatnonzero([clip in labelled for clip in feedback.clips])
    return replace(feedback.take(rows), votes=[vote for vote in votes if vote.clip_id in labelled])


def base_test_rows(rehearsal: Rehearsal) -> npt.NDArray[np.bool_]:
    """Choose the base clips that are never replayed, so that they can tell what a new head has forgotten.

    Those of the dev speakers of the shipped weights; of other models, every fourth speaker's.
    """
    known = [speaker in DEV_SPEAKERS for speaker in rehearsal.speakers]
    if any(known):
        return np.array(known)
    apart = set(sorted(set(rehearsal.speakers))[::4])
    return np.array([speaker in apart for speaker in rehearsal.speakers])


def base_standing(before: Path, after: Path) -> Standing | None:
    """Measure two heads on base clips that were not replayed; None if there are none."""
    rehearsal = load_rehearsal(before)
    if rehearsal is None:
        return None
    test = rehearsal.take(base_test_rows(rehearsal))
    heads = [load_head(folder)[0] for folder in (before, after)]
    old, new = (head.probabilities(test.embeddings) for head in heads)
    labels = [[EMOTIONS[place] for place in rows.argmax(1)] for rows in (old, new)]
    truth = [EMOTIONS[place] for place in test.targets.argmax(1)]
    measured = Standing.of("base test", Answers(truth, labels[0], labels[1], probabilities=(old, new)))
    recalls = [mean_uar(truth, said, test.corpora) for said in labels]
    return replace(measured, before=recalls[0], after=recalls[1])


def mean_uar(truth: Sequence[str], answers: Sequence[str], corpora: Sequence[str]) -> float:
    """Unweighted average recall, mean over the corpora.

    >>> mean_uar(["anger", "fear", "fear"], ["anger", "anger", "fear"], ["a", "a", "b"])
    0.75
    """
    figures = []
    for corpus in sorted(set(corpora)):
        rows = [place for place, name in enumerate(corpora) if name == corpus]
        figures.append(uar_of(confusion([truth[row] for row in rows], [answers[row] for row in rows], EMOTIONS)))
    return float(np.mean(figures))
