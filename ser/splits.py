"""Speaker-disjoint splits, and what leaks between them. Pure: knows nothing of how examples are read or learnt."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ser.errors import TrainingDataError
from ser.types import Example


@dataclass(frozen=True)
class Split:
    """Examples divided so that no speaker is on two sides."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]

    @property
    def parts(self) -> dict[str, tuple[Example, ...]]:
        """The sides by name."""
        return {"train": self.train, "dev": self.dev, "test": self.test}


@dataclass(frozen=True)
class LeakReport:
    """What two sides of a split share.

    Attributes:
        speakers: {speaker: the sides they are on}.
        recordings: {hash of the audio: the files on more than one side}.
    """

    speakers: Mapping[str, tuple[str, ...]]
    recordings: Mapping[str, tuple[str, ...]]

    @property
    def clean(self) -> bool:
        """Whether nothing leaks."""
        return not self.speakers and not self.recordings

    def __str__(self) -> str:
        if self.clean:
            return "No speaker and no recording is on two sides."
        shared = [f"speaker {name} is in {' and '.join(sides)}" for name, sides in self.speakers.items()]
        shared += [f"the same audio is in {' and '.join(files)}" for files in self.recordings.values()]
        return f"{len(shared)} leak(s): " + "; ".join(shared) + "."


def split_by_speaker(
    examples: Sequence[Example],
    *,
    test_speakers: Collection[str] = (),
    dev_speakers: Collection[str] = (),
) -> Split:
    """Divide by named speakers; all others train.

    Raises:
        TrainingDataError: where a speaker is named for both sides.
    """
    both = sorted(set(test_speakers) & set(dev_speakers))
    if both:
        raise TrainingDataError(f"{', '.join(both)}: named for dev and for test. A speaker can be on one side only.")
    sides: dict[str, list[Example]] = {"train": [], "dev": [], "test": []}
    for example in examples:
        side = "test" if example.speaker in test_speakers else "dev" if example.speaker in dev_speakers else "train"
        sides[side].append(example)
    return Split(tuple(sides["train"]), tuple(sides["dev"]), tuple(sides["test"]))


def draw_dev_speakers(examples: Sequence[Example], share: float, seed: int) -> set[str]:
    """Draw speakers for the dev side, about `share` of the clips of each corpus that has two speakers or more.

    At least one speaker of each corpus stays for training.

    Returns:
        Speakers; empty where no corpus has two.
    """
    generator = np.random.default_rng(seed)
    clips: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for example in examples:
        clips[example.corpus][example.speaker] += 1
    drawn: set[str] = set()
    for corpus in sorted(clips):
        counts = clips[corpus]
        wanted, taken = share * sum(counts.values()), 0
        order = generator.permutation(sorted(counts)).tolist()
        for speaker in order[:-1]:
            # One speaker more may overshoot; stop where that is further off than stopping now.
            if abs(taken + counts[speaker] - wanted) > abs(taken - wanted) and taken:
                break
            drawn.add(speaker)
            taken += counts[speaker]
            if taken >= wanted:
                break
    return drawn


def report_leaks(split: Split, hashes: Mapping[str, str] | None = None) -> LeakReport:
    """Look for speakers and recordings that two sides share.

    Args:
        split: to look at.
        hashes: {path: hash of its audio}; without it only speakers are compared.
    """
    sides_of: dict[str, set[str]] = defaultdict(set)
    files_of: dict[str, dict[str, str]] = defaultdict(dict)
    for side, examples in split.parts.items():
        for example in examples:
            sides_of[example.speaker].add(side)
            digest = (hashes or {}).get(str(example.path))
            if digest is not None:
                files_of[digest].setdefault(side, str(example.path))
    return LeakReport(
        {name: tuple(sorted(sides)) for name, sides in sorted(sides_of.items()) if len(sides) > 1},
        {digest: tuple(sorted(files.values())) for digest, files in sorted(files_of.items()) if len(files) > 1},
    )
