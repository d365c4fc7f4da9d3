"""Adaptation to a neutral voice: `python -m benchmarks.neutral_voice --data DATA [--speakers NAME ...] [--json]`.

Of each speaker 1, 2 and 4 neutral clips are drawn, and the others are answered with and without them as a profile.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import run_benchmark
from ser.acoustic.head import EXTRA_LABELS
from ser.config import EMBEDDED
from ser.corpora import read_corpus
from ser.encoder.profiles import NEUTRAL, Profile, Profiles
from ser.errors import TrainingDataError
from ser.evaluation.metrics import confusion, uar_of
from ser.evaluation.predictions import embedding_model
from ser.labels import EMOTIONS, to_emotion
from ser.loading import load_recognizer
from ser.training.clip_embeddings import CopyPlan
from ser.training.embeddings import EmbeddingPlan, EmbeddingSet, default_cache_dir, embed_examples
from ser.training.recipe import HEAD_LABELS, RESERVED_SPEAKERS, TOLERATED, plainly_labelled

CORPORA = ("ravdess", "nemo", "cremad", "emodb-full")
COUNTS = (1, 2, 4)
DRAWS, QUICK_DRAWS = 6, 1
MOST_CLIPS = 700
"""Of each corpus."""

PACKAGES = ("numpy", "onnxruntime", "silero-vad")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 2 if something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neutral_voice", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--corpora", nargs="+", default=CORPORA, help="folders in DATA")
    parser.add_argument("--speakers", nargs="+", default=RESERVED_SPEAKERS, help="default: the reserved ones")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=f"{QUICK_DRAWS} draw of each speaker's clips")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """UAR without and with the neutral clips, by corpus and count.

    Raises:
        SerError: where models or clips cannot be had.
    """
    draws = QUICK_DRAWS if options.quick else DRAWS
    figures = {}
    for name in options.corpora:
        data = _embed(options.data / name, options.speakers, options.seed)
        figures[name] = {str(count): compare(data, count, draws, options.seed) for count in COUNTS}
    return {"benchmark": "neutral_voice", "corpora": figures}


def _embed(folder: Path, speakers: Sequence[str], seed: int) -> EmbeddingSet:
    examples = [one for one in plainly_labelled(read_corpus(folder, HEAD_LABELS).examples) if one.speaker in speakers]
    if not examples:
        raise TrainingDataError(f"{folder} has no clips of {', '.join(list(speakers)[:6])}.")
    order = np.random.default_rng(seed).permutation(len(examples))[:MOST_CLIPS]
    plan = CopyPlan((), 0, EMBEDDED, "cpu", default_cache_dir())
    return embed_examples([examples[at] for at in order], EmbeddingPlan(plan, tolerated=TOLERATED, labels=HEAD_LABELS))


def compare(data: EmbeddingSet, count: int, draws: int, seed: int) -> dict[str, float]:
    """Mean UAR over draws of so many neutral clips of each speaker, on the clips that were not drawn."""
    model, generator = embedding_model(load_recognizer().acoustic), np.random.default_rng(seed)
    rows, speakers = data.plain, np.asarray(data.speakers)
    given = [data.labels[place] for place in data.targets.argmax(axis=1)]
    neutral = np.array([label == "neutral" for label in given])
    truth = np.array([to_emotion(label) or EXTRA_LABELS[label] for label in given])
    plain, adapted = list[float](), list[float]()
    for _ in range(draws):
        answers: dict[bool, list[str]] = {False: [], True: []}
        left = list[str]()
        for speaker in sorted(set(data.speakers)):
            own = np.flatnonzero(speakers == speaker)
            if neutral[own].sum() < count:
                continue
            drawn = generator.choice(own[neutral[own]], count, replace=False)
            rest = np.setdiff1d(own, drawn)
            profile = Profiles(neutral=Profile.of(NEUTRAL, model.encoder_sha256, rows[drawn]))
            for known, center in ((False, None), (True, model.center_for(profile))):
                answers[known] += [scores.label for scores in model.classify_embeddings(rows[rest], center)]
            left += truth[rest].tolist()
        plain.append(uar_of(confusion(left, answers[False], EMOTIONS)))
        adapted.append(uar_of(confusion(left, answers[True], EMOTIONS)))
    return {"plain": round(float(np.mean(plain)), 4), "adapted": round(float(np.mean(adapted)), 4)}


if __name__ == "__main__":
    sys.exit(main())
