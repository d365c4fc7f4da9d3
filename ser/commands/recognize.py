"""`python -m ser recognize`: files and folders in, one answer for each out."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ser.acoustic.sounds import neutral_profile
from ser.audio.formats import AUDIO_SUFFIXES
from ser.config import Settings
from ser.encoder.profiles import Profiles, draw_profiles
from ser.errors import AudioError, SettingsError
from ser.evaluation.predictions import adaptable_model
from ser.loading import load_recognizer
from ser.recognizer import Recognizer
from ser.scoring.engines import score
from ser.serialization import recognition_to_dict
from ser.types import Recognition

BAR_WIDTH = 30

SMALLEST_SHARE = 0.005
"""Least share of an answer that is shown: less would read 0 %."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Recognise every file.

    Args:
        options: `files, same_speaker, same_source, neutral, face, json, output, engine, workers`.
        settings: which models to use.

    Returns:
        0 where every file was recognised, otherwise 1.

    Raises:
        SerError: if a model cannot be loaded, no recording was found, or options do not go together.
    """
    paths = list(expand(options.files))
    if not paths:
        raise AudioError(f"No recording was found in {', '.join(options.files)}. Name audio files, or folders of them.")
    if options.face and (len(paths) > 1 or options.output or options.same_speaker or options.same_source):
        raise SettingsError(f"--face is a picture for one recording; {len(paths)} came, or options for many.")
    if options.output:
        return score(paths, options, settings)
    if options.engine != "local" or options.workers:
        raise SettingsError("--engine and --workers need --output DIR.parquet, where the answers go.")
    recognizer = load_recognizer(settings)
    failed = 0
    with tqdm(total=len(paths), unit="file", disable=len(paths) < 2 or None) as progress:
        for path, answer in zip(paths, _answers(recognizer, paths, options), strict=True):
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


def neutral_profiles(recognizer: Recognizer, names: Sequence[str]) -> Profiles:
    """The profile of a speaker's neutral voice from recordings of it.

    Raises:
        AudioError: if one cannot be read, or holds no sentence.
        SettingsError: if the model cannot be adapted.
    """
    found = Profiles()
    for path in expand(names):
        audio = recognizer.decode(path)
        newest = neutral_profile(recognizer.acoustic, audio, recognizer.detector.detect(audio))
        found = Profiles(neutral=found.neutral.merge(newest) if found.neutral else newest)
    return found


def _answers(
    recognizer: Recognizer, paths: Sequence[Path], options: argparse.Namespace
) -> Iterator[Recognition | AudioError]:
    """Yield answers as they come; if they share a speaker or a source, adapted to it once all are recognised."""
    if options.neutral or options.face:
        voice = neutral_profiles(recognizer, options.neutral or ())
        for path in paths:
            try:
                yield recognizer.recognize(path, voice, face=options.face)
            except AudioError as error:
                yield error
        return
    answers = recognizer.recognize_many(paths)
    if not (options.same_speaker or options.same_source):
        yield from answers
        return
    encoder = adaptable_model(recognizer.acoustic, None).encoder_sha256
    found = list(answers)
    plain = [answer for answer in found if isinstance(answer, Recognition)]
    rows = [answer.embedding.vector for answer in plain if answer.embedding is not None]
    shared = ["all"] * len(plain)
    profiles = draw_profiles(
        np.array(rows),
        encoder,
        sources=shared if options.same_source else None,
        speakers=shared if options.same_speaker else None,
    )
    adapted = iter(recognizer.adapt(plain, profiles))
    for answer in found:
        yield answer if isinstance(answer, AudioError) else next(adapted)


def expand(names: Sequence[str]) -> Iterator[Path]:
    """List files as they are named, and of folders every audio file in them, at any depth, in order of their names."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
        else:
            yield path


def describe(answer: Recognition, file: str) -> str:
    """An answer as lines for a person."""
    lines = [f"{file}  ({answer.duration:.1f} s)"]
    head = f"  {answer.fused.label.upper()}  {answer.fused.confidence:.0%}"
    if answer.text is not None:
        head += f"   voice: {answer.acoustic.label} {answer.acoustic.confidence:.0%}"
        head += f"   words: {answer.text.label} {answer.text.confidence:.0%}"
    if answer.opinion is not None:
        head += f"   language model: {answer.opinion.scores.label} {answer.opinion.scores.confidence:.0%}"
    lines.append(head)
    if answer.face is not None:
        lines.append(f"  {answer.face.note}")
    scores = answer.fused.as_dict()
    for label in sorted(scores, key=scores.__getitem__, reverse=True):
        bar = "█" * round(BAR_WIDTH * scores[label])
        lines.append(f"  {label:<10} {scores[label]:>4.0%} {bar}")
    lines.extend(_describe_unmapped(answer))
    if answer.transcript is not None:
        lines.append(f'  "{answer.transcript.text}"' if answer.transcript.text else "  (no words recognised)")
    lines.extend(f"  {note}" for note in answer.notes)
    if answer.unsure is not None:
        lines.append(f"  Not sure: {answer.unsure}")
    lines.append(f"  {answer.timings.total:.2f} s, {', '.join(answer.models.values())}")
    return "\n".join(lines) + "\n"


def _describe_unmapped(answer: Recognition) -> Iterator[str]:
    """A line for each model that gave a part of its answer to labels that are none of the seven."""
    for part, scores in (("voice", answer.acoustic), ("words", answer.text)):
        if scores is not None and sum(scores.unmapped.values()) >= SMALLEST_SHARE:
            shares = sorted(scores.unmapped.items(), key=lambda pair: -pair[1])
            named = ", ".join(f"{name} {share:.0%}" for name, share in shares[:3] if share >= SMALLEST_SHARE)
            total = sum(scores.unmapped.values())
            yield f"  {part}: {total:.0%} went to labels that are none of these{f' ({named})' if named else ''}"
