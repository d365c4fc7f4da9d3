"""One simulated collection of the learning curve: a store that fills with votes, and runs on them."""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from annotations.errors import StoreError
from annotations.learning.config import PRESETS, RetrainingConfig
from annotations.learning.feedback import training_examples
from annotations.learning.learners import Lesson
from annotations.learning.learners_acoustic import AcousticLearner
from annotations.learning.sides import hold_out, record_holdout
from annotations.queue import QueueOrder, next_clip
from annotations.store import AnnotationStore
from benchmarks.learning_curve_data import Ears, World, cached
from benchmarks.raters import Condition, draw_raters, read_confusion
from ser.acoustic.classifier import load_network
from ser.audio import decode_file
from ser.checkpoints import load_meta
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS
from ser.types import EmotionScores, Recognition, Timings

VOTES = 5
"""Noisy raters of each clip."""

CROWD = Condition(VOTES, raters=20)
"""From whom they are drawn: a fifth spammers, a fifth twice as good as the average listener."""


@dataclass(frozen=True)
class Plan:
    """One way of collecting and learning.

    Attributes:
        name: for people.
        raters: `perfect` or `noisy`.
        order: of the review queue.
        learner: who learns.
        preset: of the runs.
    """

    name: str
    raters: str
    order: QueueOrder
    learner: AcousticLearner = field(default_factory=AcousticLearner)
    preset: str = PRESETS[0]


def fill_store(folder: Path, base: Path, ears: Ears, world: World) -> Path:
    """Keep the pool's clips, the base model's answers and what was measured in a store; returns its folder."""
    with AnnotationStore(folder) as store:
        version = store.ensure_base_version("base", load_meta(base).sha256)
        heard, _ = ears.pool
        answers = ears.probabilities(ears.network, heard).astype(np.float64)
        for example, row, sound in zip(world.pool, answers, ears.sounds, strict=True):
            clip = store.add_clip(
                decode_file(example.path), source="benchmark", speaker=example.speaker, consent=("training",)
            )
            scores = EmotionScores(tuple((row / row.sum()).tolist()))
            answer = Recognition(clip.duration, (), scores, None, None, scores, 0.0, (), Timings(), {})
            store.add_prediction(clip.id, answer, version.id)
            store.add_sound(clip.id, sound)
        store.promote(version.id, by="benchmark", reason="the base")
        # A store draws every clip's place in the random order for itself; here two runs are to meet the same order.
        places = np.random.default_rng(0).integers(2**32, size=len(world.pool)).tolist()
        with store.database.writing() as connection:
            connection.executemany(
                "UPDATE queue_clips SET chance = ? WHERE clip_id = ?",
                [(place, clip) for clip, place in enumerate(places, start=1)],
            )
    return folder


class Classroom:
    """A copy of a filled store, and the raters.

    Args:
        folder: of the copy.
        filled: folder of a store, see `fill_store`.
        base: folder of the base model.
        ears: of the base model.
        world: whose clips.
        plan: how they are corrected and learnt from.
        seed: of the raters, of who reviews, and so of every order that chance has a say in, and of who is held out.
    """

    def __init__(self, folder: Path, filled: Path, base: Path, ears: Ears, world: World, plan: Plan, seed: int) -> None:
        self.base, self.ears, self.world, self.plan, self.seed = base, ears, world, plan, seed
        self.folder = folder
        self.store = AnnotationStore(shutil.copytree(filled, folder / "data"))
        # The hash of a speaker's name decides who is held out, and that decides more than any order: so each seed holds
        # out others, and the same ones whatever the plan, as far as the clips allow.
        with self.store.database.writing() as connection:
            connection.execute("UPDATE clips SET speaker = speaker || ?", (f" {seed}",))
        self.judged: set[int] = set()
        self.version = self.store.ensure_base_version("base", load_meta(base).sha256)
        self.draw = np.random.default_rng(seed)
        table = read_confusion(world.data / "crowd-votes" / "confusion.csv")
        self.crowd = draw_raters(table, CROWD, self.draw)
        # Clips have the numbers in which they were stored.
        self.truths = {number: example.hard_label for number, example in enumerate(world.pool, start=1)}

    def rounds(self, counts: Sequence[int]) -> Iterator[dict[str, object]]:
        """Correct up to each count, learn, and measure; a figure for each."""
        with self.store:
            for count in sorted(counts):
                while len(self.judged) < min(count, len(self.truths)):
                    self._judge_next()
                yield self._round(count)

    def _judge_next(self) -> None:
        """Vote on the clip that the review queue gives next."""
        item = next_clip(self.store, f"reader{self.seed}", order=self.plan.order, exclude=self.judged)
        assert item is not None
        self._vote(item.clip.id)
        self.judged.add(item.clip.id)

    def _vote(self, clip: int) -> None:
        truth = self.truths[clip]
        if self.plan.raters == "perfect":
            self.store.add_correction(clip, rater="perfect", verdict="correct", label=truth)
            return
        for rater in self.draw.choice(CROWD.raters, VOTES, replace=False).tolist():
            chances = self.crowd[rater, EMOTIONS.index(truth)]
            if not chances.sum():
                # Nobody asked listeners for surprise: they hear it as they hear a label that is asked for, by half.
                chances = 0.5 * np.eye(len(EMOTIONS))[EMOTIONS.index(truth)] + 0.5 * self.crowd[rater].mean(0)
            label = EMOTIONS[int(self.draw.choice(len(EMOTIONS), p=chances / chances.sum()))]
            self.store.add_correction(clip, rater=f"rater {rater}", verdict="correct", label=label)

    def _round(self, count: int) -> dict[str, object]:
        row: dict[str, object] = {"plan": self.plan.name, "seed": self.seed, "corrections": count}
        started = time.monotonic()
        try:
            network, facts = self._learn(count)
        except (TrainingDataError, StoreError) as error:
            row |= {"refused": str(error)} if count else {}
            return row | {"uar": self.ears.base_uar, "base_change": 0.0, "base_by_corpus": {}}
        ears = self.ears.of(network)
        after = ears.reserved_uar(network, self.world)
        change = {name: round(100 * (after[name] - uar), 2) for name, uar in self.ears.base_reserved.items()}
        return row | {
            "uar": round(ears.uar(network, *ears.test), 4),
            "base_change": round(float(np.mean(list(change.values()))), 2),
            "base_by_corpus": change,
            **facts,
            "seconds": round(time.monotonic() - started, 1),
        }

    def _learn(self, count: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
        holdout = hold_out(self.store, training_examples(self.store))
        # Changed copies of a clip are drawn by the seed of the training and kept: making them is what takes the time.
        config = RetrainingConfig(base=str(self.base), preset=self.plan.preset)
        run = self.store.start_training_run({}, None, self.version.id, "benchmark", [])
        run_dir = self.folder / f"run{count}"
        run_dir.mkdir(parents=True)
        (run_dir / "features").symlink_to(cached(), target_is_directory=True)
        lesson = Lesson(
            self.store,
            run,
            config,
            holdout,
            str(self.base),
            run_dir,
            "cpu",
            say=lambda sentence: None,
            on_progress=lambda progress: None,
            should_stop=lambda: False,
        )
        made = self.plan.learner.learn(lesson)
        record_holdout(self.store, run.id, holdout)
        self.store.finish_training_run(run.id, "refused", {}, "only measured", made)
        folder = self.store.data_dir / made.path
        return load_network(folder), {
            "training_clips": len(holdout.training),
            **{name: load_meta(folder).metrics[name] for name in ("memory", "tried")},
        }
