"""The gain of words over voice alone: `python -m benchmarks.fusion --data DIR [--text FILE.csv] [--quick] [--json]`.

Recognises every clip of a folder with `metadata.csv`, as the app does, and compares the fused answers with those of the
voice alone. On RAVDESS, whose two sentences say nothing, the words should change next to nothing. With `--text`, each
clip's voice is also paired with a random sentence of the same emotion: the gain if words do say something.
"""

import argparse
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from ser.config import Settings
from ser.corpora import load_corpus
from ser.errors import AudioError, SettingsError
from ser.evaluation.metrics import paired_bootstrap
from ser.evaluation.report import summarize
from ser.fusion.rule import FusionRule
from ser.labels import EMOTIONS
from ser.loading import load_recognizer
from ser.recognizer import Recognizer
from ser.text.data import as_transcript, read_labelled_texts
from ser.types import EmotionScores, Transcript

TEST_SPEAKERS = ("ravdess_01", "ravdess_11", "ravdess_20", "ravdess_21")
"""Test speakers of fold 1 of EmoBox, which no shipped weights were trained on."""

QUICK_SAMPLE = 24
ABSTAINED = "The words are left out"
"""Beginning of the notes that say why."""

PACKAGES = ("onnxruntime", "tokenizers", "faster-whisper", "silero-vad", "numpy")


@dataclass(frozen=True)
class Pair:
    """One clip with the scores of its voice and of its words.

    Attributes:
        truth: label of the clip.
        speaker: of the clip.
        sound: scores of the voice.
        words: scores of the words; None if they abstained.
        transcript: what `words` was read from.
    """

    truth: str
    speaker: str
    sound: EmotionScores
    words: EmotionScores | None
    transcript: Transcript | None

    def fuse(self, rule: FusionRule) -> tuple[EmotionScores, float]:
        """Apply a rule; also the weight of the words."""
        if self.words is None or self.transcript is None:
            return rule.temper_acoustic(self.sound), 0.0
        return rule.join(self.sound, self.words, self.transcript)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fusion", description=__doc__)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with metadata.csv, such as ravdess")
    parser.add_argument("--text", metavar="FILE.csv", help="labelled sentences, to pair with the voices")
    parser.add_argument("--speakers", nargs="+", default=TEST_SPEAKERS, help="whose clips (default: the test speakers)")
    parser.add_argument("--model", default="embedded", help="acoustic model: embedded, a folder or a Hub id")
    parser.add_argument("--transcriber", default="auto", help="as SER_TRANSCRIBER (default: %(default)s)")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=f"{QUICK_SAMPLE} clips only")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Compare voice alone and fused answers.

    Args:
        options: `data, speakers, text, model, transcriber, quick, seed`.

    Raises:
        SerError: if a model or the data is missing.
    """
    examples = [example for example in load_corpus(options.data) if example.speaker in options.speakers]
    if options.quick:
        examples = random.Random(options.seed).sample(examples, min(QUICK_SAMPLE, len(examples)))
    if not examples:
        raise AudioError(f"{options.data} has no clip of {', '.join(options.speakers)}. Name others with --speakers.")
    recognizer = load_recognizer(
        Settings(acoustic_model=options.model, transcriber=options.transcriber, max_duration=None)
    )
    pairs, reasons = list[Pair](), Counter[str]()
    refused = Counter[str]()
    for example in tqdm(examples, "recognise", unit="clip", disable=None):
        try:
            answer = recognizer.recognize(example.path)
        except AudioError as error:
            refused[str(error)] += 1
            continue
        pairs.append(Pair(example.hard_label, example.speaker, answer.acoustic, answer.text, answer.transcript))
        # Without its numbers: one reason with many confidences is one reason.
        reasons.update(
            "".join(c for c in note if not c.isdigit()) for note in answer.notes if note.startswith(ABSTAINED)
        )
    if not pairs:
        raise AudioError(f"None of {len(examples)} clips was recognised: {refused.most_common(1)[0][0]}")
    result: dict[str, Any] = {
        "benchmark": "fusion",
        "speakers": list(options.speakers),
        "models": recognizer.models,
        "clips": len(examples),
        "refused": dict(refused),
        "own_words": compare(pairs, recognizer.fusion, options.seed) | {"abstained": dict(reasons)},
    }
    if options.text:
        result["paired_with_sentences"] = compare(
            with_sentences(recognizer, pairs, options), recognizer.fusion, options.seed
        )
    return result


def compare(pairs: Sequence[Pair], rule: FusionRule, seed: int) -> dict[str, Any]:
    """Compare the voice alone with the fused answers.

    Returns:
        Figures of both; the difference in UAR with its 95 % interval over clips and over speakers; how many answers the
        words changed, to right and to wrong.
    """
    truth, speakers = [pair.truth for pair in pairs], [pair.speaker for pair in pairs]
    fused_scores, weights = zip(*(pair.fuse(rule) for pair in pairs), strict=True)
    sound, fused = [pair.sound.label for pair in pairs], [scores.label for scores in fused_scores]
    differences = {
        name: paired_bootstrap(truth, sound, fused, EMOTIONS, groups=groups, seed=seed)
        for name, groups in (("clips", None), ("speakers", speakers))
    }
    read = [pair for pair in pairs if pair.words is not None]
    return {
        "n": len(pairs),
        "sound": _figures(truth, [pair.sound for pair in pairs]),
        "fused": _figures(truth, fused_scores),
        "words_alone": _figures([pair.truth for pair in read], [pair.words for pair in read if pair.words]),
        "uar_difference": differences["clips"].value,
        "uar_difference_ci": {name: [interval.low, interval.high] for name, interval in differences.items()},
        "words_read": len(read),
        "words_used": sum(weight > 0 for weight in weights),
        "mean_text_weight": float(np.mean(weights)),
        "changed_to_right": sum(f == t != s for t, s, f in zip(truth, sound, fused, strict=True)),
        "changed_to_wrong": sum(s == t != f for t, s, f in zip(truth, sound, fused, strict=True)),
    }


def with_sentences(recognizer: Recognizer, pairs: Sequence[Pair], options: argparse.Namespace) -> list[Pair]:
    """Pair each voice with a random sentence of its emotion, as a transcript without confidences."""
    if recognizer.text is None:
        raise SettingsError("--text needs a text model, and SER_TEXT_MODEL is 'none'.")
    rows = read_labelled_texts(Path(options.text))
    sentences: dict[str, list[str]] = defaultdict(list)
    for text, labels in zip(rows.texts, rows.labels, strict=True):
        if len(labels) == 1:
            sentences[labels[0]].append(as_transcript(text))
    rng = random.Random(options.seed)
    chosen = [rng.choice(sentences[pair.truth]) for pair in pairs]
    said = [Transcript(text, "en", (), "test sentences") for text in chosen]
    words = recognizer.text.classify_batch(chosen)
    return [
        Pair(pair.truth, pair.speaker, pair.sound, scores, transcript)
        for pair, scores, transcript in zip(pairs, words, said, strict=True)
    ]


def _figures(truth: Sequence[str], scores: Sequence[EmotionScores]) -> dict[str, Any]:
    if not scores:
        return {"n": 0}
    figures = summarize(truth, [score.probabilities for score in scores], EMOTIONS)
    return {name: figures[name] for name in ("n", "uar", "war", "macro_f1", "ece")}


if __name__ == "__main__":
    sys.exit(main())
