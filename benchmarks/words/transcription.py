"""Word errors, invented words and speed of transcription: `python -m benchmarks.transcription --data DIR`.

Transcribes `DIR/read-speech` and 100 drawn clips each of `DIR/ravdess` and `DIR/tess`, after speech detection as in
recognition; then sounds without speech: `DIR/noise`, silence, noise and tones made here; then one clip several times.
`--model` measures another checkpoint in place of the embedded transcriber.
"""

import argparse
import csv
import json
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import jiwer
import numpy as np
from tqdm import tqdm

from benchmarks.machine import describe_run
from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector
from ser.config import EMBEDDED, Settings
from ser.errors import SerError
from ser.protocols import SpeechDetector, Transcriber
from ser.transcription import load_transcriber
from ser.types import SAMPLING_RATE, Audio, Transcript

CORPORA = ("read-speech", "tess", "ravdess")
SAMPLE, QUICK_SAMPLE = 100, 10
"""Clips of a corpus at most."""

SYNTHETIC_SOUNDS, SYNTHETIC_DURATION = 40, 4.0
"""How many sounds are made, and of how many seconds."""

CLIP_DURATION, REPEATS = 3.7, 10
"""Seconds of the clip whose transcription is timed, and how often."""

PACKAGES = ("faster-whisper", "ctranslate2", "silero-vad", "onnxruntime", "jiwer")


@dataclass(frozen=True)
class TranscriptionResult:
    """Figures on one corpus.

    Attributes:
        clips: how many were transcribed.
        duration: of all of them, seconds.
        words: in the reference transcripts.
        wer: word error rate: substitutions, deletions and insertions over `words`.
        real_time_factor: seconds of work, detection of speech included, per second of sound.
        confidence_right: mean confidence of the words that were right, or None.
        confidence_wrong: the same of the words that were wrong.
    """

    clips: int
    duration: float
    words: int
    wer: float
    real_time_factor: float
    confidence_right: float | None
    confidence_wrong: float | None


def normalize(text: str) -> str:
    """What counts in a comparison of transcripts: words without case, punctuation and hyphens.

    >>> normalize("Well-known: it's Mr. Smith, and  30 dogs!")
    "well known it's mr smith and 30 dogs"
    """
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'")))


def word_confidences(said: str, transcript: Transcript) -> tuple[list[float], list[float]]:
    """Confidences of the words of a transcript that are right, and of those that are wrong.

    Args:
        said: what was truly said.
        transcript: with a segment a word; phrases of several words are left out.
    """
    words = [segment for segment in transcript.segments if len(normalize(segment.text).split()) == 1]
    written = " ".join(normalize(segment.text) for segment in words)
    if not written:
        return [], []
    right: set[int] = set()
    for chunk in jiwer.process_words(normalize(said), written).alignments[0]:
        if chunk.type == "equal":
            right |= set(range(chunk.hyp_start_idx, chunk.hyp_end_idx))
    known = [(index in right, word.confidence) for index, word in enumerate(words) if word.confidence is not None]
    return [sure for hit, sure in known if hit], [sure for hit, sure in known if not hit]


def measure(
    clips: Sequence[tuple[Path, str]], detector: SpeechDetector, transcriber: Transcriber
) -> TranscriptionResult:
    """Transcribe clips one by one and compare.

    Args:
        clips: pairs of a recording and what is said in it.
        detector: finds the speech.
        transcriber: under test.
    """
    said, written, right, wrong = [], [], [], []
    duration = work = 0.0
    for path, reference in tqdm(clips, "clips", disable=None):
        audio = decode_file(path)
        start = time.perf_counter()
        transcript = transcriber.transcribe(audio, detector.detect(audio))
        work += time.perf_counter() - start
        duration += audio.duration
        said.append(normalize(reference))
        written.append(normalize(transcript.text))
        hits, misses = word_confidences(reference, transcript)
        right += hits
        wrong += misses
    return TranscriptionResult(
        clips=len(clips),
        duration=round(duration, 1),
        words=sum(len(text.split()) for text in said),
        wer=round(jiwer.wer(said, written), 3),
        real_time_factor=round(work / duration, 3),
        confidence_right=round(float(np.mean(right)), 3) if right else None,
        confidence_wrong=round(float(np.mean(wrong)), 3) if wrong else None,
    )


@dataclass(frozen=True)
class InventedWords:
    """Words written for sounds without speech.

    Attributes:
        sounds: how many there were.
        detected: how many the speech detector took for speech.
        transcribed: how many of these got words.
        examples: up to five of those texts.
    """

    sounds: int
    detected: int
    transcribed: int
    examples: tuple[str, ...]


def count_invented(sounds: Iterable[Audio], detector: SpeechDetector, transcriber: Transcriber) -> InventedWords:
    """Transcribe sounds without speech."""
    count = detected = 0
    texts: list[str] = []
    for audio in tqdm(sounds, "sounds", disable=None):
        regions = detector.detect(audio)
        count, detected = count + 1, detected + bool(regions)
        text = transcriber.transcribe(audio, regions).text
        texts += [text] if text else []
    return InventedWords(count, detected, len(texts), tuple(texts[:5]))


def make_sounds(seed: int, count: int = SYNTHETIC_SOUNDS) -> Iterator[Audio]:
    """Make silence, white and brown noise, and chords with a rhythm, in turn."""
    rng = np.random.default_rng(seed)
    time_axis = np.arange(round(SYNTHETIC_DURATION * SAMPLING_RATE)) / SAMPLING_RATE
    for number in range(count):
        white = rng.normal(0.0, 1.0, len(time_axis))
        brown = np.cumsum(white) - np.linspace(0.0, white.sum(), len(white))
        pitches = 220.0 * 2 ** (rng.integers(0, 24, 3) / 12)
        chord = np.sin(2 * np.pi * pitches[:, None] * time_axis).sum(axis=0) * np.exp(-3 * (time_axis % 0.5))
        signal = (np.zeros(len(white)), white, brown, chord)[number % 4]
        level = rng.uniform(0.05, 0.5) / max(1e-9, float(np.abs(signal).max()))
        yield Audio((level * signal).astype(np.float32))


def time_clip(audios: Iterable[Audio], detector: SpeechDetector, transcriber: Transcriber) -> dict[str, float]:
    """Transcribe the clip whose length is nearest `CLIP_DURATION` again and again.

    Returns:
        Its seconds; the least and the median time, and the least time of all processors, in ms. The last of them counts
        where other programs hold the machine.
    """
    clip = min(audios, key=lambda audio: abs(audio.duration - CLIP_DURATION))
    regions = detector.detect(clip)
    times, processor = [], []
    for _ in range(REPEATS):
        start, used = time.perf_counter(), time.process_time()
        transcriber.transcribe(clip, regions)
        times.append(1000 * (time.perf_counter() - start))
        processor.append(1000 * (time.process_time() - used))
    figures = {"min_ms": min(times), "median_ms": float(np.median(times)), "min_cpu_ms": min(processor)}
    return {"duration": round(clip.duration, 2)} | {name: round(value, 1) for name, value in figures.items()}


def sample_clips(folder: Path, count: int, seed: int) -> list[tuple[Path, str]]:
    """At most `count` clips of a corpus with their transcripts, drawn by seed."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [(folder / row["file_name"], row["transcript"]) for row in csv.DictReader(file) if row["transcript"]]
    return random.Random(seed).sample(rows, min(count, len(rows)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 where the data or the model cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcription", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {', '.join(CORPORA)} and noise")
    parser.add_argument("--model", default=EMBEDDED, help="folder or Hub id of a speech recognition checkpoint")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default 1)")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SAMPLE} clips of each corpus and of the noise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args(arguments)
    corpora = [name for name in CORPORA if (options.data / name / "metadata.csv").is_file()]
    if not corpora:
        print(f"'{options.data}' holds none of {', '.join(CORPORA)}. Name the folder of the corpora.", file=sys.stderr)
        return 2
    settings = Settings(transcriber=options.model, device=options.device, transcriber_threads=options.threads)
    try:
        transcriber = load_transcriber(settings).transcriber
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    assert transcriber is not None
    results = run(transcriber, options.data, corpora, QUICK_SAMPLE if options.quick else SAMPLE, options.seed)
    if options.json:
        print(json.dumps(results | describe_run(options.seed, PACKAGES)))
    return 0


def run(transcriber: Transcriber, data: Path, corpora: Sequence[str], sample: int, seed: int) -> dict[str, object]:
    """Measure on all corpora and sounds at hand, and say so on standard error."""
    detector = SileroDetector()
    results: dict[str, object] = {"model": transcriber.name}
    for name in corpora:
        result = measure(sample_clips(data / name, sample, seed), detector, transcriber)
        results[name] = asdict(result)
        print(f"{name}: {result.clips} clips, {result.words} words, {result.wer:.1%} word errors, "
              f"real-time factor {result.real_time_factor:.3f}", file=sys.stderr)  # fmt: skip
    paths = sorted((data / "noise" / "audio").glob("*"))
    if sample < SAMPLE:
        paths = random.Random(seed).sample(paths, min(sample, len(paths)))
    sounds = {"noise": map(decode_file, paths), "synthetic": make_sounds(seed, min(sample, SYNTHETIC_SOUNDS))}
    for name, audios in sounds.items():
        invented = count_invented(audios, detector, transcriber)
        results[name] = asdict(invented)
        print(f"{name}: {invented.transcribed} of {invented.sounds} sounds without speech got words "
              f"({invented.detected} detected): {', '.join(invented.examples)}", file=sys.stderr)  # fmt: skip
    speech = [decode_file(path) for path, _ in sample_clips(data / corpora[-1], QUICK_SAMPLE, seed)]
    timed = time_clip(speech, detector, transcriber)
    results["clip"] = timed
    print(f"a clip of {timed['duration']} s: {timed['min_ms']} ms at best, median {timed['median_ms']} ms, "
          f"{timed['min_cpu_ms']} ms of processor time", file=sys.stderr)  # fmt: skip
    return results


if __name__ == "__main__":
    sys.exit(main())
