"""Tones as a synthetic voice speaks them, measured: `python -m benchmarks.speaking [--voice NAME] [--quick] [--json]`.

Speaks the same sentences in every tone and measures what comes out: pitch, rate and pauses, the time until the first
sentence can be played, and whether the recogniser's scores tell the tones apart (nearest mean of the other sentences'
log-probabilities, so that no sentence is scored by itself).
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
import soxr

from benchmarks.machine import run_benchmark
from ser.config import EMBEDDED, Settings
from ser.explanation.cues import measure_cues
from ser.loading import load_recognizer
from ser.recognizer import Recognizer
from ser.synthesis import TONES, Voice, load_voice, speak
from ser.types import SAMPLING_RATE, Audio, Signal

SENTENCES = (
    "It sounds as if that was hard for you. Would you like to tell me more?",
    "Thank you for telling me. That must have taken some courage.",
    "I hear you. Take all the time that you need.",
    "That is good news. How did it come about?",
    "You have waited a long time for this. What happens now?",
    "I am not sure that I understood. Could you say it again?",
    "It makes sense that you feel that way. What would help you today?",
    "So the letter came after all. What did you think when you read it?",
    "Your sister was there as well. Did the two of you talk?",
    "We can leave it there for now. I will be here tomorrow.",
    "The train was late again. That is the third time this week.",
    "They listened to you in the end. What changed their minds?",
)

PACKAGES = ("onnxruntime", "piper-tts", "numpy")


def measure(voice: Voice, sentences: Sequence[str]) -> dict[str, object]:
    """Speak and measure.

    Args:
        voice: that speaks.
        sentences: texts of two sentences each.

    Returns:
        Of each tone the median `pitch` (Hz), `rate` (words in a second of speech) and `pauses` (share); `first_sound`
        (seconds, median and largest), and `told_apart` (share of tones found, and by chance).
    """
    recognizer = load_recognizer(Settings(transcriber="none", text_model="none"))
    cues: dict[str, list[list[float]]] = {tone: [] for tone in TONES}
    scores: dict[str, list[list[float]]] = {tone: [] for tone in TONES}
    waits = []
    list(speak(voice, sentences[0]))
    for text in sentences:
        for tone in TONES:
            begun = time.perf_counter()
            signals = speak(voice, text, tone)
            first = next(signals)
            waits.append(time.perf_counter() - begun)
            audio = _audio(np.concatenate([first, *signals]), voice.sampling_rate)
            cues[tone].append(_measured(recognizer, audio, text))
            scores[tone].append(_logarithms(recognizer, audio))
    return {
        "voice": voice.name,
        "tones": {
            tone: dict(zip(("pitch", "rate", "pauses"), np.nanmedian(rows, axis=0).round(2).tolist(), strict=True))
            for tone, rows in cues.items()
        },
        "first_sound": {"median": round(float(np.median(waits)), 3), "largest": round(max(waits), 3)},
        "told_apart": {"share": round(told_apart(scores), 3), "chance": round(1 / len(scores), 3)},
    }


def _audio(signal: Signal, rate: int) -> Audio:
    return Audio(np.asarray(soxr.resample(signal, rate, SAMPLING_RATE), np.float32))


def _measured(recognizer: Recognizer, audio: Audio, text: str) -> list[float]:
    speech = recognizer.detector.detect(audio)
    cues = measure_cues(audio, speech)
    rate = len(text.split()) / sum(region.end - region.start for region in speech)
    return [np.nan if value is None else value for value in (cues.pitch, rate, cues.pauses)]


def _logarithms(recognizer: Recognizer, audio: Audio) -> list[float]:
    return [float(np.log(share + 1e-4)) for share in recognizer.recognize(audio).acoustic.probabilities]


def told_apart(scores: dict[str, list[list[float]]]) -> float:
    """Share of answers whose nearest mean, of the other sentences, is that of their own tone.

    >>> told_apart({"low": [[0.0], [0.1]], "high": [[1.0], [1.1]]})
    1.0
    """
    rows = np.asarray(list(scores.values()), dtype=np.float64)
    right = 0
    for tone in range(rows.shape[0]):
        for sentence in range(rows.shape[1]):
            means = np.delete(rows, sentence, axis=1).mean(axis=1)
            right += int(np.linalg.norm(means - rows[tone, sentence], axis=1).argmin()) == tone
    return right / (rows.shape[0] * rows.shape[1])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speaking", description=__doc__)
    parser.add_argument("--voice", default=EMBEDDED, help="as for `python -m ser say`")
    return run_benchmark(
        parser,
        lambda options: measure(load_voice(options.voice), SENTENCES[:3] if options.quick else SENTENCES),
        PACKAGES,
        argv=argv,
        quick="three sentences",
    )


if __name__ == "__main__":
    sys.exit(main())
