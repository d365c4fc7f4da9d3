"""Feeling over time on joined clips: `python -m benchmarks.timeline --data DATA [--speakers NAME ...] [--json]`.

Clips of one speaker are joined (neutral, emotional, neutral, with silence between), and their timelines are compared
with what was joined. A longer recording, all joins in a row, is timed with and without transcripts. `--turns` measures
speakers who take turns in its place: the package resemblyzer is needed.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.acoustic.joined_clips import NEUTRAL, JoinedClips, count_close, diarization_error, draw_joined_clips
from benchmarks.acoustic.speaker_turns import COLLAR, draw_conversations, speaker_error
from benchmarks.machine import run_benchmark
from ser.audio.vad import SileroDetector
from ser.config import Settings
from ser.errors import AudioError
from ser.loading import load_recognizer
from ser.recognizer import Recognizer
from ser.timeline.passages import cut_passages
from ser.timeline.segmentation import cut_phrases
from ser.timeline.speakers import find_speakers
from ser.timeline.timeline import DEFAULT_CONFIG
from ser.timeline.voices import load_voice_encoder
from ser.training.recipe import RESERVED_SPEAKERS
from ser.types import Audio, SpeechRegion

CORPORA = ("ravdess", "nemo")

TOLERANCE = 0.5
"""Seconds between a boundary and a change that is found for it."""

MAX_ERROR, MIN_BOUNDARIES = 0.30, 0.70
"""The goal: emotion diarisation error rate, and share of the boundaries within `TOLERANCE`."""

KINDS = ((1, "same"), (2, "same"), (2, "mixed"), (3, "same"), (3, "mixed"))
CONVERSATIONS, QUICK_CONVERSATIONS = 10, 2
"""Of each kind and corpus."""

DRAWS, QUICK_DRAWS = {"ravdess": 4, "nemo": 10}, 1
TIMED, QUICK_TIMED = 300.0, 40.0
"""Seconds of the recording that is timed."""

RESAMPLES = 1000
PACKAGES = ("numpy", "onnxruntime", "faster-whisper", "silero-vad")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 if the goals are met, 1 if not, 2 if something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timeline", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--corpora", nargs="+", default=CORPORA, help="folders in DATA")
    parser.add_argument("--speakers", nargs="+", default=RESERVED_SPEAKERS, help="default: the reserved ones")
    parser.add_argument("--turns", action="store_true", help="measure how speakers are told apart")
    quick = f"{QUICK_DRAWS} join of each speaker and emotion, {QUICK_TIMED:g} s timed"
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=quick, passed=lambda result: bool(result["met"]))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The figures of every corpus and the times.

    Raises:
        SerError: where models or clips cannot be had.
    """
    detector = SileroDetector()
    if options.turns:
        return measure_turns(options, detector)
    joins = [
        join
        for name in options.corpora
        for join in draw_joined_clips(
            options.data / name,
            options.speakers,
            detector,
            QUICK_DRAWS if options.quick else DRAWS.get(name, QUICK_DRAWS),
            options.seed,
        )
    ]
    voice, whole = load_recognizer(Settings(transcriber="none")), load_recognizer(Settings(transcriber="embedded"))
    scores = [score(voice, join) for join in tqdm(joins, unit="join", disable=None)]
    corpora = {
        name: summarise([s for s, join in zip(scores, joins, strict=True) if join.corpus == name], options.seed)
        for name in dict.fromkeys(join.corpus for join in joins)
    }
    mean = {
        key: round(float(np.mean([figures[key] for figures in corpora.values()])), 4)
        for key in ("error", "error_always_neutral", "boundaries", "changes_at_boundaries")
    }
    recording = row_of(joins, QUICK_TIMED if options.quick else TIMED)
    return {
        "benchmark": "timeline",
        "acoustic": voice.acoustic.name,
        "corpora": corpora,
        "mean": mean,
        "share_of_real_time": {
            "seconds": round(recording.duration, 1),
            "without_transcript": share_of_real_time(voice, recording),
            "with_transcript": share_of_real_time(whole, recording),
        },
        "goal": {"error": MAX_ERROR, "boundaries": MIN_BOUNDARIES},
        "met": mean["error"] <= MAX_ERROR and mean["boundaries"] >= MIN_BOUNDARIES,
    }


def measure_turns(options: argparse.Namespace, detector: SileroDetector) -> dict[str, object]:
    """Diarisation error rates by corpus, number and sex of the speakers; their number given, and estimated.

    The speech that is told apart is the detector's own, in reference and answer alike, so that what is wrong is who.
    """
    voices, seconds = load_voice_encoder(), 0.0
    scores: dict[str, list[dict[str, float]]] = defaultdict(list)
    draws = QUICK_CONVERSATIONS if options.quick else CONVERSATIONS
    talks = [
        talk
        for name in options.corpora
        for talk in draw_conversations(options.data / name, options.speakers, KINDS, draws, detector, options.seed)
    ]
    for talk in tqdm(talks, unit="conversation", disable=None):
        passages = list(cut_passages([talk.audio.signal], detector))
        phrases = [
            SpeechRegion(passage.start + phrase.start, passage.start + phrase.end)
            for passage in passages
            for phrase in cut_phrases(passage.audio, passage.speech, DEFAULT_CONFIG)
        ]
        figures = dict[str, float]()
        for name, count in (("given", talk.speakers), ("estimated", None)):
            started = time.process_time()
            labels = np.concatenate(find_speakers(passages, voices, count, DEFAULT_CONFIG))
            seconds += time.process_time() - started
            found = [(p.start, p.end, str(label)) for p, label in zip(phrases, labels, strict=True)]
            figures[f"{name}_collar"] = speaker_error(talk.spans, found, COLLAR)
            figures[name] = speaker_error(talk.spans, found)
            figures[f"{name}_speakers_right"] = float(len(set(labels.tolist())) == talk.speakers)
        scores[f"{talk.corpus}, {talk.speakers}, {talk.sex}"].append(figures)
    total = 2 * sum(talk.audio.duration for talk in talks)
    return {
        "benchmark": "timeline, speakers",
        "conversations": draws,
        "error": {
            kind: {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]}
            for kind, rows in scores.items()
        },
        "share_of_real_time": round(seconds / total, 4),
        "met": True,
    }


def score(recognizer: Recognizer, join: JoinedClips) -> dict[str, float]:
    """Error rates, and how many boundaries and changes match, of one join; without speech found all is neutral."""
    duration, reference = join.audio.duration, [span for span in join.spans if span[2] != NEUTRAL]
    try:
        timeline = recognizer.timeline(join.audio)
        found = [(region.start, region.end, region.label) for region in timeline.regions]
        changes = [after.start for _, after in timeline.changes]
    except AudioError:
        found, changes = [], []
    boundaries = [join.spans[1][0], join.spans[2][0]]
    return {
        "error": diarization_error(reference, found, duration),
        "error_always_neutral": diarization_error(reference, [], duration),
        "boundaries": len(boundaries),
        "boundaries_found": count_close(boundaries, changes, TOLERANCE),
        "changes": len(changes),
        "changes_at_boundaries": count_close(changes, boundaries, TOLERANCE),
    }


def summarise(scores: Sequence[dict[str, float]], seed: int) -> dict[str, Any]:
    """Means over joins, the error with its interval over joins drawn again, and shares of boundaries and changes."""
    errors = np.array([score["error"] for score in scores])
    drawn = np.random.default_rng(seed).choice(errors, (RESAMPLES, len(errors))).mean(axis=1)
    total = {key: sum(score[key] for score in scores) for key in scores[0]}
    return {
        "joins": len(scores),
        "error": round(float(errors.mean()), 4),
        "error_interval": [round(float(edge), 4) for edge in np.quantile(drawn, [0.025, 0.975])],
        "error_always_neutral": round(total["error_always_neutral"] / len(scores), 4),
        "boundaries": round(total["boundaries_found"] / total["boundaries"], 4),
        "changes_at_boundaries": round(total["changes_at_boundaries"] / max(1, total["changes"]), 4),
    }


def row_of(joins: Sequence[JoinedClips], seconds: float) -> Audio:
    """A recording of about so many seconds: joins in a row, from the first one again at the end."""
    parts, length = list[Audio](), 0.0
    while length < seconds:
        parts.append(joins[len(parts) % len(joins)].audio)
        length += parts[-1].duration
    return Audio(np.concatenate([part.signal for part in parts]))


def share_of_real_time(recognizer: Recognizer, recording: Audio) -> dict[str, float]:
    """Seconds of the clock and of the processor for each second of a recording; the models are loaded before."""
    recognizer.warm_up()
    used, started = time.process_time(), time.perf_counter()
    recognizer.timeline(recording)
    wall, processor = time.perf_counter() - started, time.process_time() - used
    return {"wall": round(wall / recording.duration, 4), "processor": round(processor / recording.duration, 4)}


if __name__ == "__main__":
    sys.exit(main())
