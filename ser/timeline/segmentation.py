"""The likeliest division of a passage into runs of phrases with one feeling each. Pure.

Frames of one clip know of each other through the encoder's attention, so that statistics over a part of a window lean
to what the rest of the window is. Each run is therefore asked about as a clip of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser.types import SAMPLING_RATE, Audio, EmotionScores, Signal, SpeechRegion

DIP = 0.05
"""Seconds of a frame; speech without a pause is divided at its quietest one."""

Run = tuple[int, int]
"""Number of the first phrase, and of the one after the last."""


@dataclass(frozen=True)
class SegmentationConfig:
    """Limits of the search in seconds and its costs in nats.

    The defaults were chosen on joined clips of dev speakers (benchmarks/README.md, "Timeline").

    Attributes:
        longest_phrase: longer regions of speech are divided where they are quietest.
        shortest_phrase: shorter ones are joined to the nearest, if that is within `max_pause`.
        longest_run: that is asked about as a whole; longer regions of one feeling are several runs.
        most_phrases: of a run, which bounds the work.
        max_pause: silence within a run, and within a region of one feeling.
        run_cost: of each run.
        neutral_odds: factor on the odds of neutral before the others: most speech of a recording is neutral.
        contrast: nats between the phrases that are more and less neutral, at which a passage's own odds of neutral
            begin to count, and count in full.
        least_neutral: share of the more neutral phrases from which they are taken for neutral.
        max_neutral_odds: greatest factor of a passage.
        temperature: of the probabilities in the search: those of short runs are surer than they are right.
    """

    longest_phrase: float = 1.5
    shortest_phrase: float = 0.4
    longest_run: float = 4.0
    most_phrases: int = 4
    max_pause: float = 1.0
    run_cost: float = 0.05
    neutral_odds: float = 4.0
    contrast: tuple[float, float] = (1.0, 3.0)
    least_neutral: float = 0.4
    max_neutral_odds: float = 200.0
    temperature: float = 10.0


class Answer(NamedTuple):
    """The acoustic model's answer to a run: scores, novelty (1 at the limit of what is known), and if it is speech."""

    scores: EmotionScores
    novelty: float | None = None
    is_speech: bool = True


@dataclass(frozen=True)
class FeltSpan:
    """Speech with one feeling; start and end in seconds."""

    start: float
    end: float
    scores: EmotionScores
    novelty: float | None


def cut_phrases(audio: Audio, speech: Sequence[SpeechRegion], config: SegmentationConfig) -> list[SpeechRegion]:
    """Divide long regions of speech where they are quietest, and join short ones to a neighbour."""
    levels = _levels(audio.signal)
    waiting, phrases = list(reversed(speech)), list[SpeechRegion]()
    while waiting:
        region = waiting.pop()
        if region.end - region.start <= config.longest_phrase:
            phrases.append(region)
            continue
        first = math.ceil((region.start + config.shortest_phrase) / DIP)
        last = max(first + 1, math.floor((region.end - config.shortest_phrase) / DIP))
        middle = (first + int(np.argmin(levels[first:last])) + 0.5) * DIP
        waiting += [SpeechRegion(middle, region.end), SpeechRegion(region.start, middle)]
    at = 0
    while at < len(phrases):
        gaps = {at - 1: phrases[at].start - phrases[at - 1].end if at else math.inf}
        gaps[at] = phrases[at + 1].start - phrases[at].end if at + 1 < len(phrases) else math.inf
        left = min(gaps, key=lambda place: gaps[place])
        if phrases[at].end - phrases[at].start < config.shortest_phrase and gaps[left] <= config.max_pause:
            phrases[left : left + 2] = [SpeechRegion(phrases[left].start, phrases[left + 1].end)]
            at = left
        else:
            at += 1
    return phrases


def _levels(signal: Signal) -> npt.NDArray[np.float64]:
    """Mean squares of frames of `DIP` seconds, each with half of both neighbours."""
    size = round(DIP * SAMPLING_RATE)
    frames = np.pad(signal, (0, -len(signal) % size)).reshape(-1, size)
    return np.convolve(np.square(frames, dtype=np.float64).mean(axis=1), [0.25, 0.5, 0.25], mode="same")


def list_runs(phrases: Sequence[SpeechRegion], config: SegmentationConfig) -> list[Run]:
    """Runs of neighbouring phrases that may be of one feeling; every phrase alone is one."""
    runs = []
    for first, phrase in enumerate(phrases):
        for last in range(first + 1, min(first + config.most_phrases, len(phrases)) + 1):
            end = phrases[last - 1]
            pause = end.start - phrases[last - 2].end if last > first + 1 else 0.0
            if last > first + 1 and (end.end - phrase.start > config.longest_run or pause > config.max_pause):
                break
            runs.append((first, last))
    return runs


def segment(
    phrases: Sequence[SpeechRegion],
    answers: Mapping[Run, Answer],
    config: SegmentationConfig,
) -> list[FeltSpan]:
    """Find the runs whose labels have the greatest sum of log probabilities, weighted by seconds, less a cost for each.

    Args:
        phrases: of a passage, in order.
        answers: to each of `list_runs`.
        config: the limits and the cost.

    Returns:
        Spans that hold all phrases but those that are no speech; neighbours differ in their labels, or lie apart.
    """
    odds = adapted_odds(phrases, answers, config)
    logs = {run: _log_probabilities(scores, odds) for run, (scores, *_) in answers.items()}
    # Of each phrase's beginning: the best total that the runs before it can have, and where the last of them begins.
    best, begins = [0.0], [0]
    for last in range(1, len(phrases) + 1):
        totals = {
            first: best[first] + _seconds(phrases, (first, last)) * _tempered(logs[first, last], config).max()
            for first in range(max(0, last - config.most_phrases), last)
            if (first, last) in logs
        }
        begins.append(max(totals, key=lambda first: totals[first]))
        best.append(totals[begins[-1]] - config.run_cost)
    path, last = list[tuple[Run, int]](), len(phrases)
    while last > 0:
        run = (begins[last], last)
        path.append((run, int(logs[run].argmax())))
        last = run[0]
    spoken = [(run, label) for run, label in path[::-1] if answers[run].is_speech]
    return [_join(group, phrases, answers, logs) for group in _groups(spoken, phrases, config.max_pause)]


def adapted_odds(phrases: Sequence[SpeechRegion], answers: Mapping[Run, Answer], config: SegmentationConfig) -> float:
    """The factor on the odds of neutral in a passage, where voices differ in what the model takes for neutral.

    Phrases are parted in two by their odds of neutral, where the variance between both parts is greatest. If they stand
    apart, the border between neutral and a feeling is moved towards the middle between them. A passage of one feeling
    has no such parts, and keeps the usual odds.
    Source: Otsu 1979, "A threshold selection method from gray-level histograms", 10.1109/TSMC.1979.4310076
    """
    single = np.array(
        [_neutral_of(scores := answers[at, at + 1].scores) @ scores.probabilities for at in range(len(phrases))]
    )
    odds = np.log(np.clip(single, 1e-6, 1 - 1e-6) / (1 - np.clip(single, 1e-6, 1 - 1e-6)) * config.neutral_odds)
    order = np.argsort(odds)
    levels, seconds = odds[order], np.array([phrase.end - phrase.start for phrase in phrases])[order]
    if len(levels) < 2:
        return config.neutral_odds
    below, sums = np.cumsum(seconds)[:-1], np.cumsum(seconds * levels)[:-1]
    above = seconds.sum() - below
    low, high = sums / below, (seconds @ levels - sums) / above
    at = int(np.argmax(below * above * (high - low) ** 2))
    first, full = config.contrast
    share = min(max((high[at] - low[at] - first) / (full - first), 0.0), 1.0)
    if above[at] < config.least_neutral * seconds.sum():
        share = 0.0
    moved = config.neutral_odds * math.exp(share * max(0.0, -(low[at] + high[at]) / 2))
    return min(moved, max(config.max_neutral_odds, config.neutral_odds))


def _log_probabilities(scores: EmotionScores, neutral_odds: float) -> npt.NDArray[np.float64]:
    powers = np.maximum(scores.probabilities, 1e-6)
    powers[_neutral_of(scores)] *= neutral_odds
    return np.asarray(np.log(powers / powers.sum()))


def _neutral_of(scores: EmotionScores) -> npt.NDArray[np.bool_]:
    """The labels that mean neutral and nothing else: one of the seven, any number of a model's own."""
    return np.array([tuple(scores.means.get(label, (label,))) == ("neutral",) for label in scores.labels])


def with_shares(scores: EmotionScores, powers: npt.NDArray[np.float64]) -> EmotionScores:
    """Scores over the same labels with other probabilities, brought to a sum of 1; without what else they hold."""
    return EmotionScores(tuple((powers / powers.sum()).tolist()), labels=scores.labels, means=scores.means)


def _tempered(logs: npt.NDArray[np.float64], config: SegmentationConfig) -> npt.NDArray[np.float64]:
    powers = logs / config.temperature
    return np.asarray(powers - np.log(np.exp(powers).sum()))


def _seconds(phrases: Sequence[SpeechRegion], run: Run) -> float:
    return sum(phrase.end - phrase.start for phrase in phrases[run[0] : run[1]])


def _groups(
    path: Sequence[tuple[Run, int]], phrases: Sequence[SpeechRegion], max_pause: float
) -> list[list[tuple[Run, int]]]:
    """Neighbouring runs of one label without a long pause between them."""
    groups: list[list[tuple[Run, int]]] = []
    for run, label in path:
        before = groups[-1][-1] if groups else None
        if before and before[1] == label and phrases[run[0]].start - phrases[before[0][1] - 1].end <= max_pause:
            groups[-1].append((run, label))
        else:
            groups.append([(run, label)])
    return groups


def _join(
    group: Sequence[tuple[Run, int]],
    phrases: Sequence[SpeechRegion],
    answers: Mapping[Run, Answer],
    logs: Mapping[Run, npt.NDArray[np.float64]],
) -> FeltSpan:
    """One span of several runs; its scores are their geometric mean weighted by seconds."""
    weights = np.array([_seconds(phrases, run) for run, _ in group])
    powers = np.exp(weights / weights.sum() @ np.array([logs[run] for run, _ in group]))
    novelties = [answers[run].novelty for run, _ in group]
    known = [value for value in novelties if value is not None]
    novelty = float(np.average(known, weights=weights)) if len(known) == len(group) else None
    scores = with_shares(answers[group[0][0]].scores, powers)
    return FeltSpan(phrases[group[0][0][0]].start, phrases[group[-1][0][1] - 1].end, scores, novelty)
