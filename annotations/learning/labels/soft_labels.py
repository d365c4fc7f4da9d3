"""Soft labels and sample weights from the votes of all raters.

Votes in, labels and weights out; one function reads them from a store or a snapshot. Knows no model.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import numpy.typing as npt

from annotations.labels.stored import label_set
from annotations.learning.labels.acoustic_consensus import estimate_truth
from annotations.raters import consensus
from annotations.raters.consensus import Priors, Votes
from annotations.raters.reliability import UNSURE_WEIGHT, to_soft_label
from annotations.raters.votes import effective_corrections, gold_labels
from annotations.store import AnnotationStore
from annotations.store.records import Correction
from ser.labels import EMOTIONS

Numbers = npt.NDArray[np.float64]

ACCEPT_WEIGHT = 0.5
"""Weight of a vote that accepts an answer its rater saw before: people tend to agree with an answer they see.

Source of the tendency: Nickerson 1998, "Confirmation Bias", Review of General Psychology 2(2),
https://doi.org/10.1037/1089-2680.2.2.175; the value is a choice."""

MOST_TRUST = 0.7
"""Largest share of the fitted model in a soft label; the rest are the votes' own shares."""

KNOWN_AT = 20.0
"""Votes of a rater at which what is fitted about them counts half of that."""

ACOUSTIC_WEIGHT = 0.8
"""The same share if embeddings are known too; chosen on simulated raters of nEMO."""

EXPONENT = 4.0
"""Power to which the shares of a clip are raised that votes and sound speak of together: most of what is not the
likeliest label is what raters fall back on, neutral above all. Labels of equal shares keep them. Measured:
benchmarks/README.md"""

PRIORS = (Priors(evenness=0.3), Priors(evenness=1.0))
"""Labels of uneven and of even shares, averaged: the one takes rare labels for mistakes if clips have few
votes, the other takes votes for a common label for missed ones. `MOST_TRUST`, `KNOWN_AT` and these were chosen on
simulated listeners (`benchmarks.raters`)."""


@dataclass(frozen=True)
class Ballots:
    """The votes behind an `Evidence`.

    Attributes:
        clips: ids, ascending.
        columns: the votes, clips by their place in `clips`.
        known: the known label of each clip, -1 where it is not known.
        raters: how many there are.
        labels: soft labels as `Evidence` has them, shape (clips, labels).
        names: of the labels.
    """

    clips: tuple[int, ...]
    columns: Votes
    known: consensus.Codes
    raters: int
    labels: Numbers
    names: Sequence[str] = EMOTIONS


@dataclass(frozen=True)
class Evidence:
    """Soft labels and weights of some clips.

    Attributes:
        soft_labels: {clip: {label: share}}, shares sum to 1; only clips with a vote that names a label.
        weights: {clip: 0..1} of the same clips.
        raters: {rater: how often they are right, 0..1}.
        ballots: the votes that it rests on; None without any.
    """

    soft_labels: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    weights: Mapping[int, float] = field(default_factory=dict)
    raters: Mapping[str, float] = field(default_factory=dict)
    ballots: Ballots | None = None


def read_evidence(store: AnnotationStore, clips: Iterable[int]) -> Evidence:
    """Aggregate all raters' standing votes on some clips; gold clips inform the raters' reliability.

    Args:
        store: to read, or a snapshot of it.
        clips: ids; votes on others are left alone, as held-out clips must not train.
    """
    gold = gold_labels(store)
    wanted = {*clips, *gold}
    votes = [vote for vote in effective_corrections(store) if vote.clip_id in wanted]
    return weigh_votes(votes, gold, label_set(store).names)


def weigh_votes(
    votes: Sequence[Correction], gold: Mapping[int, str] | None = None, labels: Sequence[str] = EMOTIONS
) -> Evidence:
    """Put votes together, raters who are right more often counting more.

    The label is a mixture of the votes' shares, each weighted by its rater's reliability, and of the answer of a fitted
    model of all raters (`annotations.raters.consensus`), which weighs more with more votes on the
    clip and with better known raters: that model finds more where clips have many votes, and errs if they have few.

    Args:
        votes: standing ones, one of a rater on a clip; skips are ignored, unsure ones lower the clip's weight.
        gold: {clip: known label}; informs the reliability of the raters who labelled it.
        labels: of the store, in order.

    Returns:
        Labels and weights; gold clips have their known label.
    """
    gold = gold or {}
    given = [vote for vote in votes if vote.shares and vote.weight > 0]
    if not given:
        return Evidence()
    names = sorted({vote.rater for vote in given})
    clip_ids = sorted({vote.clip_id for vote in given})
    rater = np.array([names.index(vote.rater) for vote in given])
    place = np.searchsorted(clip_ids, [vote.clip_id for vote in given])
    shares = np.array([[vote.shares.get(label, 0.0) for label in labels] for vote in given])
    columns = Votes(place, rater, shares / shares.sum(1, keepdims=True), np.array([vote_weight(v) for v in given]))
    known = np.array([labels.index(gold[clip]) if clip in gold else -1 for clip in clip_ids])
    fits = [consensus.fit(columns, known, len(names), priors=priors) for priors in PRIORS]
    truth = np.mean([fitted.truth for fitted in fits], axis=0)
    reliability, trust = _reliability(truth, fits[-1].confusion)
    mixed = _mixed(columns, trust, truth)
    mixed[known >= 0] = np.eye(len(labels))[known[known >= 0]]
    weights = _clip_weights(votes, dict(zip(names, trust.tolist(), strict=True)))
    return Evidence(
        {clip: to_soft_label(row, labels) for clip, row in zip(clip_ids, mixed, strict=True)},
        {clip: weights[clip] for clip in clip_ids},
        dict(zip(names, reliability.tolist(), strict=True)),
        Ballots(tuple(clip_ids), columns, known, len(names), mixed, labels),
    )


def refine_soft_labels(evidence: Evidence, points: Mapping[int, npt.NDArray[np.floating]]) -> Evidence:
    """Refine soft labels by embeddings: clips that sound alike share their votes, if several people labelled each.

    A clip with a single vote keeps it: nobody but its rater can tell how good they are.

    Args:
        evidence: of the votes alone.
        points: {clip: its embedding as `acoustic_consensus.main_directions` gives it} of some or all of its clips.

    Returns:
        The same with other soft labels, sharper by `EXPONENT`; unchanged if too few clips have an embedding. See
        `annotations.learning.labels.acoustic_consensus`.
    """
    ballots = evidence.ballots
    if ballots is None or not points:
        return evidence
    nothing = np.full(len(next(iter(points.values()))), np.nan)
    rows = np.stack([points.get(clip, nothing) for clip in ballots.clips]).astype(np.float64)
    several = np.bincount(ballots.columns.clips, minlength=len(rows)) > 1
    weighted = several & np.isfinite(rows).all(1) & (ballots.known < 0)
    if not weighted.any():
        return evidence
    truth = estimate_truth(ballots.columns, ballots.known, ballots.raters, ballots.labels, rows)
    if truth is ballots.labels:
        return evidence
    share = np.where(weighted, ACOUSTIC_WEIGHT, 0.0)[:, None]
    labels = (1.0 - share) * ballots.labels + share * truth
    sharp = labels**EXPONENT
    labels = np.where(share > 0, sharp / sharp.sum(1, keepdims=True), labels)
    soft = {clip: to_soft_label(row, ballots.names) for clip, row in zip(ballots.clips, labels, strict=True)}
    return replace(evidence, soft_labels=soft)


def vote_weight(vote: Correction) -> float:
    """Compute the weight of a vote with a label: lower if its rater was hasty, unsure or accepted a visible answer."""
    weight = UNSURE_WEIGHT if vote.verdict == "unsure" else 1.0
    return vote.weight * weight * (ACCEPT_WEIGHT if vote.verdict == "accept" and vote.answer_shown else 1.0)


def balance(weights: Mapping[int, float], accepted: Iterable[int]) -> dict[int, float]:
    """Weigh clips that were only accepted so that all of them together do not count more than those corrected.

    A model that is trained mostly on its own answers stays as it is.

    Args:
        weights: {clip: weight}.
        accepted: clips whose every vote accepts an answer that was shown.

    >>> balance({1: 1.0, 2: 0.5, 3: 0.5, 4: 0.5, 5: 0.5}, [2, 3, 4, 5])
    {1: 1.0, 2: 0.25, 3: 0.25, 4: 0.25, 5: 0.25}
    """
    mere = set(accepted) & weights.keys()
    corrected = sum(weight for clip, weight in weights.items() if clip not in mere)
    repeated = sum(weights[clip] for clip in mere)
    factor = min(1.0, corrected / repeated) if corrected and repeated else 1.0
    return {clip: weight * factor if clip in mere else weight for clip, weight in weights.items()}


def _clip_weights(votes: Sequence[Correction], trust: Mapping[str, float]) -> dict[int, float]:
    of_clip: dict[int, list[Correction]] = defaultdict(list)
    unsure: Counter[int] = Counter()
    for vote in votes:
        if vote.shares and vote.weight > 0:
            of_clip[vote.clip_id].append(vote)
        elif vote.verdict == "unsure":
            unsure[vote.clip_id] += 1
    weights = {}
    for clip, given in of_clip.items():
        # One sure vote is enough for the whole weight; two that count half leave a quarter open.
        certainty = 1.0 - prod(1.0 - vote_weight(vote) * trust[vote.rater] for vote in given)
        weights[clip] = certainty * len(given) / (len(given) + UNSURE_WEIGHT * unsure[clip])
    accepted = [clip for clip, given in of_clip.items() if all(v.verdict == "accept" and v.answer_shown for v in given)]
    return balance(weights, accepted)


def _reliability(truth: Numbers, confusion: Numbers) -> tuple[Numbers, Numbers]:
    """Estimate each rater's accuracy and the weight that follows from it, 0..1; each of shape (raters,)."""
    # A label that hardly any clip has says nothing of a rater: there only the prior would speak.
    occurs = truth.sum(0) >= min(1.0, truth.sum(0).max())
    right = np.diagonal(confusion, axis1=1, axis2=2)[:, occurs].mean(1)
    if occurs.sum() < 2:
        return right, np.ones(len(right))
    above = np.maximum(right - 1.0 / occurs.sum(), 0.01)
    return right, above / above.max()


def _mixed(votes: Votes, trust: Numbers, truth: Numbers) -> Numbers:
    """Soft labels, shape (clips, labels)."""
    own = np.zeros_like(truth)
    np.add.at(own, votes.clips, votes.shares * (votes.weights * trust[votes.raters])[:, None])
    own /= own.sum(1, keepdims=True)
    per_clip = np.bincount(votes.clips, minlength=len(truth))
    of_rater = np.bincount(votes.raters)[votes.raters]
    experience = np.bincount(votes.clips, of_rater / (of_rater + KNOWN_AT), minlength=len(truth)) / per_clip
    share = (MOST_TRUST * (1.0 - 1.0 / per_clip) * experience)[:, None]
    return np.asarray((1.0 - share) * own + share * truth)
