"""A trainer that takes as many steps as a test needs, and keeps each: gradient descent on a head in numpy."""

import time
from dataclasses import dataclass, replace

import numpy as np

from annotations.learning.config import RetrainingConfig
from annotations.learning.promotion.decision import Decision
from annotations.learning.promotion.holdout import Holdout
from annotations.learning.targets.acoustic import AcousticTrainer
from annotations.learning.targets.feedback_embeddings import embed_feedback
from annotations.learning.trainer import TrainingJob
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from ser.acoustic.folders import model_folder
from ser.acoustic.head import load_head
from ser.checkpoints.folder import Meta
from ser.errors import TrainingCancelledError
from ser.labels import EMOTIONS
from ser.training.progress import TrainProgress

STEPS = 3
"""In an epoch."""


@dataclass
class GradualTrainer:
    """Trains as an encoder is trained, in epochs with a checkpoint after each, but in milliseconds.

    Attributes:
        pause: seconds that each step takes besides.
    """

    pause: float = 0.0

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        AcousticTrainer().check(store, holdout, config)

    def train(self, job: TrainingJob) -> NewVersion:
        head, _ = load_head(model_folder(job.base))
        values = head.features(embed_feedback(job, head, job.holdout.training)[:, 0].astype(np.float32))
        labels = [max(e.soft_label, key=e.soft_label.__getitem__) for e in job.holdout.training]
        truth = np.eye(len(head.labels))[[head.labels.index(label) for label in labels]]
        kept = job.checkpoint_dir / "epoch.npz"
        weights, first = head.weights.astype(np.float64), 0
        if kept.is_file():
            saved = np.load(kept)
            weights, first = saved["weights"], int(saved["epoch"])
        epochs = job.config.epochs or 10
        for step in range(first * STEPS, epochs * STEPS):
            if job.should_stop():
                raise TrainingCancelledError("Stopped between two steps.")
            time.sleep(self.pause)
            logits = values @ weights + head.bias
            odds = np.exp(logits - logits.max(1, keepdims=True))
            chances = odds / odds.sum(1, keepdims=True)
            weights = weights - 0.002 * values.T @ (chances - truth) / len(truth)
            loss = float(-np.log((chances * truth).sum(1)).mean())
            epoch, done = step // STEPS + 1, (step + 1) % STEPS == 0
            if done:
                kept.parent.mkdir(parents=True, exist_ok=True)
                with kept.with_suffix(".tmp").open("wb") as file:
                    np.savez(file, weights=weights, epoch=epoch)
                kept.with_suffix(".tmp").replace(kept)
            left = (epochs * STEPS - step - 1) * (self.pause + 0.001)
            job.on_progress(TrainProgress(epoch, epochs, step + 1, epochs * STEPS, loss, None, left, "training", done))
        trained = replace(head, weights=weights.astype(np.float32))
        return job.new_version(trained.save(job.model_dir, Meta(job.name, EMOTIONS)).sha256)

    def compare(self, job: TrainingJob, version: NewVersion) -> Decision:
        return AcousticTrainer().compare(job, version)
