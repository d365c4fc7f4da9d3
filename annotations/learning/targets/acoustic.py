"""Trains the acoustic model from labelled clips: the head on a frozen encoder, or a pretrained encoder as a whole.

Knows nothing of processes and runs; see `annotations.learning.trainer`. Imports torch for pretrained encoders alone.
"""

import importlib

import numpy as np
import numpy.typing as npt

from annotations.learning.config import RetrainingConfig
from annotations.learning.labels.soft_labels import Evidence, read_evidence
from annotations.learning.promotion.gate import Decision, decide_by_answers
from annotations.learning.promotion.holdout import Holdout
from annotations.learning.promotion.probability_gain import stacked
from annotations.learning.targets.head_run import HeadRun
from annotations.learning.targets.presets import check_tune, encoder_config
from annotations.learning.trainer import TrainingJob
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from annotations.store.records import FeedbackExample
from ser.acoustic.classifier import load_acoustic_model
from ser.acoustic.folders import is_head, model_folder
from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector, trim_to_speech
from ser.errors import TrainingCancelledError
from ser.types import Example


class AcousticTrainer:
    """Trainer of the acoustic model. A head is trained in seconds: after a kill it starts again."""

    def __init__(self) -> None:
        self._run: HeadRun | None = None

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """Clips with labels, which every target needs, are all that is needed here."""
        if is_head(model_folder(config.base)):
            check_tune(config)

    def train(self, job: TrainingJob) -> NewVersion:
        """Train on the feedback."""
        return self._head_run(job).train() if is_head(model_folder(job.base)) else train_encoder(job)

    def compare(self, job: TrainingJob, version: NewVersion) -> Decision:
        """Compare both models: heads out of fold, others on the held-out clips."""
        if is_head(model_folder(job.base)):
            return self._head_run(job).compare(version)
        return compare_models(job, version)

    def _head_run(self, job: TrainingJob) -> HeadRun:
        """The job's run; the one at hand has its embeddings and its out-of-fold predictions ready."""
        if self._run is None or self._run.job is not job:
            self._run = HeadRun(job)
        return self._run


def train_encoder(job: TrainingJob) -> NewVersion:
    """Fine-tune a pretrained encoder by gradients; the held-out clips have no say."""
    clips = [feedback.clip.id for feedback in job.holdout.training]
    with job.votes() as store:
        evidence = read_evidence(store, clips)
    # Only here is torch brought in.
    encoders, tasks, processes = (
        importlib.import_module(f"ser.training.gradients.{name}") for name in ("encoder", "task", "processes")
    )
    model = encoders.train(
        [as_example(job, feedback, evidence) for feedback in job.holdout.training],
        encoder_config(job.config),
        dev=[as_example(job, feedback) for feedback in job.holdout.held_out],
        init=job.base,
        around=tasks.Surroundings(
            processes.Processes(job.device), job.checkpoint_dir, job.on_progress, job.should_stop
        ),
    )
    # Saving a model removes its checkpoint, and a kill between that and the store's record would cost the run.
    meta = model.save(job.model_dir, name=job.name, data=job.facts(), keep_checkpoint=True)
    return job.new_version(meta.sha256)


def compare_models(job: TrainingJob, version: NewVersion) -> Decision:
    """Let both models predict the held-out and the gold clips, and decide."""
    detector = SileroDetector()
    audios = []
    for feedback in (*job.holdout.held_out, *job.holdout.gold):
        audio = decode_file(job.store.clip_path(feedback.clip))
        audios.append(trim_to_speech(audio, detector.detect(audio)))

    def answer(location: str) -> npt.NDArray[np.float64]:
        if job.should_stop():
            raise TrainingCancelledError("Stopped before the comparison was done.")
        return stacked(load_acoustic_model(location, job.device).classify_batch(audios))

    made = str(job.store.data_dir / version.path)
    return decide_by_answers(job.holdout, answer(job.base), answer(made), job.config.rule)


def as_example(job: TrainingJob, feedback: FeedbackExample, evidence: Evidence | None = None) -> Example:
    """Describe a clip for training: with what its votes are worth together, or else with their plain shares."""
    known = evidence or Evidence()
    return Example(
        path=job.store.clip_path(feedback.clip),
        label=known.soft_labels.get(feedback.clip.id, feedback.soft_label),
        speaker=feedback.group,
        corpus="feedback",
        transcript=feedback.transcript,
        weight=known.weights.get(feedback.clip.id, 1.0),
    )
