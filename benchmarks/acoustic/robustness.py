"""Cost of noise, rooms, codecs and levels: `python -m benchmarks.robustness --data DATA [--model NAME] [--json]`.

Every clip of the reserved speakers is answered clean and in each condition of `benchmarks.degradations`, through the
whole path of recognition: speech is detected in the degraded recording, too. Noise comes from DATA/noise, of ESC-10's
fold 5 only, which training leaves out (`benchmarks.degradations.HELD_OUT_NOISE`: files whose names begin with `5-`). A
clip gets the same stretch of noise at each level.
"""

import argparse
import sys
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.acoustic.degradations import Degrade, conditions, read_held_out_noises
from benchmarks.machine import run_benchmark
from ser.acoustic.classifier import load_acoustic_model
from ser.audio.decoding import decode_file
from ser.audio.denoising import denoise
from ser.audio.vad import SileroDetector, trim_to_speech
from ser.config import EMBEDDED
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.evaluation.metrics import Interval, paired_bootstrap, uar
from ser.labels import EMOTIONS
from ser.protocols import AcousticModel, SpeechDetector
from ser.training.recipe import RESERVED_SPEAKERS
from ser.types import Audio

CORPORA = ("ravdess", "nemo", "emodb-full", "cremad")
"""Folders that hold reserved speakers."""

CLEAN = "clean"

ALLOWED_LOSS = {"noise 0 dB": 0.15, "first 1 s": 0.12}
"""UAR that a condition may cost, on the mean of the corpora; others `OTHER_LOSS`."""

OTHER_LOSS = 0.06

QUICK_CLIPS, BATCH_SIZE, RESAMPLES = 12, 16, 1000
PACKAGES = ("numpy", "scipy", "onnxruntime", "av", "soundfile", "pyroomacoustics", "silero-vad")


@dataclass(frozen=True)
class Clip:
    """A recording of the test, as it was made."""

    name: str
    corpus: str
    truth: str
    audio: Audio


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 if done, 2 if something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora and of noise")
    parser.add_argument("--model", default=EMBEDDED, help="embedded, a folder or a Hub id")
    parser.add_argument("--corpora", nargs="+", default=CORPORA, help="folders in DATA")
    parser.add_argument("--speakers", nargs="+", default=RESERVED_SPEAKERS)
    parser.add_argument("--conditions", nargs="+", metavar="NAME", help="some of them only")
    parser.add_argument("--denoise", action="store_true", help="reduce noise first (pip install webrtc-noise-gain)")
    parser.add_argument("--limit", type=int, metavar="N", help="clips drawn from each corpus; all if left out")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=f"{QUICK_CLIPS} clips of each corpus")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The figures of every condition.

    Raises:
        SerError: where model, clips or noise cannot be had, or a condition is not known.
    """
    known = conditions(read_held_out_noises(options.data / "noise"))
    chosen = known if options.conditions is None else _choose(known, options.conditions)
    clips = read_clips(
        [options.data / name for name in options.corpora],
        set(options.speakers),
        QUICK_CLIPS if options.quick else options.limit,
        options.seed,
    )
    model, detector = load_acoustic_model(options.model), SileroDetector()
    clean = denoise if options.denoise else None
    answers = {
        name: predict(model, detector, clips, degrade, options.seed, clean)
        for name, degrade in tqdm(chosen.items(), unit="condition", disable=None)
    }
    return {
        "benchmark": "robustness",
        "model": model.name,
        "sha256": model.sha256,
        "denoise": options.denoise,
        "clips": {corpus: sum(clip.corpus == corpus for clip in clips) for corpus in options.corpora},
        **compare(clips, answers, options.seed),
    }


def read_clips(folders: Sequence[Path], speakers: Collection[str], limit: int | None, seed: int) -> list[Clip]:
    """The clips of some speakers.

    Args:
        folders: of corpora.
        speakers: whose clips are wanted.
        limit: of clips drawn from each corpus; None for all.
        seed: draws them.

    Raises:
        TrainingDataError: where a corpus has none of the speakers.
        AudioError: where a clip cannot be read.
    """
    clips = []
    for folder in folders:
        examples = [example for example in load_corpus(folder) if example.speaker in speakers]
        if not examples:
            raise TrainingDataError(
                f"{folder} has no clip of {', '.join(sorted(speakers)[:6])}. Name others with --speakers, or leave the "
                "corpus out with --corpora."
            )
        if limit is not None and limit < len(examples):
            drawn = np.random.default_rng(seed).permutation(len(examples))[:limit]
            examples = [examples[index] for index in sorted(drawn)]
        clips += [Clip(e.path.name, e.corpus, e.hard_label, decode_file(e.path)) for e in examples]
    return clips


def predict(
    model: AcousticModel,
    detector: SpeechDetector,
    clips: Sequence[Clip],
    degrade: Degrade,
    seed: int,
    clean: Callable[[Audio], Audio] | None = None,
) -> list[str]:
    """The model's label for every clip in one condition, without noise if `clean` takes it away."""
    answers: list[str] = []
    for first in range(0, len(clips), BATCH_SIZE):
        audios = []
        for clip in clips[first : first + BATCH_SIZE]:
            # Seeded by the clip alone, so that all noise levels use one stretch of one noise.
            generator = np.random.default_rng([seed, zlib.crc32(clip.name.encode())])
            audio = Audio(degrade(clip.audio.signal, generator))
            audio = audio if clean is None else clean(audio)
            audios.append(trim_to_speech(audio, detector.detect(audio)))
        answers += [scores.label for scores in model.classify_batch(audios)]
    return answers


def compare(clips: Sequence[Clip], answers: dict[str, list[str]], seed: int) -> dict[str, Any]:
    """UAR by corpus in each condition, and what it lost against the clean recordings.

    Args:
        clips: in the order of the answers.
        answers: {condition: label of each clip}; holds `CLEAN`.
        seed: of the intervals' draws.

    Returns:
        `conditions`: {name: `uar` by corpus and `mean`, `change` of the same, each `[value, low, high]`}, and `target`:
        `missed_in` by the mean, `beyond_in` {name: corpora that alone lose more}.
    """
    names = sorted({clip.corpus for clip in clips})
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for condition, predicted in answers.items():
        scores: dict[str, float] = {}
        changes: dict[str, list[float]] = {}
        for corpus in names:
            places = [index for index, clip in enumerate(clips) if clip.corpus == corpus]
            truth = [clips[index].truth for index in places]
            given, clean = ([labels[index] for index in places] for labels in (predicted, answers[CLEAN]))
            scores[corpus] = round(uar(truth, given, EMOTIONS), 4)
            changes[corpus] = _rounded(paired_bootstrap(truth, clean, given, EMOTIONS, seed=seed))
        change = change_of_mean(
            [clip.truth for clip in clips], answers[CLEAN], predicted, [clip.corpus for clip in clips], seed
        )
        scores["mean"], changes["mean"] = round(float(np.mean(list(scores.values()))), 4), _rounded(change)
        rows[condition] = {"uar": scores, "change": changes}
    beyond = {
        name: [place for place, change in row["change"].items() if change[0] < -ALLOWED_LOSS.get(name, OTHER_LOSS)]
        for name, row in rows.items()
    }
    missed = [name for name, places in beyond.items() if "mean" in places]
    by_corpus = {name: [p for p in places if p != "mean"] for name, places in beyond.items() if set(places) - {"mean"}}
    target = {"allowed_loss": {"other": OTHER_LOSS, **ALLOWED_LOSS}, "missed_in": missed, "beyond_in": by_corpus}
    return {"conditions": rows, "target": target}


def change_of_mean(
    truth: Sequence[str], clean: Sequence[str], degraded: Sequence[str], corpora: Sequence[str], seed: int
) -> Interval:
    """Change of the mean UAR over corpora; each corpus's clips are drawn again by themselves, in pairs.

    Args:
        truth: label of each clip.
        clean: answer to the recording as it was.
        degraded: answer to the degraded one.
        corpora: of each clip.
        seed: of the draws.

    >>> change_of_mean(["anger", "fear"], ["anger", "fear"], ["anger", "anger"], ["one", "two"], seed=0).value
    -0.5
    """
    generator = np.random.default_rng(seed)
    names = np.array(corpora)
    known, first, second = (np.array(labels) for labels in (truth, clean, degraded))
    value, draws = 0.0, np.zeros(RESAMPLES)
    for corpus in np.unique(names):
        here = names == corpus
        classes = known[here][:, None] == np.unique(known[here])
        gains = (second[here] == known[here]).astype(float) - (first[here] == known[here])
        size = int(here.sum())
        counts = generator.multinomial(size, np.full(size, 1 / size), size=RESAMPLES).astype(float)
        # Of each class the mean gain; a class that a draw left out counts for nothing there.
        support = counts @ classes
        recall = np.divide(counts @ (classes * gains[:, None]), support, out=np.zeros_like(support), where=support > 0)
        draws += recall.sum(1) / np.maximum((support > 0).sum(1), 1)
        value += float(((classes * gains[:, None]).sum(0) / classes.sum(0)).mean())
    number = len(np.unique(names))
    low, high = np.quantile(draws / number, [0.025, 0.975])
    return Interval(value / number, float(low), float(high))


def _choose(known: dict[str, Degrade], wanted: Sequence[str]) -> dict[str, Degrade]:
    strangers = sorted(set(wanted) - set(known))
    if strangers:
        raise TrainingDataError(f"There is no condition {', '.join(strangers)}; expected some of {', '.join(known)}.")
    return {name: degrade for name, degrade in known.items() if name == CLEAN or name in wanted}


def _rounded(interval: Interval) -> list[float]:
    return [round(value, 4) for value in (interval.value, interval.low, interval.high)]


if __name__ == "__main__":
    sys.exit(main())
