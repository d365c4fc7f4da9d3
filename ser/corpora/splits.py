"""Speaker-disjoint splits, and leaks between their parts. Pure: reads and trains nothing."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ser.errors import TrainingDataError
from ser.types import Example


@dataclass(frozen=True)
class Split:
    """Examples divided so that no speaker is in two parts."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]

    @property
    def parts(self) -> dict[str, tuple[Example, ...]]:
        """The parts by name."""
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
    """Speakers and recordings that two parts of a split share.

    Attributes:
        speakers: {speaker: the parts they are in}.
        recordings: {hash of the audio: the files in more than one part}.
        near_copies: pairs in two parts that are the same sound; each says which file is in which part.
        within: sentences on copies that lie in one part, where they leak nothing.
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
        """True if nothing leaks."""
        return not self.speakers and not self.recordings and not self.near_copies

    @property
    def leaks(self) -> tuple[str, ...]:
        """Each leak as half a sentence."""
        return (
            *(f"speaker {name} is in {' and '.join(parts)}" for name, parts in self.speakers.items()),
            *(f"the same audio is in {' and '.join(files)}" for files in self.recordings.values()),
            *(str(pair) for pair in self.near_copies),
        )

    def __str__(self) -> str:
        if self.clean:
            return "No speaker and no recording is in two parts." if self.compared else "No speaker is in two parts."
        return f"{len(self.leaks)} leak(s): " + "; ".join(self.leaks) + "."


def require_speakers(examples: Sequence[Example], named: Collection[str]) -> None:
    """Refuse names that no example has.

    Raises:
        TrainingDataError: naming them, and some of the speakers that there are.
    """
    speakers = {example.speaker for example in examples}
    absent = sorted(set(named) - speakers)
    if absent:
        more = " ..." if len(speakers) > 12 else ""
        known = ", ".join(sorted(speakers)[:12])
        raise TrainingDataError(f"There is no speaker {', '.join(absent)} in the data. It has {known}{more}.")


def split_by_speaker(
    examples: Sequence[Example],
    *,
    test_speakers: Collection[str] = (),
    dev_speakers: Collection[str] = (),
) -> Split:
    """Divide by named speakers; all others train.

    Raises:
        TrainingDataError: if a speaker is named for both.
    """
    both = sorted(set(test_speakers) & set(dev_speakers))
    if both:
        raise TrainingDataError(f"{', '.join(both)}: named for dev and for test. A speaker can be in one part only.")
    parts: dict[str, list[Example]] = {"train": [], "dev": [], "test": []}
    for example in examples:
        part = "test" if example.speaker in test_speakers else "dev" if example.speaker in dev_speakers else "train"
        parts[part].append(example)
    return Split(tuple(parts["train"]), tuple(parts["dev"]), tuple(parts["test"]))


def group_speakers(
    examples: Sequence[Example], hashes: Mapping[str, str], near_copies: Iterable[NearCopy] = ()
) -> dict[str, str]:
    """Join the speakers whose files hold the same recording: they belong in one part.

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
    speakers = sorted({example.speaker for example in examples})
    place = {speaker: number for number, speaker in enumerate(speakers)}
    speakers_of: dict[str, list[int]] = defaultdict(list)
    for example in examples:
        path = str(example.path)
        speakers_of[hashes.get(path, path)].append(place[example.speaker])
    joined = [(some[0], other) for some in speakers_of.values() for other in some[1:]]
    for pair in near_copies:
        first, second = (speakers_of.get(hashes.get(path, path)) for path in (pair.first, pair.second))
        joined += [(first[0], second[0])] if first and second else []
    rows, columns = np.array(joined, dtype=np.int64).reshape(-1, 2).T
    links = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(speakers), len(speakers)))
    groups = connected_components(links, directed=False)[1].tolist()
    return {speaker: speakers[groups.index(group)] for speaker, group in zip(speakers, groups, strict=True)}


def draw_dev_speakers(
    examples: Sequence[Example], share: float, seed: int, groups: Mapping[str, str] | None = None
) -> set[str]:
    """Draw speakers for the dev part, about `share` of the clips of each corpus that has two speakers or more.

    At least one speaker of each corpus stays for training, unless a recording joins all of them to another corpus's.

    Args:
        examples: to draw from.
        share: of the clips, 0 to 1.
        seed: of the draw.
        groups: {speaker: group} of `group_speakers`; whole groups are drawn.

    Returns:
        Speakers; empty if no corpus has two.
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


def report_leaks(
    split: Split,
    hashes: Mapping[str, str] | None = None,
    near_copies: Iterable[NearCopy] = (),
    left_out: Iterable[str] = (),
) -> LeakReport:
    """Look for speakers and recordings that two parts share.

    Args:
        split: to look at.
        hashes: {path: hash of its audio}; without it only speakers are compared.
        near_copies: pairs of files that are the same sound, one pair for any number of identical files.
        left_out: sentences on recordings that could not be compared, to be passed on.
    """
    parts_of: dict[str, set[str]] = defaultdict(set)
    files_of: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for part, examples in split.parts.items():
        for example in examples:
            path = str(example.path)
            parts_of[example.speaker].add(part)
            digest = (hashes or {}).get(path)
            if digest is not None:
                files_of[digest][part].append(path)
    recordings, within = _identical(files_of)
    pairs = []
    for pair in near_copies:
        apart, together = _lying(pair, files_of, hashes or {})
        pairs += [apart] if apart else []
        within += [f"{together}, both in one part"] if together else []
    return LeakReport(
        {name: tuple(sorted(parts)) for name, parts in sorted(parts_of.items()) if len(parts) > 1},
        recordings,
        tuple(pairs),
        tuple(within),
        tuple(left_out),
        hashes is not None,
    )


def _identical(files_of: Mapping[str, Mapping[str, list[str]]]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Find equal files: {hash: one file of each part}, if in several parts, and sentences on copies within a part."""
    across = {
        digest: tuple(sorted(files[0] for files in parts.values()))
        for digest, parts in sorted(files_of.items())
        if len(parts) > 1
    }
    within = [
        f"{' and '.join(sorted(files))} are identical, all in {part}"
        for parts in files_of.values()
        for part, files in parts.items()
        if len(files) > 1
    ]
    return across, within


def _lying(
    pair: NearCopy, files_of: Mapping[str, Mapping[str, list[str]]], hashes: Mapping[str, str]
) -> tuple[NearCopy | None, NearCopy | None]:
    """The pair with its parts named if it lies in two, and the pair as it is if it lies in one; else None."""
    first, second = (files_of.get(hashes.get(path, ""), {}) for path in (pair.first, pair.second))
    for part, files in first.items():
        for other_part, others in second.items():
            if part != other_part:
                named = NearCopy(f"{files[0]} ({part})", f"{others[0]} ({other_part})", pair.difference)
                return named, None
    return None, pair if first and second else None
