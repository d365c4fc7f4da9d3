"""Explanations put to the test: `python -m benchmarks.explanation --data DATA [--speakers NAME ...] [--quick]`.

Deletion: the quarter of a clip and the two bands that an explanation names are taken away, and as much at random, and
the loudest; the answer's label should lose the most by the first. Planted evidence: an angry second
is put into a neutral sentence of the same speaker, and the moment that speaks most for anger should lie in it.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.signal import periodogram
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from ser.audio.decoding import decode_file
from ser.config import Settings
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.explanation.explanation import Explanation
from ser.explanation.occlusion import Span, Voice, cut_moments, without, without_bands
from ser.loading import load_recognizer
from ser.recognizer import Recognizer
from ser.training.recipe import RESERVED_SPEAKERS
from ser.types import SAMPLING_RATE, Audio, Example, Recognition, Signal

CORPORA = ("ravdess", "nemo", "cremad", "emodb-full")
LABEL, NEUTRAL, PLANTED = "anger", "neutral", 1.0

CLIPS, QUICK_CLIPS = 60, 6
"""Clips of each corpus that parts are deleted from."""

PLANTS, QUICK_PLANTS = 6, 1
"""Planted sentences of each speaker."""

SHARE, NAMED_BANDS, RANDOM_DRAWS = 0.25, 2, 4
MIN_AGAINST_RANDOM, MIN_AGAINST_LOUDEST, MIN_FOUND = 2.0, 1.5, 0.85
PACKAGES = ("numpy", "scipy", "onnxruntime", "silero-vad")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 if the goals are met, 1 if not, 2 if something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--corpora", nargs="+", default=CORPORA, help="folders in DATA")
    parser.add_argument("--speakers", nargs="+", default=RESERVED_SPEAKERS, help="default: the reserved ones")
    quick = f"{QUICK_CLIPS} clips of each corpus, {QUICK_PLANTS} planted sentence of each speaker"
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=quick, passed=lambda result: bool(result["met"]))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The losses by deletion, and the share of planted evidence that is found.

    Raises:
        SerError: where models or clips cannot be had.
    """
    recognizer, generator = load_recognizer(Settings(transcriber="none")), np.random.default_rng(options.seed)
    speakers = {name: _by_speaker(load_corpus(options.data / name), options.speakers) for name in options.corpora}
    losses: dict[str, dict[str, list[float]]] = {"moments": defaultdict(list), "bands": defaultdict(list)}
    seconds = list[float]()
    for _, clip in tqdm(list(_draw(speakers, QUICK_CLIPS if options.quick else CLIPS, generator)), disable=None):
        answer = recognizer.recognize(clip)
        explanation = recognizer.explain(clip, answer=answer)
        seconds.append(explanation.seconds / clip.duration)
        _delete(recognizer, clip, answer, explanation, generator, losses)
    found = [
        find_planted(recognizer, *joined)
        for people in speakers.values()
        for clips in people.values()
        for joined in _plant(recognizer, clips, QUICK_PLANTS if options.quick else PLANTS, generator)
    ]
    if not found:
        raise TrainingDataError(f"No speaker has clips of {LABEL} and {NEUTRAL} with a second of speech.")
    ratios = {kind: _ratios(lost) for kind, lost in losses.items()}
    moments, share = ratios["moments"], float(np.mean(found))
    return {
        "benchmark": "explanation",
        "acoustic": recognizer.acoustic.name,
        "clips": len(seconds),
        "deletion": ratios,
        "planted": {"sentences": len(found), "found": round(share, 4)},
        "seconds_for_each_second": round(float(np.median(seconds)), 4),
        "goal": {"random": MIN_AGAINST_RANDOM, "loudest": MIN_AGAINST_LOUDEST, "found": MIN_FOUND},
        "met": moments["against_random"] >= MIN_AGAINST_RANDOM
        and moments["against_loudest"] >= MIN_AGAINST_LOUDEST
        and share >= MIN_FOUND,
    }


def _by_speaker(examples: Sequence[Example], speakers: Collection[str]) -> dict[str, list[Example]]:
    people = defaultdict(list)
    for example in examples:
        if example.speaker in speakers:
            people[example.speaker].append(example)
    return dict(sorted(people.items()))


def _draw(
    speakers: dict[str, dict[str, list[Example]]], count: int, generator: np.random.Generator
) -> Iterator[tuple[str, Audio]]:
    for name, people in speakers.items():
        clips = [clip for own in people.values() for clip in own]
        for place in generator.permutation(len(clips))[:count]:
            yield name, decode_file(clips[place].path)


def _delete(
    recognizer: Recognizer,
    clip: Audio,
    answer: Recognition,
    explanation: Explanation,
    generator: np.random.Generator,
    losses: dict[str, dict[str, list[float]]],
) -> None:
    """Add what the label loses by each deletion; the answer to what is left is that of a clip of its own."""
    begin, end = explanation.moments[0].start, explanation.moments[-1].end
    signal, place = clip.crop(begin, end).signal, answer.fused.labels.index(answer.label)
    voice = Voice(recognizer.acoustic, signal)
    spans = cut_moments(len(signal))
    count = max(1, round(SHARE * len(spans)))
    power = [float(np.mean(np.square(signal[first:last]))) for first, last in spans]
    chosen = _choices([part.effect for part in explanation.moments], power, count, generator)
    cut: list[Signal] = [without(signal, [spans[at] for at in places]) for _, places in chosen]
    bands: list[tuple[float, float]] = [(part.start, part.end) for part in explanation.bands]
    levels = [_band_power(signal, band) for band in bands]
    removed = _choices([part.effect for part in explanation.bands], levels, NAMED_BANDS, generator)
    cut += [without_bands(signal, [bands[at] for at in places]) for _, places in removed]
    names = [("moments", name) for name, _ in chosen] + [("bands", name) for name, _ in removed]
    for (kind, name), scores in zip(names, voice.changed(cut), strict=True):
        losses[kind][name].append(voice.scores.probabilities[place] - scores.probabilities[place])


def _choices(
    effects: Sequence[float], power: Sequence[float], count: int, generator: np.random.Generator
) -> list[tuple[str, list[int]]]:
    """Places of the parts that are named, of the loudest ones, and of drawn ones."""
    drawn = [("random", generator.choice(len(effects), count, replace=False).tolist()) for _ in range(RANDOM_DRAWS)]
    best, loud = (np.argsort(-np.array(values))[:count].tolist() for values in (effects, power))
    return [("named", best), ("loudest", loud), *drawn]


def _band_power(signal: Signal, band: tuple[float, float]) -> float:
    frequencies, powers = periodogram(signal, SAMPLING_RATE)
    return float(powers[(frequencies >= band[0]) & (frequencies < band[1])].sum())


def _ratios(lost: dict[str, list[float]]) -> dict[str, float]:
    """Mean losses in points of probability, and how many times as much the named parts cost."""
    means = {name: float(np.mean(values)) for name, values in lost.items()}
    return {name: round(mean, 4) for name, mean in means.items()} | {
        f"against_{name}": round(means["named"] / max(means[name], 1e-6), 2) for name in ("random", "loudest")
    }


def _plant(
    recognizer: Recognizer, clips: Sequence[Example], count: int, generator: np.random.Generator
) -> Iterator[tuple[Audio, Span]]:
    """Neutral sentences of a speaker with an angry second in each, and where it is, in samples."""
    by_label = defaultdict(list)
    for clip in clips:
        by_label[clip.hard_label].append(clip.path)
    size = round(PLANTED * SAMPLING_RATE)
    if not by_label[LABEL] or not by_label[NEUTRAL]:
        return
    for _ in range(count):
        paths = [by_label[label][generator.integers(len(by_label[label]))] for label in (LABEL, NEUTRAL)]
        angry, neutral = (_speech_of(recognizer, decode_file(path)) for path in paths)
        if len(angry) < size:
            continue
        start, at = (len(angry) - size) // 2, int(generator.integers(len(neutral) + 1))
        joined = np.concatenate([neutral[:at], angry[start : start + size], neutral[at:]])
        yield Audio(joined), (at, at + size)


def _speech_of(recognizer: Recognizer, audio: Audio) -> Signal:
    speech = recognizer.detector.detect(audio)
    return audio.crop(speech[0].start, speech[-1].end).signal if speech else audio.signal


def find_planted(recognizer: Recognizer, audio: Audio, span: Span) -> bool:
    """Tell if the middle of the moment that speaks most for anger lies in a span."""
    explanation = recognizer.explain(audio, label=LABEL)
    best = max(explanation.moments, key=lambda part: part.effect)
    return span[0] <= (best.start + best.end) / 2 * SAMPLING_RATE <= span[1]


if __name__ == "__main__":
    sys.exit(main())
