"""`python -m ser timeline`: recordings of any length in, their regions of one feeling out."""

import argparse
import json
import sys
from pathlib import Path

from ser.commands.recognize import expand, neutral_profiles
from ser.config import Settings
from ser.errors import AudioError, SettingsError
from ser.loading import load_recognizer
from ser.serialization import printable
from ser.timeline.formats import FORMATS
from ser.timeline.regions import Timeline

BAR_WIDTH = 30


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Build the timeline of every file.

    Args:
        options: `files, channels, speakers, neutral, json, out, format`.
        settings: which models to use.

    Returns:
        0 where every file was answered, otherwise 1.

    Raises:
        SerError: if a model cannot be loaded, no recording was found, or options do not go together.
    """
    if options.format and not options.out:
        raise SettingsError("--format needs --out DIR, where the files go.")
    paths = list(expand(options.files))
    if not paths:
        raise AudioError(f"No recording was found in {', '.join(options.files)}. Name audio files, or folders of them.")
    out = _make_folder(options.out) if options.out else None
    recognizer = load_recognizer(settings)
    profiles, failed = neutral_profiles(recognizer, options.neutral or ()), 0
    for path in paths:
        try:
            timeline = recognizer.timeline(
                path,
                options.channels,
                max_duration=settings.max_duration,
                profiles=profiles,
                speakers=options.speakers,
            )
            if out is not None:
                report = f"{path} -> {_write(timeline, path, out, options.format or 'json')}"
            elif options.json:
                report = json.dumps(timeline.as_dict(str(path)), ensure_ascii=False)
            else:
                report = describe(timeline, str(path))
        except AudioError as error:
            failed += 1
            report = json.dumps({"file": str(path), "error": str(error)}) if options.json else f"{path}\n  {error}\n"
        print(report, flush=True)
    if failed:
        print(f"Recordings without a timeline: {failed} of {len(paths)}.", file=sys.stderr)
    return 1 if failed else 0


def _make_folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"The folder '{name}' cannot be made ({error.strerror}). Name another one.") from error
    return folder


def _write(timeline: Timeline, path: Path, out: Path, form: str) -> Path:
    """Write one timeline; files of other recordings with the same name stay."""
    ending, write = FORMATS[form]
    target, number = out / f"{path.name}{ending}", 1
    while target.exists():
        number += 1
        target = out / f"{path.name}.{number}{ending}"
    try:
        target.write_text(write(timeline, printable(path.name)), encoding="utf-8", newline="\n")
    except OSError as error:
        raise AudioError(
            f"Its timeline cannot be written to '{target}' ({error.strerror}). Free some space."
        ) from error
    return target


def describe(timeline: Timeline, file: str) -> str:
    """A timeline as lines for a person."""
    lines = [f"{file}  ({timeline.duration:.1f} s)"]
    for region in timeline.regions:
        who = f"  {region.speaker}" if region.speaker else ""
        doubt = "  not sure" if region.unsure else ""
        said = f'  "{region.transcript}"' if region.transcript else ""
        times = f"{region.start:8.2f} {region.end:8.2f}"
        lines.append(f"  {times}{who}  {region.label:<10}{region.scores.confidence:>4.0%}{doubt}{said}")
    for label, share in sorted(timeline.summary.items(), key=lambda pair: -pair[1]):
        lines.append(f"  {label:<10} {share:>4.0%} of the speech  {'█' * round(BAR_WIDTH * share)}")
    lines += [f"  {note}" for note in timeline.notes]
    lines.append(
        f"  {len(timeline.changes)} change{'' if len(timeline.changes) == 1 else 's'}, {timeline.timings.total:.2f} s"
    )
    return "\n".join(lines) + "\n"
