"""The gain of words over voice alone: `python -m benchmarks.fusion --data DIR [--text FILE.csv] [--quick] [--json]`.

Recognises every clip of a folder with `metadata.csv`, as the app does, and compares the fused answers with those of the
voice alone. On RAVDESS, whose two sentences say nothing, the words should change next to nothing. With `--text`, each
clip's voice is also paired with a random sentence of the same emotion: the gain if words do say something.
"""

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.machine import describe_run
from ser.config import Settings
from ser.corpora import load_corpus
from ser.errors import AudioError, SerError, SettingsError
from ser.evaluation.metrics import paired_bootstrap
from ser.evaluation.report import summarize
from ser.fusion.rule import FusionRule
from ser.labels import EMOTIONS
from ser.loading import load_recognizer
from ser.recognizer import Recognizer
from ser.text.data import as_transcript, read_labelled_texts
from ser.types import EmotionScores, Example, Recognition, Transcript

TEST_SPEAKERS = ("ravdess_01", "ravdess_11", "ravdess_20", "ravdess_21")
"""Test speakers of fold 1 of EmoBox, which no shipped weights were trained on."""

SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Multiples of the text weight in use: how sensitive the figures are to it."""

QUICK_SAMPLE = 24
PACKAGES = ("onnxruntime", "tokenizers", "faster-whisper", "silero-vad", "numpy")


@dataclass(frozen=True)
class Pair:
    """What voice and words said of one clip.

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

    def fused(self, rule: FusionRule, scale: float = 1.0) -> EmotionScores:
        """The answer of a rule with the words' largest weight multiplied by `scale`."""
        return self._joined(replace(rule, max_weight=min(1.0, rule.max_weight * scale)))[0]

    def weight(self, rule: FusionRule) -> float:
        """The words' share in that answer."""
        return self._joined(rule)[1]

    def _joined(self, rule: FusionRule) -> tuple[EmotionScores, float]:
        if self.words is None or self.transcript is None:
            return rule.temper_acoustic(self.sound), 0.0
        return rule.join(self.sound, self.words, self.transcript)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 where done, 2 where something needed is missing."""
    options = _options(argv)
    try:
        result = measure(options)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result, indent=None if options.json else 2))
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures.

    Args:
        options: `data, speakers, text, model, transcriber, quick, seed`.

    Raises:
        SerError: where a model or the data is missing.
    """
    examples = [example for example in load_corpus(options.data) if example.speaker in options.speakers]
    if options.quick:
        examples = random.Random(options.seed).sample(examples, min(QUICK_SAMPLE, len(examples)))
    if not examples:
        raise AudioError(f"{options.data} has no clip of {', '.join(options.speakers)}. Name others with --speakers.")
    recognizer = load_recognizer(
        Settings(acoustic_model=options.model, transcriber=options.transcriber, max_duration=None)
    )
    answers, refused = recognize(recognizer, examples)
    pairs = [
        Pair(example.hard_label, example.speaker, answer.acoustic, answer.text, answer.transcript)
        for example, answer in answers
    ]
    result: dict[str, Any] = {
        "benchmark": "fusion",
        "speakers": list(options.speakers),
        "models": recognizer.models,
        "clips": len(examples),
        "refused": refused,
        "own_words": compare(pairs, recognizer.fusion, options.seed)
        | {"abstained": reasons(answer for _, answer in answers)},
    }
    if options.text:
        result["paired_with_sentences"] = compare(
            with_sentences(recognizer, pairs, options), recognizer.fusion, options.seed
        )
    return result | describe_run(options.seed, PACKAGES)


def recognize(
    recognizer: Recognizer, examples: Sequence[Example]
) -> tuple[list[tuple[Example, Recognition]], dict[str, int]]:
    """Answers of the whole pipeline, and {reason: clips} of the recordings it refused."""
    answers, refused = [], Counter[str]()
    for example in tqdm(examples, "recognise", unit="clip", disable=None):
        try:
            answers.append((example, recognizer.recognize(example.path)))
        except AudioError as error:
            refused[str(error)] += 1
    if not answers:
        raise AudioError(f"None of {len(examples)} clips was recognised: {refused.most_common(1)[0][0]}")
    return answers, dict(refused)


def compare(pairs: Sequence[Pair], rule: FusionRule, seed: int) -> dict[str, Any]:
    """Compare the voice alone with the fused answers.

    Returns:
        Figures of both; the difference in UAR with its 95 % interval over clips and over speakers; how many answers the
        words changed, to right and to wrong; UAR for other `scales` of the text weight.
    """
    truth, speakers = [pair.truth for pair in pairs], [pair.speaker for pair in pairs]
    sound, fused = [pair.sound.label for pair in pairs], [pair.fused(rule).label for pair in pairs]
    differences = {
        name: paired_bootstrap(truth, sound, fused, EMOTIONS, groups=groups, seed=seed)
        for name, groups in (("clips", None), ("speakers", speakers))
    }
    read = [pair for pair in pairs if pair.words is not None]
    weights = [pair.weight(rule) for pair in pairs]
    return {
        "n": len(pairs),
        "sound": _figures(truth, [pair.sound for pair in pairs]),
        "fused": _figures(truth, [pair.fused(rule) for pair in pairs]),
        "words_alone": _figures([pair.truth for pair in read], [pair.words for pair in read if pair.words]),
        "uar_difference": differences["clips"].value,
        "uar_difference_ci": {name: [interval.low, interval.high] for name, interval in differences.items()},
        "words_read": len(read),
        "words_used": sum(weight > 0 for weight in weights),
        "mean_text_weight": float(np.mean(weights)),
        "changed_to_right": sum(f == t != s for t, s, f in zip(truth, sound, fused, strict=True)),
        "changed_to_wrong": sum(s == t != f for t, s, f in zip(truth, sound, fused, strict=True)),
        "scales": {str(scale): _figures(truth, [pair.fused(rule, scale) for pair in pairs])["uar"] for scale in SCALES},
    }


def with_sentences(recognizer: Recognizer, pairs: Sequence[Pair], options: argparse.Namespace) -> list[Pair]:
    """The same sounds, each with a random sentence of its emotion, in the form of a transcript without confidences."""
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


def reasons(answers: Any) -> dict[str, int]:
    """{why the words abstained: clips}, numbers left out of the sentence."""
    notes = (note for answer in answers for note in answer.notes if note.startswith("The words are left out"))
    return dict(Counter("".join(c for c in note if not c.isdigit()) for note in notes))


def _figures(truth: Sequence[str], scores: Sequence[EmotionScores]) -> dict[str, Any]:
    if not scores:
        return {"n": 0}
    figures = summarize(truth, [score.probabilities for score in scores], EMOTIONS)
    return {name: figures[name] for name in ("n", "uar", "war", "macro_f1", "ece")}


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fusion", description=__doc__)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with metadata.csv, such as ravdess")
    parser.add_argument("--text", metavar="FILE.csv", help="labelled sentences, to pair with the sounds")
    parser.add_argument(
        "--speakers", type=lambda text: tuple(text.split(",")), default=TEST_SPEAKERS, metavar="A,B",
        help="whose clips; by default the test speakers",
    )  # fmt: skip
    parser.add_argument("--model", default="embedded", help="acoustic model: embedded, a folder or a Hub id")
    parser.add_argument("--transcriber", default="auto", help="as SER_TRANSCRIBER (default auto)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default 0)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SAMPLE} clips only")
    parser.add_argument("--json", action="store_true", help="on one line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
