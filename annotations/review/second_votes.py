"""A first vote on a new clip, or another one on a doubtful clip: by the certainty of their labels so far.

`label_certainty` is pure; `new_and_doubtful` reads answers and votes on a connection.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Connection

import numpy as np
import numpy.typing as npt

from annotations.labels.label_set import LabelSet
from annotations.labels.stored import read_label_set

Numbers = npt.NDArray[np.float64]

LEAST_WEIGHT = 0.01
"""Of the model and of a rater who agrees with the others no more than the commonest label does."""

FEW_SHARED = 5
"""Clips of several votes under which raters are held against the model in place of each other."""

GUESSED_AGREEMENT = 0.6
"""Agreement of raters as long as no clips of several votes tell it: about that of CREMA-D's listeners on six emotions
(`crowd-votes`), rounded up as most tasks are easier."""

HIGHEST = 0.98


@dataclass(frozen=True)
class GivenVote:
    """A vote on one of the clips.

    Attributes:
        row: of the clip.
        rater: any number, the same for all votes of a person.
        label: place of the label.
    """

    row: int
    rater: int
    label: int


def label_certainty(probabilities: Numbers, votes: Sequence[GivenVote]) -> Numbers:
    """Certainty of each clip's label if one more rater of average worth were to vote: lower ones are worth more.

    The model and each rater speak with a weight: how much better than the commonest label they agree with the votes'
    consensus, the model's times the root of the votes a clip. A vote gives its label the raters' mean agreement and
    shares the rest evenly; the clip's label is the one with the largest weighted sum, and its share, with one more
    even vote, the certainty. Clips without a vote are measured alike, so that a first vote on a new clip and a second
    one on a doubtful clip compare.
    Source: Goh & Mueller 2023, "ActiveLab: Active Learning with Re-Labeling by Humans",
    https://arxiv.org/abs/2301.11856, sections 3 and 4

    Args:
        probabilities: of the model, shape (clips, labels).
        votes: on some of the clips.
    """
    clips, labels = probabilities.shape
    counts = np.zeros((clips, labels))
    for vote in votes:
        counts[vote.row, vote.label] += 1
    given = counts.sum(1)
    # The model breaks a tie of the votes.
    consensus = (counts + 1e-3 * probabilities).argmax(1)
    voted = np.flatnonzero(given)
    if not len(voted):
        return np.asarray(probabilities.max(1))
    commonest = np.bincount(consensus[voted]).max() / len(voted)

    def weight(agreement: float) -> float:
        return max(1 - (1 - agreement) / max(1 - commonest, 1e-3), LEAST_WEIGHT)

    shared = np.flatnonzero(given > 1)
    known = len(shared) >= FEW_SHARED
    agreement = float(np.mean(counts[shared, consensus[shared]] / given[shared])) if known else GUESSED_AGREEMENT
    agreement = min(max(agreement, 1 / labels + 0.05), HIGHEST)
    said = probabilities.argmax(1)
    right = consensus if known else said
    raters = {vote.rater for vote in votes}
    weights = {rater: weight(_agreement(rater, votes, right, given, known, agreement)) for rater in raters}
    model = weight(float((said == consensus)[voted].mean())) * np.sqrt(given[voted].mean())
    sums, total = model * probabilities, np.full(clips, model)
    for vote in votes:
        spread = np.full(labels, (1 - agreement) / (labels - 1))
        spread[vote.label] = agreement
        sums[vote.row] += weights[vote.rater] * spread
        total[vote.row] += weights[vote.rater]
    another = float(np.mean(list(weights.values())))
    return np.asarray((sums.max(1) + another / labels) / (total + another))


def _agreement(
    rater: int, votes: Sequence[GivenVote], right: npt.NDArray[np.int64], given: Numbers, shared: bool, usual: float
) -> float:
    """Share of a rater's votes that agree, on clips of several votes if these count; the usual one without any."""
    counted = [vote for vote in votes if vote.rater == rater and (not shared or given[vote.row] > 1)]
    own = [vote.label == right[vote.row] for vote in counted]
    return float(np.mean(own)) if own else usual


def new_and_doubtful(connection: Connection, new: Sequence[int], doubtful: Sequence[int]) -> list[int]:
    """Merge clips without a vote and clips with some: a doubtful one comes where its label is less certain.

    Args:
        connection: to read answers and votes.
        new: ids, best first; their order is kept.
        doubtful: ids of clips with votes, in any order.
    """
    clips = [*new, *doubtful]
    certainty = label_certainty(*_known(connection, read_label_set(connection), clips))
    first, again = certainty[: len(new)], certainty[len(new) :]
    waiting = [(float(again[row]), doubtful[row]) for row in np.argsort(again, kind="stable").tolist()]
    merged: list[int] = []
    for clip, value in zip(new, first.tolist(), strict=True):
        while waiting and waiting[0][0] < value:
            merged.append(waiting.pop(0)[1])
        merged.append(clip)
    return merged + [clip for _, clip in waiting]


def _known(connection: Connection, labels: LabelSet, clips: Sequence[int]) -> tuple[Numbers, list[GivenVote]]:
    """Probabilities of the newest answers, even ones where there is none, and the standing votes that name a label."""
    rows, marks = {clip: row for row, clip in enumerate(clips)}, ",".join("?" * len(clips))
    names = labels.names
    probabilities = np.full((len(clips), len(names)), 1 / len(names))
    answers = connection.execute(
        "SELECT queue_clips.clip_id, scores FROM queue_clips JOIN predictions ON predictions.id = prediction_id "
        f"WHERE queue_clips.clip_id IN ({marks})",
        clips,
    )
    for clip, scores in answers:
        mapped = labels.scores(json.loads(scores)["fused"])
        shares = np.array([mapped.get(name) or 0.0 for name in names])
        if shares.sum() > 0:
            probabilities[rows[clip]] = shares / shares.sum()
    given = connection.execute(
        f"SELECT clip_id, rater, label FROM judgements WHERE label IS NOT NULL AND clip_id IN ({marks})", clips
    ).fetchall()
    raters = {rater: number for number, rater in enumerate(sorted({row["rater"] for row in given}))}
    places = [(row, labels.place_of(row["label"])) for row in given]
    votes = [
        GivenVote(rows[row["clip_id"]], raters[row["rater"]], names.index(place))
        for row, place in places
        if place is not None
    ]
    return probabilities, votes
