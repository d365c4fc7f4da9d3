"""Precision and recall of the search for copies: `python -m benchmarks.fingerprints --data DIR [--quick] [--json]`.

DIR holds corpora. All their recordings are compared with each other: every pair that is found and is not known to be
one recording is a false alarm. Then a sample is reworked as copies are reworked in the world, and looked up among all
recordings: recall, by what was done to them.
"""

import argparse
import io
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from ser.audio.decoding import decode_bytes, decode_file
from ser.corpora import read_corpus
from ser.corpora.copies import default_cache_dir, take_fingerprint
from ser.corpora.fingerprints import SAME, Fingerprint, Match, find_matches, fingerprint
from ser.errors import AudioError, SerError, SettingsError
from ser.types import SAMPLING_RATE, Example, Signal

KNOWN = frozenset({("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")})
"""Pairs of RAVDESS that are one recording under two names."""

SAMPLE, QUICK_SAMPLE = 40, 5
"""Recordings of each corpus that are reworked."""

CUT = (0.08, 0.1)
"""Seconds cut off the beginning and the end of each copy."""

LOOK = 0.35
"""Share of differing bits up to which pairs are reported: the distance of other takes from `SAME`."""

PACKAGES = ("numpy", "soundfile", "soxr")

Rework = Callable[[Signal], Signal]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fingerprints", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of corpora")
    parser.add_argument("--limit", type=int, metavar="N", help="recordings of each speaker that are compared")
    return run_benchmark(
        parser,
        lambda options: measure(
            _examples(options.data, 10 if options.quick else options.limit),
            QUICK_SAMPLE if options.quick else SAMPLE,
            options.seed,
        ),
        PACKAGES,
        argv=argv,
        quick="ten recordings of each speaker, a smaller sample",
    )


def measure(examples: Sequence[Example], sample: int, seed: int) -> dict[str, Any]:
    """Compare all, then look reworked copies up.

    Args:
        examples: of some corpora.
        sample: recordings of each corpus that are reworked.
        seed: of the sample, of gains and of cuts.

    Returns:
        `clips, pairs, seconds, identical, near_copies, false_alarms, nearest_other_takes, recall`.
    """
    prints: dict[Path, Fingerprint] = {}
    digests: dict[str, list[str]] = {}
    started = time.process_time()
    for example in tqdm(examples, unit="clip", disable=None):
        try:
            heard = take_fingerprint(example.path, default_cache_dir())
        except AudioError:
            continue
        digests.setdefault(heard.digest, []).append(example.path.stem)
        if len(digests[heard.digest]) == 1:
            prints[example.path] = heard.fingerprint
    heard_at = time.process_time()
    paths = list(prints)
    matches = find_matches(list(prints.values()), LOOK)
    compared_at = time.process_time()
    pairs = [(paths[m.first].stem, paths[m.second].stem, round(m.error_rate, 3)) for m in matches]
    near = [pair for pair in pairs if pair[2] <= SAME]
    others = sorted((pair for pair in pairs if pair[:2] not in KNOWN), key=lambda pair: pair[2])
    return {
        "clips": len(paths),
        "pairs": len(paths) * (len(paths) - 1) // 2,
        "seconds": {"hearing": round(heard_at - started, 1), "comparing": round(compared_at - heard_at, 1)},
        "identical": [sorted(names) for names in digests.values() if len(names) > 1],
        "near_copies": near,
        "false_alarms": len([pair for pair in near if pair[:2] not in KNOWN]),
        "nearest_other_takes": others[:10],
        "recall": _recall(examples, prints, sample, np.random.default_rng(seed)),
    }


def _recall(
    examples: Sequence[Example], prints: dict[Path, Fingerprint], sample: int, generator: np.random.Generator
) -> dict[str, Any]:
    """{what was done: {copies, found, wrong, worst}}; `worst` is the largest share of differing bits of those found."""
    originals: list[Path] = []
    for _, group in itertools.groupby(sorted(examples, key=lambda e: (e.corpus, e.path)), key=lambda e: e.corpus):
        there = [example.path for example in group if example.path in prints]
        originals += [there[i] for i in generator.permutation(len(there))[:sample]]
    places = {path: place for place, path in enumerate(prints)}
    given = list(prints.values())
    recall = {}
    for name, rework in REWORKS.items():
        copied = [(path, _try_copy(path, rework, generator)) for path in originals]
        copies = [copy for _, copy in copied if copy is not None]
        sources = [path for path, copy in copied if copy is not None]
        found: dict[int, list[Match]] = {}
        for match in find_matches([*given, *copies]):
            if match.first < len(given) <= match.second:
                found.setdefault(match.second - len(given), []).append(match)
        right = [
            match.error_rate
            for place, path in enumerate(sources)
            for match in found.get(place, [])
            if match.first == places[path]
        ]
        wrong = sum(m.first != places[sources[place]] for place, ms in found.items() for m in ms)
        recall[name] = {
            "copies": len(copies),
            "found": len(right),
            "wrong": wrong,
            "worst": round(max(right, default=0.0), 3),
        }
    return recall


def _try_copy(path: Path, rework: Rework, generator: np.random.Generator) -> Fingerprint | None:
    """The fingerprint of a reworked copy; None where what the cuts leave of a single word is no recording any more."""
    try:
        return fingerprint(_copy(decode_file(path).signal, rework, generator))
    except AudioError:
        return None


def _copy(signal: Signal, rework: Rework, generator: np.random.Generator) -> Signal:
    first, last = (round(seconds * SAMPLING_RATE) for seconds in CUT)
    # A start between two samples of the hop, and a gain: no copy is ever aligned or as loud as its original.
    cut = signal[first + int(generator.integers(160)) : len(signal) - last]
    gain = 10 ** (generator.uniform(-12, 3) / 20)
    return rework(np.clip(gain * cut, -1, 1).astype(np.float32))


def _encoded(container: str, subtype: str, level: float) -> Rework:
    def rework(signal: Signal) -> Signal:
        file = io.BytesIO()
        soundfile.write(file, signal, SAMPLING_RATE, format=container, subtype=subtype, compression_level=level)
        return decode_bytes(file.getvalue()).signal

    return rework


def _resampled(rate: int) -> Rework:
    def rework(signal: Signal) -> Signal:
        back: Signal = soxr.resample(soxr.resample(signal, SAMPLING_RATE, rate), rate, SAMPLING_RATE)
        return back.astype(np.float32)

    return rework


def _as_it_is(signal: Signal) -> Signal:
    return signal


REWORKS: dict[str, Rework] = {
    "cut and gain": _as_it_is,
    "Opus, low rate": _encoded("OGG", "OPUS", 0.9),
    "MP3, low rate": _encoded("MP3", "MPEG_LAYER_III", 0.7),
    "resampled to 8 kHz": _resampled(8_000),
    "resampled to 44.1 kHz": _resampled(44_100),
}


def _examples(data: Path, limit: int | None) -> list[Example]:
    if not data.is_dir():
        raise SettingsError(f"There is no folder '{data}'. Name the folder that holds the corpora.")
    examples: list[Example] = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        try:
            corpus = read_corpus(folder)
        except SerError as error:
            print(f"{folder.name} is left out: {error}", file=sys.stderr)
            continue
        taken: dict[str, int] = {}
        for example in corpus.examples:
            taken[example.speaker] = taken.get(example.speaker, 0) + 1
            if limit is None or taken[example.speaker] <= limit:
                examples.append(example)
    return examples


if __name__ == "__main__":
    sys.exit(main())
