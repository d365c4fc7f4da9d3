"""Word errors and invented words of transcription: `python -m benchmarks.transcription --data DIR`.

Transcribes `DIR/read-speech` and 100 drawn clips each of `DIR/ravdess` and `DIR/tess`, after speech detection as in
recognition; then sounds without speech: `DIR/noise`, silence, noise and tones made here.
`--model` measures another checkpoint in place of the embedded transcriber.
"""

import argparse
import csv
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import jiwer
import numpy as np
from tqdm import tqdm

from benchmarks.machine import run_benchmark
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
"""Number of sounds that are made, and their seconds."""

PACKAGES = ("faster-whisper", "ctranslate2", "silero-vad", "onnxruntime", "jiwer")


def normalize(text: str) -> str:
    """Reduce a transcript to what is compared: words without case, punctuation and hyphens.

    >>> normalize("Well-known: it's Mr. Smith, and  30 dogs!")
    "well known it's mr smith and 30 dogs"
    """
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'")))


def word_confidences(said: str, transcript: Transcript) -> tuple[list[float], list[float]]:
    """Return the confidences of words of a transcript that are right, and of those that are wrong.

    Args:
        said: the reference.
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


def transcribe_all(
    clips: Sequence[tuple[Path, str]], detector: SpeechDetector, transcriber: Transcriber
) -> dict[str, object]:
    """Transcribe clips one by one and compare.

    Args:
        clips: pairs of a recording and its reference transcript.
        detector: finds the speech.
        transcriber: under test.

    Returns:
        `clips`; their `duration`, seconds; `words` of the references; `wer`, substitutions, deletions and insertions
        over `words`; `real_time_factor` with speech detection; mean confidence of the words that were right and wrong.
    """
    references, written, right, wrong = [], [], [], []
    duration = work = 0.0
    for path, reference in tqdm(clips, "clips", disable=None):
        audio = decode_file(path)
        start = time.perf_counter()
        transcript = transcriber.transcribe(audio, detector.detect(audio))
        work += time.perf_counter() - start
        duration += audio.duration
        references.append(normalize(reference))
        written.append(normalize(transcript.text))
        hits, misses = word_confidences(reference, transcript)
        right += hits
        wrong += misses
    return {
        "clips": len(clips),
        "duration": round(duration, 1),
        "words": sum(len(text.split()) for text in references),
        "wer": round(jiwer.wer(references, written), 3),
        "real_time_factor": round(work / duration, 3),
        "confidence_right": round(float(np.mean(right)), 3) if right else None,
        "confidence_wrong": round(float(np.mean(wrong)), 3) if wrong else None,
    }


def count_invented(sounds: Iterable[Audio], detector: SpeechDetector, transcriber: Transcriber) -> dict[str, object]:
    """Transcribe sounds without speech.

    Returns:
        `sounds`, how many were `detected` as speech, how many of these were `transcribed`, and up to five texts.
    """
    count = detected = 0
    texts: list[str] = []
    for audio in tqdm(sounds, "sounds", disable=None):
        regions = detector.detect(audio)
        count, detected = count + 1, detected + bool(regions)
        text = transcriber.transcribe(audio, regions).text
        texts += [text] if text else []
    return {"sounds": count, "detected": detected, "transcribed": len(texts), "examples": texts[:5]}


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


def sample_clips(folder: Path, count: int, seed: int) -> list[tuple[Path, str]]:
    """At most `count` clips of a corpus with their transcripts, drawn by seed."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [(folder / row["file_name"], row["transcript"]) for row in csv.DictReader(file) if row["transcript"]]
    return random.Random(seed).sample(rows, min(count, len(rows)))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Measure on all corpora and sounds at hand, and say so on standard error.

    Raises:
        SerError: if there is no corpus or the model cannot be used.
    """
    corpora = [name for name in CORPORA if (options.data / name / "metadata.csv").is_file()]
    if not corpora:
        raise SerError(f"'{options.data}' holds none of {', '.join(CORPORA)}. Name the folder of the corpora.")
    settings = Settings(transcriber=options.model, device=options.device, transcriber_threads=options.threads)
    transcriber, detector = load_transcriber(settings).transcriber, SileroDetector()
    if transcriber is None:
        raise SerError("There is nothing to measure: the transcriber is 'none'. Name one with --model.")
    sample = QUICK_SAMPLE if options.quick else SAMPLE
    results: dict[str, object] = {"benchmark": "transcription", "model": transcriber.name}
    for name in corpora:
        clips = sample_clips(options.data / name, sample, options.seed)
        results[name] = transcribe_all(clips, detector, transcriber)
        print(name, results[name], file=sys.stderr)
    paths = sorted((options.data / "noise" / "audio").glob("*"))
    if options.quick:
        paths = random.Random(options.seed).sample(paths, min(sample, len(paths)))
    made = make_sounds(options.seed, min(sample, SYNTHETIC_SOUNDS))
    for name, audios in {"noise": map(decode_file, paths), "synthetic": made}.items():
        results[name] = count_invented(audios, detector, transcriber)
        print(name, results[name], file=sys.stderr)
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcription", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {', '.join(CORPORA)} and noise")
    parser.add_argument("--model", default=EMBEDDED, help="folder or Hub id of a speech recognition checkpoint")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default %(default)s)")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"))
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=f"{QUICK_SAMPLE} clips of each corpus, and sounds")


if __name__ == "__main__":
    sys.exit(main())
