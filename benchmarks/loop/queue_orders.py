"""UAR on speakers whom nobody corrected, against the number of corrected clips of a corpus new to the model.

    python -m benchmarks.queue_orders [--data ../shared/data] [--corpus turev] [--seeds 3] [--plot FILE] [--json]

Simulated raters vote on the corpus's clips in a real store, in the order of the real review queue; after each so many
of them the product's own trainer of the acoustic model runs. Noisy raters vote as listeners do who hear the voice alone
(`crowd-votes`), five of them on each clip. Nobody votes on test speakers. Seeds differ in test speakers, order and
raters.
"""

import argparse
import importlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from annotations.learning.config import RetrainingConfig, run_folder
from annotations.learning.promotion.holdout_store import hold_out
from annotations.learning.targets.acoustic import AcousticTrainer
from annotations.learning.trainer import TrainingJob
from annotations.raters.votes import training_examples
from annotations.review.queue import QueueOrder, next_clip
from annotations.store import AnnotationStore, NewVote
from annotations.store.embeddings import insert_embedding
from benchmarks.loop.raters import Condition, draw_raters, read_confusion
from benchmarks.machine import run_benchmark
from ser.acoustic.folders import EMBEDDED_FOLDER
from ser.acoustic.head import ClassifierHead, load_head
from ser.audio.decoding import decode_file
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.evaluation.metrics import confusion, uar_of
from ser.labels import EMOTIONS
from ser.training.clip_embeddings import CopyPlan
from ser.training.embeddings import EmbeddingPlan, EmbeddingSet, default_cache_dir, embed_examples
from ser.types import Embedding, EmotionScores, Recognition, Timings

DATA = Path("../shared/data")
PACKAGES = ("numpy", "onnxruntime", "scikit-learn", "scipy")
COUNTS = (25, 50, 100, 200, 400)
QUICK_COUNTS = (50, 200)
TEST_SPEAKERS = 2
VOTES = 5
CROWD = Condition(VOTES)


@dataclass(frozen=True)
class Plan:
    """A way to correct clips.

    Attributes:
        raters: `perfect` or `noisy`.
        order: of the review queue.
    """

    name: str
    raters: str
    order: QueueOrder


PLANS = (
    Plan("perfect raters, random order", "perfect", QueueOrder.RANDOM),
    Plan("perfect raters, best for training", "perfect", QueueOrder.MOST_INFORMATIVE),
    Plan("noisy raters, random order", "noisy", QueueOrder.RANDOM),
)


class Rounds:
    """One plan with one seed: votes and trainings, one after the other.

    Args:
        folder: of the store.
        data: the corpus, embedded.
        plan: how clips are corrected.
        seed: of test speakers, order and raters.
        crowd: folder of `confusion.csv`.
    """

    def __init__(self, folder: Path, data: EmbeddingSet, plan: Plan, seed: int, crowd: Path) -> None:
        self.plan, self.seed, self.draw = plan, seed, np.random.default_rng(seed)
        speakers = self.draw.permutation(sorted(set(data.speakers)))
        self.test = data.of_speakers(set(speakers[:TEST_SPEAKERS].tolist()))
        self.pool = data.of_speakers(set(speakers[TEST_SPEAKERS:].tolist()))
        self.head, _ = load_head(EMBEDDED_FOLDER)
        self.store = AnnotationStore(folder)
        self.version = self.store.ensure_base_version("embedded", self.head.encoder_sha256)
        self.confusion = draw_raters(read_confusion(crowd / "confusion.csv"), CROWD, self.draw)
        self.truths = self._fill()

    def play(self, counts: Sequence[int]) -> Iterator[tuple[int, float]]:
        """Correct and train; gives the number of corrections and the UAR on the test speakers."""
        yield 0, self._uar(self.head)
        done: set[int] = set()
        for count in [count for count in counts if count <= len(self.truths)]:
            while len(done) < count:
                item = next_clip(self.store, f"reader {self.seed}", order=self.plan.order, exclude=done)
                assert item is not None
                self._vote(item.clip.id)
                done.add(item.clip.id)
            yield count, self._uar(self._train())

    def _fill(self) -> dict[int, str]:
        """Store the pool with embeddings and predictions; {clip: correct label}."""
        truths = {}
        for row, path in enumerate(self.pool.paths):
            speaker = self.pool.speakers[row]
            clip = self.store.add_clip(decode_file(path), source="benchmark", speaker=speaker, consent=("training",))
            vector = self.pool.plain[row]
            scores = EmotionScores(tuple(self.head.probabilities(vector[None])[0].tolist()))
            answer = Recognition(clip.duration, (), scores, None, None, scores, 0.0, (), Timings(), {})
            self.store.add_prediction(clip.id, answer, self.version.id)
            with self.store.database.writing(durable=False) as connection:
                insert_embedding(connection, clip.id, Embedding(vector, self.head.encoder_sha256))
            truths[clip.id] = EMOTIONS[int(self.pool.targets[row].argmax())]
        return truths

    def _vote(self, clip: int) -> None:
        truth = self.truths[clip]
        if self.plan.raters == "perfect":
            self.store.add_correction(clip, NewVote("perfect", "correct", label=truth))
            return
        for rater in self.draw.choice(CROWD.raters, VOTES, replace=False).tolist():
            chances = self.confusion[rater, EMOTIONS.index(truth)]
            if not chances.sum():  # Listeners were not asked for surprise: half of these votes are right.
                chances = 0.5 * np.eye(len(EMOTIONS))[EMOTIONS.index(truth)] + 0.5 * self.confusion[rater].mean(0)
            label = EMOTIONS[int(self.draw.choice(len(EMOTIONS), p=chances / chances.sum()))]
            self.store.add_correction(clip, NewVote(f"rater {rater}", "correct", label=label))

    def _train(self) -> ClassifierHead:
        config = RetrainingConfig(seed=self.seed, base="embedded", origin="embedded", device="cpu")
        holdout = hold_out(self.store, training_examples(self.store), cross_fitted=True)
        run = self.store.queue_training_run({"seed": self.seed}, self.version.id, "benchmark")
        run = self.store.begin_training_run(
            run.id, config={}, base_version_id=self.version.id, correction_ids=[], snapshot_sha256="0" * 64
        )
        folder = run_folder(self.store.data_dir, run.id)
        folder.mkdir(parents=True)
        job = TrainingJob(
            self.store,
            run,
            config,
            holdout,
            "embedded",
            folder,
            "cpu",
            lambda said: None,
            lambda step: None,
            lambda: False,
        )
        AcousticTrainer().train(job)
        self.store.close_training_run(run.id, "cancelled", "a round of the benchmark")
        return load_head(job.model_dir)[0]

    def _uar(self, head: ClassifierHead) -> float:
        said = np.array(EMOTIONS)[head.probabilities(self.test.plain).argmax(1)]
        truth = np.array(EMOTIONS)[self.test.targets.argmax(1)]
        return float(uar_of(confusion(truth.tolist(), said.tolist(), EMOTIONS)))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Play all plans with all seeds."""
    examples = load_corpus(options.data / options.corpus)
    if not examples:
        raise TrainingDataError(f"{options.data / options.corpus} has no clips. Name their folder by --data.")
    head, _ = load_head(EMBEDDED_FOLDER)
    plan = CopyPlan(encoder=head.encoder, cache_dir=default_cache_dir())
    data = embed_examples(examples, EmbeddingPlan(plan, tolerated=0.02))
    if options.quick:
        data = data.take(np.sort(np.random.default_rng(0).permutation(len(data))[:400]))
    seeds = range(options.seed, options.seed + (1 if options.quick else options.seeds))
    curves: dict[str, list[tuple[int, npt.NDArray[np.float64]]]] = {}
    for way in PLANS:
        found: dict[int, list[float]] = {}
        for seed in tqdm(seeds, way.name, disable=None):
            with tempfile.TemporaryDirectory(prefix="learning-curve-") as folder:
                rounds = Rounds(Path(folder), data, way, seed, options.data / "crowd-votes")
                for count, figure in rounds.play(QUICK_COUNTS if options.quick else COUNTS):
                    found.setdefault(count, []).append(figure)
        curves[way.name] = [(count, np.array(figures)) for count, figures in found.items()]
    if options.plot:
        means = {name: [(count, float(figures.mean())) for count, figures in curve] for name, curve in curves.items()}
        # By name: only a plot needs matplotlib.
        importlib.import_module("benchmarks.loop.curve_plot").draw_curves(means, options.plot, options.corpus)
    return {
        "corpus": options.corpus,
        "clips": len(data),
        "test_speakers": TEST_SPEAKERS,
        "curves": {
            name: [[count, *np.round(figures, 4).tolist()] for count, figures in curve]
            for name, curve in curves.items()
        },
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue_orders", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the corpora (default: %(default)s)")
    parser.add_argument("--corpus", default="turev", help="one that the model was never trained on (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves (needs matplotlib)")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="400 clips, one seed, two counts")


if __name__ == "__main__":
    sys.exit(main())
