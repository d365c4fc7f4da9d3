"""`python -m ser recognize`: files and folders in, one answer for each out."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from ser.adaptation import adapt_recognitions
from ser.config import Settings
from ser.errors import AudioError, SettingsError
from ser.labels import EMOTIONS
from ser.loading import load_recognizer
from ser.recognizer import Recognizer
from ser.scoring.command import score
from ser.serialization import recognition_to_dict
from ser.types import Recognition

AUDIO_SUFFIXES = frozenset(
    ".wav .wave .mp3 .ogg .oga .opus .flac .m4a .mp4 .webm .aac .wma .caf .aif .aiff .au .mka .amr .3gp".split()
)
"""Names that count as recordings where a folder is given; a file that is named itself is always tried."""

BAR_WIDTH = 30


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Recognise every file.

    Args:
        options: `files, same_speaker, json, output, engine, workers`.
        settings: which models to use.

    Returns:
        0 where every file was recognised, otherwise 1.

    Raises:
        SerError: where a model cannot be loaded, no recording was found, or options do not go together.
    """
    paths = list(expand(options.files))
    if not paths:
        raise AudioError(f"No recording was found in {', '.join(options.files)}. Name audio files, or folders of them.")
    if options.output:
        return score(paths, options, settings)
    if options.engine != "local" or options.workers:
        raise SettingsError("--engine and --workers need --output DIR.parquet, where the answers go.")
    recognizer = load_recognizer(settings)
    failed = 0
    with tqdm(total=len(paths), unit="file", disable=len(paths) < 2 or None) as progress:
        for path, answer in zip(paths, _answers(recognizer, paths, options.same_speaker), strict=True):
            if isinstance(answer, AudioError):
                failed += 1
                report = (
                    json.dumps({"file": str(path), "error": str(answer)}) if options.json else f"{path}\n  {answer}\n"
                )
            elif options.json:
                report = json.dumps(recognition_to_dict(answer, str(path)), ensure_ascii=False)
            else:
                report = describe(answer, str(path))
            progress.update()
            # A line on stdout must not run into the bar on stderr where both are one terminal.
            tqdm.write(report, file=sys.stdout)
            sys.stdout.flush()
    return 1 if failed else 0


def _answers(recognizer: Recognizer, paths: Sequence[Path], same_speaker: bool) -> Iterator[Recognition | AudioError]:
    """As they come; where one person speaks in all of them, adapted to that person once all are heard."""
    answers = recognizer.recognize_many(paths)
    if not same_speaker:
        yield from answers
        return
    heard = list(answers)
    adapted = iter(adapt_recognitions([answer for answer in heard if isinstance(answer, Recognition)]))
    for answer in heard:
        yield answer if isinstance(answer, AudioError) else next(adapted)


def expand(names: Sequence[str]) -> Iterator[Path]:
    """Files as they are named; of folders every audio file in them, at any depth, in order of their names."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
        else:
            yield path


def describe(answer: Recognition, file: str) -> str:
    """An answer in lines that a person likes to read."""
    lines = [f"{file}  ({answer.duration:.1f} s)"]
    head = f"  {answer.fused.label.upper()}  {answer.fused.confidence:.0%}"
    if answer.text is not None:
        head += f"   sound: {answer.acoustic.label} {answer.acoustic.confidence:.0%}"
        head += f"   words: {answer.text.label} {answer.text.confidence:.0%}"
    lines.append(head)
    scores = answer.fused.as_dict()
    for label in sorted(EMOTIONS, key=scores.__getitem__, reverse=True):
        bar = "█" * round(BAR_WIDTH * scores[label])
        lines.append(f"  {label:<10} {scores[label]:>4.0%} {bar}")
    if answer.transcript is not None:
        lines.append(f'  "{answer.transcript.text}"' if answer.transcript.text else "  (no words recognised)")
    lines.extend(f"  {note}" for note in answer.notes)
    lines.append(f"  {answer.timings.total:.2f} s, {', '.join(answer.models.values())}")
    return "\n".join(lines) + "\n"
