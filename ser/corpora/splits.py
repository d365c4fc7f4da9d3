"""Speaker-disjoint splits, and what leaks between them. Pure: knows nothing of how examples are read or learnt."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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
class NearCopy:
    """Two files that hold the same sound, though not the same samples.

    Attributes:
        first: the path of the one.
        second: of the other.
        difference: share of the bits of their fingerprints that differ, 0 to 1.
    """

    first: str
    second: str
    difference: float

    def __str__(self) -> str:
        return f"{self.first} and {self.second} are one recording ({self.difference:.0%} of the fingerprint differ)"


@dataclass(frozen=True)
class LeakReport:
    """What two sides of a split share.

    Attributes:
        speakers: {speaker: the sides they are on}.
        recordings: {hash of the audio: the files on more than one side}.
        near_copies: pairs on two sides that are the same sound; each says which file is on which side.
        within: sentences on copies that lie on one side, where they leak nothing.
        left_out: sentences on recordings that were not compared.
        compared: whether the recordings were compared at all, or the speakers only.
    """

    speakers: Mapping[str, tuple[str, ...]]
    recordings: Mapping[str, tuple[str, ...]]
    near_copies: tuple[NearCopy, ...] = ()
    within: tuple[str, ...] = field(default=())
    left_out: tuple[str, ...] = field(default=())
    compared: bool = True

    @property
    def clean(self) -> bool:
        """Whether nothing leaks."""
        return not self.speakers and not self.recordings and not self.near_copies

    @property
    def leaks(self) -> tuple[str, ...]:
        """Each leak as half a sentence."""
        return (
            *(f"speaker {name} is in {' and '.join(sides)}" for name, sides in self.speakers.items()),
            *(f"the same audio is in {' and '.join(files)}" for files in self.recordings.values()),
            *(str(pair) for pair in self.near_copies),
        )

    def __str__(self) -> str:
        if self.clean:
            return "No speaker and no recording is on two sides." if self.compared else "No speaker is on two sides."
        return f"{len(self.leaks)} leak(s): " + "; ".join(self.leaks) + "."


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


def group_speakers(
    examples: Sequence[Example], hashes: Mapping[str, str], near_copies: Iterable[NearCopy] = ()
) -> dict[str, str]:
    """Join the speakers whose files hold the same recording: they belong on one side.

    Args:
        examples: with their speakers.
        hashes: {path: hash of its audio}.
        near_copies: pairs of paths that are the same sound.

    Returns:
        {speaker: the first name of their group}; a speaker who shares nothing is a group alone.

    >>> a, b = Example("1.wav", "anger", "ann"), Example("2.wav", "anger", "bob")
    >>> group_speakers([a, b], {"1.wav": "same", "2.wav": "same"})
    {'ann': 'ann', 'bob': 'ann'}
    """
    leader = {speaker: speaker for speaker in sorted({example.speaker for example in examples})}

    def find(speaker: str) -> str:
        while leader[speaker] != speaker:
            leader[speaker] = leader[leader[speaker]]
            speaker = leader[speaker]
        return speaker

    def join(first: str, second: str) -> None:
        one, other = sorted((find(first), find(second)))
        leader[other] = one

    speakers_of: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        path = str(example.path)
        speakers_of[hashes.get(path, path)].append(example.speaker)
    for speakers in speakers_of.values():
        for other in speakers[1:]:
            join(speakers[0], other)
    for pair in near_copies:
        first, second = (speakers_of.get(hashes.get(path, path)) for path in (pair.first, pair.second))
        if first and second:
            join(first[0], second[0])
    return {speaker: find(speaker) for speaker in leader}


def draw_dev_speakers(
    examples: Sequence[Example], share: float, seed: int, groups: Mapping[str, str] | None = None
) -> set[str]:
    """Draw speakers for the dev side, about `share` of the clips of each corpus that has two speakers or more.

    At least one speaker of each corpus stays for training, unless a recording joins all of them to another corpus's.

    Args:
        examples: to draw from.
        share: of the clips, 0 to 1.
        seed: of the draw.
        groups: {speaker: group} of `group_speakers`; whole groups are drawn.

    Returns:
        Speakers; empty where no corpus has two.
    """
    generator = np.random.default_rng(seed)
    group_of = groups or {}
    clips: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    members: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        group = group_of.get(example.speaker, example.speaker)
        clips[example.corpus][group] += 1
        members[group].add(example.speaker)
    drawn: set[str] = set()
    for corpus in sorted(clips):
        counts = clips[corpus]
        wanted, taken = share * sum(counts.values()), sum(counts[group] for group in counts if group in drawn)
        order = generator.permutation(sorted(counts)).tolist()
        for group in order[:-1]:
            if group in drawn:
                continue
            # One more may overshoot; stop where that is further off than stopping now.
            if taken and abs(taken + counts[group] - wanted) > abs(taken - wanted):
                break
            drawn.add(group)
            taken += counts[group]
            if taken >= wanted:
                break
    return {speaker for group in drawn for speaker in members[group]}


def part_speakers(examples: Sequence[Example], parts: int, groups: Mapping[str, str] | None = None) -> list[set[str]]:
    """Divide speakers into parts that are as much alike as they can be: each has about as many of every corpus.

    Args:
        examples: of the speakers; those of a corpus with one group of speakers are in no part.
        parts: how many.
        groups: {speaker: group} of `group_speakers`; whole groups stay together.

    Returns:
        The speakers of each part, without parts that would be empty.

    >>> part_speakers([Example("1.wav", "anger", "ann", "c"), Example("2.wav", "anger", "bob", "c")], 3)
    [{'ann'}, {'bob'}]
    """
    group_of = groups or {}
    speakers: dict[str, set[str]] = defaultdict(set)
    home: dict[str, str] = {}
    for example in examples:
        group = group_of.get(example.speaker, example.speaker)
        speakers[group].add(example.speaker)
        # A group that speaks in two corpora counts for the first one.
        home.setdefault(group, example.corpus)
    divided: list[set[str]] = [set() for _ in range(parts)]
    for corpus in sorted(set(home.values())):
        own = sorted(group for group in home if home[group] == corpus)
        for place, group in enumerate(own if len(own) > 1 else ()):
            divided[place % parts] |= speakers[group]
    return [part for part in divided if part]


def report_leaks(
    split: Split,
    hashes: Mapping[str, str] | None = None,
    near_copies: Iterable[NearCopy] = (),
    left_out: Iterable[str] = (),
) -> LeakReport:
    """Look for speakers and recordings that two sides share.

    Args:
        split: to look at.
        hashes: {path: hash of its audio}; without it only speakers are compared.
        near_copies: pairs of files that are the same sound, one pair for any number of identical files.
        left_out: sentences on recordings that could not be compared, to be passed on.
    """
    sides_of: dict[str, set[str]] = defaultdict(set)
    files_of: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for side, examples in split.parts.items():
        for example in examples:
            path = str(example.path)
            sides_of[example.speaker].add(side)
            digest = (hashes or {}).get(path)
            if digest is not None:
                files_of[digest][side].append(path)
    recordings, within = _identical(files_of)
    pairs = []
    for pair in near_copies:
        apart, together = _lying(pair, files_of, hashes or {})
        pairs += [apart] if apart else []
        within += [f"{together}, both in one side"] if together else []
    return LeakReport(
        {name: tuple(sorted(sides)) for name, sides in sorted(sides_of.items()) if len(sides) > 1},
        recordings,
        tuple(pairs),
        tuple(within),
        tuple(left_out),
        hashes is not None,
    )


def _identical(files_of: Mapping[str, Mapping[str, list[str]]]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """{hash: one file of each side} where there are several sides, and sentences on the copies of one side."""
    across = {
        digest: tuple(sorted(files[0] for files in sides.values()))
        for digest, sides in sorted(files_of.items())
        if len(sides) > 1
    }
    within = [
        f"{' and '.join(sorted(files))} are identical, all in {side}"
        for sides in files_of.values()
        for side, files in sides.items()
        if len(files) > 1
    ]
    return across, within


def _lying(
    pair: NearCopy, files_of: Mapping[str, Mapping[str, list[str]]], hashes: Mapping[str, str]
) -> tuple[NearCopy | None, NearCopy | None]:
    """The pair as it lies on two sides, with them named, or as it lies on one; None for what it does not do."""
    first, second = (files_of.get(hashes.get(path, ""), {}) for path in (pair.first, pair.second))
    for side, files in first.items():
        for other_side, others in second.items():
            if side != other_side:
                named = NearCopy(f"{files[0]} ({side})", f"{others[0]} ({other_side})", pair.difference)
                return named, None
    return None, pair if first and second else None
