"""Soft labels of clips with a single vote: as far as raters turn out to be as unsure as listeners usually are.

Nobody else says if a lone vote is right, but a model that was trained elsewhere knows a little of it. A careful rater's
votes are likelier if they are taken as they are; those of people who are right every other time, and say
neutral when in doubt, are likelier if that is taken into account. Pure.
"""

import numpy as np
import numpy.typing as npt

from ser.labels import EMOTIONS

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

HIT, NEUTRAL = 0.45, 0.3
"""Share of votes for the right label and for neutral among listeners to the voice alone; near those of CREMA-D's
listeners, 0.41 and 0.38 (Cao et al. 2014, "CREMA-D", https://doi.org/10.1109/TAFFC.2014.2336244)."""

SLIP = 0.03
"""Share of slips of a careful rater, spread over all labels."""

DOUBTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Ways from a careful rater to such a listener."""

POWERS = (0.25, 0.5, 0.75, 1.0)
"""Powers of the model's probabilities, of which the votes choose one: on another corpus it is too sure."""

KNOWN_AT = 20.0
"""Votes that all raters together count as for each of them."""

FEWEST = 40
"""Fewest votes: with fewer they are taken as they are."""

EVENNESS, ROUNDS = 0.5, 10
"""Imagined clips of all labels alike for each real one, and steps, in which label shares are found."""


def weigh_single_votes(logs: Numbers, votes: Numbers, raters: Codes) -> Numbers:
    """Soft labels of clips with a single vote each.

    Source: Dawid & Skene 1979, "Maximum Likelihood Estimation of Observer Error-Rates", Applied Statistics 28(1); here
    between two given confusions, and with what a model expects of each clip, as Raykar et al. 2010, "Learning from
    Crowds", JMLR 11.

    Args:
        logs: log probabilities by a model that was not trained on these votes, shape (clips, labels).
        votes: shares of each vote, same shape.
        raters: who voted, 0..n-1, shape (clips,).

    Returns:
        Shape (clips, labels), rows of sum 1.
    """
    occurs = votes.sum(axis=0) > 0
    if len(votes) < FEWEST or occurs.sum() < 2:
        return votes
    # The model leans to the labels that it was trained on: on average over the clips none is taken to be likelier.
    lean = np.where(occurs, logs - logs.mean(axis=0), -np.inf)
    likely = np.array([_best_power(lean, votes @ np.log(confusion(doubt).T), occurs) for doubt in DOUBTS])
    labels = np.zeros_like(votes)
    for rater in np.unique(raters):
        own = raters == rater
        doubt = DOUBTS[int((likely[:, own].sum(axis=1) + KNOWN_AT * likely.mean(axis=1)).argmax())]
        evidence = votes[own] @ np.log(confusion(doubt).T)
        expected = _with_shares(lean, votes @ np.log(confusion(doubt).T), occurs)[own]
        labels[own] = _normal(np.log(np.maximum(expected, 1e-12)) + evidence)
    return labels


def confusion(doubt: float) -> Numbers:
    """Share of votes for each label (columns) on clips of each label (rows).

    >>> confusion(1.0).round(2)[0].tolist(), confusion(0.0).round(2)[0, 0].item()
    ([0.45, 0.05, 0.05, 0.05, 0.3, 0.05, 0.05], 0.97)
    """
    count, neutral = len(EMOTIONS), EMOTIONS.index("neutral")
    usual = np.full((count, count), (1.0 - HIT - NEUTRAL) / (count - 2))
    usual[:, neutral] = NEUTRAL
    np.fill_diagonal(usual, HIT)
    usual[neutral] = (1.0 - HIT - NEUTRAL) / (count - 1)
    usual[neutral, neutral] = HIT + NEUTRAL
    return (1.0 - doubt) * ((1.0 - SLIP) * np.eye(count) + SLIP / count) + doubt * usual


def _best_power(lean: Numbers, evidence: Numbers, occurs: npt.NDArray[np.bool_]) -> Numbers:
    """Log likelihood of each vote at the power that suits all votes best."""
    found = []
    for power in POWERS:
        expected = _with_shares(power * lean, evidence, occurs)
        found.append(np.log((expected * np.exp(evidence)).sum(axis=1)))
    return max(found, key=lambda rows: float(rows.sum()))


def _with_shares(logits: Numbers, evidence: Numbers, occurs: npt.NDArray[np.bool_]) -> Numbers:
    """Probabilities before the vote, with the label shares that explain the votes best."""
    expected = _normal(logits)
    shares = occurs / occurs.sum()
    for _ in range(ROUNDS):
        with np.errstate(divide="ignore"):
            posterior = _normal(np.log(expected * shares) + evidence)
        shares = posterior.sum(axis=0) + EVENNESS * len(logits) * occurs / occurs.sum()
        shares = shares / shares.sum()
    return expected * shares / (expected * shares).sum(axis=1, keepdims=True)


def _normal(logits: Numbers) -> Numbers:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
