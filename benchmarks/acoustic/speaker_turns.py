"""Joined clips of several speakers who take turns, and the diarisation error rate of what is told apart."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.acoustic.joined_clips import SILENCE, Span
from ser.audio.decoding import decode_file
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.protocols import SpeechDetector
from ser.types import Audio, SpeechRegion

TURNS = {1: 6, 2: 8, 3: 9}
"""Turns of a conversation by its speakers; each is of one or two clips, of whatever emotion."""

COLLAR = 0.25
"""Seconds at either side of a border that are left out, as NIST's scorer does."""


@dataclass(frozen=True, eq=False)
class Conversation:
    """Speakers who take turns.

    Attributes:
        audio: of the whole.
        spans: of speech, with the speaker in place of a label.
        speakers: how many there are.
        sex: `same` or `mixed`.
        corpus: that they are of.
    """

    audio: Audio
    spans: tuple[Span, ...]
    speakers: int
    sex: str
    corpus: str


def draw_conversations(
    folder: Path,
    speakers: Collection[str],
    kinds: Sequence[tuple[int, str]],
    draws: int,
    detector: SpeechDetector,
    seed: int,
) -> list[Conversation]:
    """Draw conversations of a corpus; kinds that it has too few speakers for are left out.

    Args:
        folder: of the corpus.
        speakers: who may speak.
        kinds: how many speakers, and `same` or `mixed` sex.
        draws: of each kind.
        detector: finds the speech that clips are cut around.
        seed: of the draws.

    Raises:
        TrainingDataError: if none can be drawn.
    """
    paths, sexes = defaultdict[str, list[Path]](list), dict[str, str]()
    for example in load_corpus(folder):
        if example.speaker in speakers and example.gender:
            paths[example.speaker].append(example.path)
            sexes[example.speaker] = example.gender
    generator = np.random.default_rng(seed)
    drawn = []
    for count, sex in kinds:
        for _ in range(draws):
            chosen = _choose(sexes, count, sex, generator)
            if chosen:
                spans, audio = _talk([(name, paths[name]) for name in chosen], detector, generator)
                drawn.append(Conversation(audio, spans, count, sex, folder.name))
    if not drawn:
        raise TrainingDataError(f"{folder} has too few of the speakers {', '.join(sorted(speakers)[:6])}.")
    return drawn


def _choose(sexes: dict[str, str], count: int, sex: str, generator: np.random.Generator) -> list[str]:
    groups = [sorted(name for name in sexes if sexes[name] == one) for one in ("female", "male")]
    if sex == "mixed":
        if not all(groups) or sum(map(len, groups)) < count:
            return []
        first = [str(generator.choice(group)) for group in groups]
        rest = sorted(set(sexes) - set(first))
        return [*first, *map(str, generator.choice(rest, count - 2, replace=False))]
    able = [group for group in groups if len(group) >= count]
    return list(map(str, generator.choice(able[generator.integers(len(able))], count, replace=False))) if able else []


def _talk(
    people: Sequence[tuple[str, Sequence[Path]]], detector: SpeechDetector, generator: np.random.Generator
) -> tuple[tuple[Span, ...], Audio]:
    parts, spans, time, last = list[Audio](), list[Span](), 0.0, -1
    for turn in range(TURNS[len(people)]):
        others = [person for person in range(len(people)) if person != last or len(people) == 1]
        last = turn if turn < len(people) else int(generator.choice(others))
        name, clips = people[last]
        for _ in range(int(generator.integers(1, 3))):
            clip = decode_file(clips[int(generator.integers(len(clips)))])
            speech = detector.detect(clip) or (SpeechRegion(0.0, clip.duration),)
            before, after = (float(seconds) for seconds in generator.uniform(*SILENCE, 2))
            start = max(0.0, speech[0].start - before)
            parts.append(clip.crop(start, speech[-1].end + after))
            spans += [(time + region.start - start, time + region.end - start, name) for region in speech]
            time += parts[-1].duration
    return tuple(spans), Audio(np.concatenate([part.signal for part in parts]))


def speaker_error(reference: Sequence[Span], found: Sequence[Span], collar: float = 0.0) -> float:
    """Diarisation error rate: misses, false alarms and confusions as a share of the reference speech.

    Found speakers are matched with true ones so that the error is least. Nobody speaks at the same time as another.

    >>> speaker_error([(0.0, 2.0, "a"), (2.0, 4.0, "b")], [(0.0, 3.0, "x"), (3.0, 4.0, "y")])
    0.25
    """
    edges = [time for span in reference for time in span[:2]]
    cuts = [*edges, *(time for span in found for time in span[:2])]
    times = np.unique([*cuts, *(edge + shift for edge in edges for shift in (-collar, collar))])
    middles, lengths = (times[:-1] + times[1:]) / 2, np.diff(times)
    if collar:
        lengths = lengths * (np.abs(middles[:, None] - np.array(edges)).min(1) > collar)
    true, told = ([_who(spans, at) for at in middles] for spans in (reference, found))
    names = [sorted({who for who in side if who}) for side in (true, told)]
    shared = np.zeros([max(1, len(side)) for side in names])
    for one, other, length in zip(true, told, lengths, strict=True):
        if one and other:
            shared[names[0].index(one), names[1].index(other)] += length
    matches = {names[1][b]: names[0][a] for a, b in zip(*linear_sum_assignment(-shared), strict=True) if names[1]}
    wrong = sum(
        length
        for one, other, length in zip(true, told, lengths, strict=True)
        if (one or other) and (other is None or matches.get(other, "") != one)
    )
    return float(wrong / sum(length for one, length in zip(true, lengths, strict=True) if one))


def _who(spans: Sequence[Span], time: float) -> str | None:
    return next((name for start, end, name in spans if start <= time < end), None)
