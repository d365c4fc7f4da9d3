"""Precision and recall of the search for copies: `python -m benchmarks.fingerprints --data DIR [--quick] [--json]`.

DIR holds corpora. All their recordings are compared with each other: every pair that is found and is not known to be
one recording is a false alarm. Then altered copies of a sample are looked up among all: recall by alteration.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.acoustic.degradations import mp3, opus, telephone
from benchmarks.machine import run_benchmark
from ser.audio.decoding import decode_file
from ser.corpora import read_corpus
from ser.corpora.copies import default_cache_dir, take_fingerprint
from ser.corpora.fingerprints import SAME, Fingerprint, find_matches, fingerprint
from ser.errors import AudioError, SerError, SettingsError
from ser.types import SAMPLING_RATE, Example, Signal

KNOWN = frozenset(
    {
        ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07"),
        ("1017_IWL_ANG_XX", "1017_IWL_FEA_XX"),
        ("1020_IEO_ANG_LO", "1020_IEO_ANG_MD"),
        ("1028_IEO_HAP_LO", "1028_IEO_HAP_MD"),
        ("1056_MTI_ANG_XX", "1056_TAI_ANG_XX"),
        ("1067_IEO_DIS_LO", "1067_IEO_FEA_LO"),
        ("1072_IEO_ANG_LO", "1072_IEO_DIS_MD"),
    }
)
"""Pairs of RAVDESS and CREMA-D that are one recording under two names, cut differently: their samples correlate by
0.979 or more, but for the last pair, which rests on its fingerprint. So are pairs of one name in two corpora."""

SAMPLE, QUICK_SAMPLE = 40, 5
"""Recordings of each corpus that are reworked."""

CUT = (0.08, 0.1)
"""Seconds cut off the beginning and the end of each copy."""

LOOK = 0.35
"""Share of differing bits up to which pairs are reported: the distance of other takes from `SAME`."""

PACKAGES = ("numpy", "av", "soxr")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fingerprints", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of corpora")
    parser.add_argument("--limit", type=int, metavar="N", help="recordings of each speaker that are compared")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="ten recordings of each speaker, a smaller sample")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Compare all recordings, then look altered copies up.

    Raises:
        SettingsError: if there is no such folder.
    """
    examples = _examples(options.data, 10 if options.quick else options.limit)
    prints: dict[Path, Fingerprint] = {}
    digests: dict[str, list[str]] = {}
    started = time.process_time()
    for example in tqdm(examples, unit="clip", disable=None):
        try:
            found = take_fingerprint(example.path, default_cache_dir())
        except AudioError:
            continue
        digests.setdefault(found.digest, []).append(example.path.stem)
        if len(digests[found.digest]) == 1:
            prints[example.path] = found.fingerprint
    read = time.process_time()
    paths = list(prints)
    matches = find_matches(list(prints.values()), LOOK)
    compared = time.process_time()
    pairs = [(paths[m.first].stem, paths[m.second].stem, round(m.error_rate, 3)) for m in matches]

    def known(pair: tuple[str, str, float]) -> bool:
        return pair[0] == pair[1] or pair[:2] in KNOWN

    near = [pair for pair in pairs if pair[2] <= SAME]
    others = sorted((pair for pair in pairs if not known(pair)), key=lambda pair: pair[2])
    sample = QUICK_SAMPLE if options.quick else SAMPLE
    return {
        "benchmark": "fingerprints",
        "clips": len(paths),
        "pairs": len(paths) * (len(paths) - 1) // 2,
        "seconds": {"fingerprints": round(read - started, 1), "comparing": round(compared - read, 1)},
        "identical": [sorted(names) for names in digests.values() if len(names) > 1],
        "near_copies": near,
        "false_alarms": len([pair for pair in near if not known(pair)]),
        "nearest_other_takes": others[:10],
        "recall": _recall(examples, prints, sample, np.random.default_rng(options.seed)),
    }


def _recall(
    examples: Sequence[Example], prints: dict[Path, Fingerprint], sample: int, generator: np.random.Generator
) -> dict[str, Any]:
    """Return {alteration: {copies, found, wrong, worst}}; `worst` is the largest share of differing bits."""
    originals: list[Path] = []
    for _, group in itertools.groupby(sorted(examples, key=lambda e: (e.corpus, e.path)), key=lambda e: e.corpus):
        there = [example.path for example in group if example.path in prints]
        originals += [there[i] for i in generator.permutation(len(there))[:sample]]
    places = {path: place for place, path in enumerate(prints)}
    paths, given = list(prints), list(prints.values())
    recall = {}
    for name, rework in REWORKS.items():
        copied = [(path, _try_copy(path, rework, generator)) for path in originals]
        copies = [copy for _, copy in copied if copy is not None]
        sources = [path for path, copy in copied if copy is not None]
        right, wrong = list[float](), 0
        for match in find_matches([*given, *copies]):
            if match.first < len(given) <= match.second:
                if match.first == places[sources[match.second - len(given)]]:
                    right.append(match.error_rate)
                elif paths[match.first].stem != sources[match.second - len(given)].stem:
                    wrong += 1
        recall[name] = {
            "copies": len(copies),
            "found": len(right),
            "wrong": wrong,
            "worst": round(max(right, default=0.0), 3),
        }
    return recall


def _try_copy(path: Path, rework: Callable[[Signal], Signal], generator: np.random.Generator) -> Fingerprint | None:
    """Fingerprint an altered copy; None if the cuts leave too little of a single word."""
    try:
        return fingerprint(_copy(decode_file(path).signal, rework, generator))
    except AudioError:
        return None


def _copy(signal: Signal, rework: Callable[[Signal], Signal], generator: np.random.Generator) -> Signal:
    first, last = (round(seconds * SAMPLING_RATE) for seconds in CUT)
    # A start between two samples of the hop, and a gain: no copy is ever aligned or as loud as its original.
    cut = signal[first + int(generator.integers(160)) : len(signal) - last]
    gain = 10 ** (generator.uniform(-12, 3) / 20)
    return rework(np.clip(gain * cut, -1, 1).astype(np.float32))


REWORKS: dict[str, Callable[[Signal], Signal]] = {
    "cut and gain": lambda signal: signal,
    "Opus 16 kbit/s": opus,
    "MP3 32 kbit/s": mp3,
    "telephone": telephone,
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
