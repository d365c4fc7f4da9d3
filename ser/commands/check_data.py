"""`python -m ser check-data`: speakers and recordings that the parts of a split share, before training."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from ser.config import Settings
from ser.corpora import Corpus, read_corpus
from ser.corpora.copies import Copies, default_cache_dir, find_copies
from ser.corpora.splits import LeakReport, Split, report_leaks, require_speakers, split_by_speaker
from ser.errors import SettingsError
from ser.types import Example

LEAKS = 1
"""The exit code where something leaks."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Read, compare, and print.

    Args:
        options: `data, test_speakers, dev_speakers, owner_splits, json`.
        settings: not needed.

    Returns:
        0 where nothing leaks, 1 where something does.

    Raises:
        SettingsError: if speakers are named although the owners' splits are asked for.
        TrainingDataError: if the data cannot be read, or a named speaker is not in it.
    """
    corpora = [read_corpus(source) for source in options.data]
    examples = [example for corpus in corpora for example in corpus.examples]
    split = _split(examples, options)
    with tqdm(total=len(examples), unit="clip", disable=None) as progress:
        copies = find_copies(examples, cache_dir=default_cache_dir(), on_progress=lambda *_: _tick(progress))
    leaks = report_leaks(split, copies.hashes, copies.near, copies.unreadable)
    figures = summarize(corpora, split, copies, leaks)
    print(json.dumps(figures, ensure_ascii=False) if options.json else describe(figures))
    return 0 if leaks.clean else LEAKS


def _tick(progress: Any) -> None:
    progress.update()


def _split(examples: Sequence[Example], options: argparse.Namespace) -> Split:
    if options.owner_splits:
        if options.test_speakers or options.dev_speakers:
            raise SettingsError("Name speakers, or ask for the owners' splits: not both.")
        parts: dict[str, list[Example]] = {"train": [], "dev": [], "test": []}
        for example in examples:
            # MSP-Podcast has several test sets.
            part = "test" if (example.split or "").startswith("test") else example.split
            parts.get(part or "train", parts["train"]).append(example)
        return Split(tuple(parts["train"]), tuple(parts["dev"]), tuple(parts["test"]))
    require_speakers(examples, {*(options.test_speakers or ()), *(options.dev_speakers or ())})
    return split_by_speaker(
        examples, test_speakers=options.test_speakers or (), dev_speakers=options.dev_speakers or ()
    )


def summarize(corpora: Sequence[Corpus], split: Split, copies: Copies, leaks: LeakReport) -> dict[str, Any]:
    """The report as plain values for JSON.

    Returns:
        `corpora` (name, layout, licence, clips, speakers, labels, notes), `sides` (clips and speakers of each),
        `clean`, `leaks`, `speakers`, `recordings`, `near_copies`, `within`, `left_out`, `compared`.
    """
    return {
        "corpora": [
            {
                "name": corpus.name,
                "layout": corpus.layout,
                "licence": corpus.licence,
                "clips": len(corpus.examples),
                "speakers": len({example.speaker for example in corpus.examples}),
                "labels": dict(sorted(Counter(example.hard_label for example in corpus.examples).items())),
                "notes": list(corpus.notes),
            }
            for corpus in corpora
        ],
        "sides": {
            part: {"clips": len(examples), "speakers": len({example.speaker for example in examples})}
            for part, examples in split.parts.items()
        },
        "compared": len(copies.hashes),
        "clean": leaks.clean,
        "leaks": list(leaks.leaks),
        "speakers": {name: list(parts) for name, parts in leaks.speakers.items()},
        "recordings": [list(files) for files in leaks.recordings.values()],
        "near_copies": [[pair.first, pair.second, round(pair.difference, 4)] for pair in leaks.near_copies],
        "within": list(leaks.within),
        "left_out": list(leaks.left_out),
    }


def describe(figures: dict[str, Any]) -> str:
    """The report as lines for a person."""
    lines = []
    for corpus in figures["corpora"]:
        labels = ", ".join(f"{label} {count}" for label, count in corpus["labels"].items())
        licence = f" ({corpus['licence']})" if corpus["licence"] else ""
        lines.append(
            f"{corpus['name']}, read as {corpus['layout']}{licence}: {_counted(corpus['clips'], 'clip')} of "
            f"{_counted(corpus['speakers'], 'speaker')}: {labels}"
        )
        lines += [f"  {note}" for note in corpus["notes"]]
    parts = [
        f"{part} {_counted(s['clips'], 'clip')} of {_counted(s['speakers'], 'speaker')}"
        for part, s in figures["sides"].items()
    ]
    lines.append(f"Parts: {', '.join(parts)}. Compared: {_counted(figures['compared'], 'recording')}.")
    for key, title in (("left_out", "Not compared"), ("within", "Copies within one part, which leak nothing")):
        if figures[key]:
            lines += [f"{title}: {len(figures[key])}", *(f"  {sentence}" for sentence in figures[key])]
    if figures["clean"]:
        lines.append("Nothing leaks: no speaker and no recording is in two parts.")
    else:
        lines += [f"LEAKS: {len(figures['leaks'])}", *(f"  {leak}" for leak in figures["leaks"])]
        lines.append("Remove the copies, or put their speakers in one part.")
    return "\n".join(lines)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun if count == 1 else noun + 's'}"
