"""Word errors and speed of transcription: `python -m benchmarks.transcription --data DIR [--quick] [--json]`.

Hears the read speech of `DIR/read-speech` and a sample of `DIR/ravdess`, the way the recogniser does: speech is found
first. `--model` measures a speech recognition checkpoint in place of the embedded transcriber.
"""

import argparse
import csv
import json
import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import jiwer
import numpy as np
from tqdm import tqdm

from benchmarks.machine import describe_run
from ser.audio import decode_file
from ser.config import Settings
from ser.errors import SerError
from ser.transcription import load_transcriber
from ser.types import SpeechDetector, Transcriber, Transcript
from ser.vad import SileroDetector

CORPORA = ("read-speech", "ravdess")
SAMPLE, QUICK_SAMPLE = 120, 10
"""Clips of a corpus at most."""

PACKAGES = ("pocketsphinx", "silero-vad", "onnxruntime", "transformers", "torch", "jiwer")


@dataclass(frozen=True)
class TranscriptionResult:
    """Figures on one corpus.

    Attributes:
        clips: how many were heard.
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
    heard = " ".join(normalize(segment.text) for segment in words)
    if not heard:
        return [], []
    right: set[int] = set()
    for chunk in jiwer.process_words(normalize(said), heard).alignments[0]:
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
    said, heard, right, wrong = [], [], [], []
    duration = work = 0.0
    for path, reference in tqdm(clips, "clips", disable=None):
        audio = decode_file(path)
        start = time.perf_counter()
        transcript = transcriber.transcribe(audio, detector.detect(audio))
        work += time.perf_counter() - start
        duration += audio.duration
        said.append(normalize(reference))
        heard.append(normalize(transcript.text))
        hits, misses = word_confidences(reference, transcript)
        right += hits
        wrong += misses
    return TranscriptionResult(
        clips=len(clips),
        duration=round(duration, 1),
        words=sum(len(text.split()) for text in said),
        wer=round(jiwer.wer(said, heard), 3),
        real_time_factor=round(work / duration, 3),
        confidence_right=round(float(np.mean(right)), 3) if right else None,
        confidence_wrong=round(float(np.mean(wrong)), 3) if wrong else None,
    )


def sample_clips(folder: Path, count: int, seed: int) -> list[tuple[Path, str]]:
    """At most `count` clips of a corpus with their transcripts, drawn by seed."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [(folder / row["file_name"], row["transcript"]) for row in csv.DictReader(file) if row["transcript"]]
    return random.Random(seed).sample(rows, min(count, len(rows)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 where the data or the model cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcription", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds read-speech/ and ravdess/")
    parser.add_argument("--model", help="folder or hub id of a speech recognition checkpoint; embedded by default")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SAMPLE} clips of each corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args(arguments)
    corpora = [name for name in CORPORA if (options.data / name / "metadata.csv").is_file()]
    if not corpora:
        print(f"'{options.data}' holds none of {', '.join(CORPORA)}. Name the folder of the corpora.", file=sys.stderr)
        return 2
    settings = Settings(transcriber="pocketsphinx", device=options.device)
    if options.model:
        settings = Settings(transcriber="whisper", whisper_model=options.model, device=options.device)
    try:
        transcriber = load_transcriber(settings).transcriber
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    assert transcriber is not None
    results: dict[str, object] = {"model": transcriber.name}
    for name in corpora:
        clips = sample_clips(options.data / name, QUICK_SAMPLE if options.quick else SAMPLE, options.seed)
        result = measure(clips, SileroDetector(), transcriber)
        results[name] = asdict(result)
        print(f"{name}: {result.clips} clips, {result.words} words, {result.wer:.1%} word errors, "
              f"real-time factor {result.real_time_factor:.2f}", file=sys.stderr)  # fmt: skip
    if options.json:
        print(json.dumps(results | describe_run(options.seed, PACKAGES)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
