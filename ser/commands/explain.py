"""`python -m ser explain`: files and folders in, the reasons for the answer to each out."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ser.commands.recognize import expand
from ser.config import Settings
from ser.errors import AudioError
from ser.explanation.cues import VoiceCues, measure_cues, usual_cues
from ser.explanation.explanation import Explanation
from ser.loading import load_recognizer
from ser.recognizer import Recognizer

SHOWN = 3
"""Moments and words in the lines for a person."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Explain the answer to every file.

    Args:
        options: `files, label, usual, json`.
        settings: which models to use.

    Returns:
        0 where every file was explained, otherwise 1.

    Raises:
        SerError: if a model cannot be loaded, no recording was found, or there is no such label.
    """
    paths = list(expand(options.files))
    if not paths:
        raise AudioError(f"No recording was found in {', '.join(options.files)}. Name audio files, or folders of them.")
    recognizer = load_recognizer(settings)
    usual, failed = _measure_usual(recognizer, list(expand(options.usual or ()))), 0
    for path in paths:
        try:
            explanation = recognizer.explain(path, label=options.label, usual=usual)
            found = explanation.as_dict(str(path))
            report = json.dumps(found, ensure_ascii=False) if options.json else describe(explanation, str(path))
        except AudioError as error:
            failed += 1
            report = json.dumps({"file": str(path), "error": str(error)}) if options.json else f"{path}\n  {error}\n"
        print(report, flush=True)
    if failed:
        print(f"Recordings that could not be explained: {failed} of {len(paths)}.", file=sys.stderr)
    return 1 if failed else 0


def _measure_usual(recognizer: Recognizer, paths: Sequence[Path]) -> VoiceCues | None:
    measured = []
    for path in paths:
        try:
            audio = recognizer.decode(path)
            speech = recognizer.detector.detect(audio)
        except AudioError as error:
            print(f"{path} is left out of --usual: {error}", file=sys.stderr)
            continue
        if speech:
            measured.append(measure_cues(audio, speech))
        else:
            print(f"{path} is left out of --usual: it holds no speech.", file=sys.stderr)
    if paths and not measured:
        raise AudioError("No recording of --usual holds speech. Name recordings of the same speaker.")
    return usual_cues(measured) if measured else None


def describe(explanation: Explanation, file: str) -> str:
    """An explanation as lines for a person; effects are points of the probability."""
    lines = [file, f"  {explanation.label.upper()}  {explanation.confidence:.0%}"]
    for part in sorted(explanation.moments, key=lambda part: -part.effect)[:SHOWN]:
        lines.append(f"  moment  {part.start:6.2f} to {part.end:6.2f} s   {_points(part.effect)}")
    for part in sorted(explanation.bands, key=lambda part: -part.effect)[:SHOWN]:
        lines.append(f"  band    {part.start:6.0f} to {part.end:6.0f} Hz  {_points(part.effect)}")
    for word in sorted(explanation.words, key=lambda word: -abs(word.effect))[:SHOWN]:
        lines.append(f"  word    {word.text:<20}  {_points(word.effect)}")
    if explanation.words:
        lines.append(f"  words   all together          {_points(explanation.words_effect)}")
    for cue in explanation.cues:
        value = "not measurable" if cue.value is None else f"{cue.value:.3g} {cue.unit}"
        against = "" if cue.usual is None else f", usually {cue.usual:.3g}"
        effect = "" if cue.effect is None else f"   {_points(cue.effect)}"
        lines.append(f"  {cue.name:<8}{value}{against}{effect}")
    return "\n".join(lines) + "\n"


def _points(effect: float) -> str:
    """A difference of probabilities in points.

    >>> _points(0.123), _points(-0.02)
    ('+12 points', '-2 points')
    """
    return f"{round(100 * effect):+d} point{'' if abs(round(100 * effect)) == 1 else 's'}"
