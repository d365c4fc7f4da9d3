"""Aggregation of votes by raters of different reliability: Dawid and Skene's model, fitted by expectation maximisation.

Each rater has a confusion matrix of their own, drawn towards that of all raters as far as their votes are few. Pure
numpy on arrays; `annotations.raters.reliability` gives it votes by name and reads its answer.

Source: Dawid & Skene 1979, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied
Statistics 28(1); the pull towards all raters: Paun et al. 2018, "Comparing Bayesian Models of Annotation", TACL 6
(the hierarchical variant), here as a Dirichlet prior around the pooled matrix.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

TINY = 1e-12


@dataclass(frozen=True)
class Priors:
    """Priors in imagined votes; zeros throughout give Dawid and Skene's own estimate.

    Attributes:
        rater: votes on each true label that a rater is given, spread as all raters' votes are.
        pooled: votes on each true label that all raters together are given, spread as `hit` says.
        hit: share of those that fall on the right label.
        evenness: imagined clips, of all labels alike, to each real clip. Without them a label that raters fall back
            on, as they do on neutral, swallows the others where clips have few votes.
    """

    rater: float = 10.0
    pooled: float = 20.0
    hit: float = 0.5
    evenness: float = 1.0


DEFAULT = Priors()
"""Chosen on simulated listeners (`benchmarks.raters`)."""

MAX_ROUNDS = 200
TOLERANCE = 1e-4
"""Change of every probability below which the fit ends."""


@dataclass(frozen=True)
class Votes:
    """Votes as columns.

    Attributes:
        clips: positions 0..n-1, shape (votes,).
        raters: positions 0..m-1, shape (votes,).
        shares: over the labels, rows sum to 1, shape (votes, labels).
        weights: what each vote counts, 0..1, shape (votes,).
    """

    clips: Codes
    raters: Codes
    shares: Numbers
    weights: Numbers


@dataclass(frozen=True)
class Fit:
    """Fitted labels and raters.

    Attributes:
        truth: probability of each label for each clip, shape (clips, labels).
        confusion: of each rater, shape (raters, labels, labels): the row is the true label, the column the vote.
        pseudo_votes: what stands behind each entry of it, prior included: parameters of Dirichlet rows.
        pooled: all raters' matrix, shape (labels, labels).
        shares: of the labels among the clips, shape (labels,).
        rounds: of the fit.
    """

    truth: Numbers
    confusion: Numbers
    pseudo_votes: Numbers
    pooled: Numbers
    shares: Numbers
    rounds: int


def fit(votes: Votes, gold: Codes, raters: int, *, priors: Priors = DEFAULT) -> Fit:
    """Find the labels and the raters' confusion that explain the votes best.

    Args:
        votes: at least one for each clip that is not gold.
        gold: the known label of each clip, -1 where it is not known, shape (clips,).
        raters: how many there are.
        priors: in imagined votes.
    """
    table = _tabulate(votes, len(gold), raters)
    truth = _with_gold(_rows(table.sums + TINY), gold)
    done = 0
    while done < MAX_ROUNDS:
        done += 1
        shares, pooled, pseudo_votes = _maximise(table, truth, priors)
        confusion = _rows(pseudo_votes)
        logits = np.log(np.maximum(shares, TINY)) + _log_likelihood(table, confusion)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        before, truth = truth, _with_gold(_rows(odds), gold)
        if np.abs(truth - before).max(initial=0.0) < TOLERANCE:
            break
    return Fit(truth, confusion, pseudo_votes, pooled, shares, done)


def vote_likelihood(votes: Votes, truth: Numbers, raters: int) -> Numbers:
    """Compute the likelihood of the votes on each clip given each label, scaled to a largest value of 1.

    Args:
        votes: as columns.
        truth: present estimate, shape (clips, labels); the raters' confusion is fitted to it.
        raters: how many there are.

    Returns:
        Shape (clips, labels).
    """
    table = _tabulate(votes, len(truth), raters)
    logits = _log_likelihood(table, _rows(_maximise(table, truth, DEFAULT)[2]))
    return np.asarray(np.exp(logits - logits.max(1, keepdims=True)))


@dataclass(frozen=True)
class _Table:
    """Weighted votes: `votes` of shape (clips, raters x labels), sparse; `sums` of shape (clips, labels)."""

    votes: sparse.csr_array
    sums: Numbers
    raters: int


def _tabulate(votes: Votes, clips: int, raters: int) -> _Table:
    labels = votes.shares.shape[1]
    vote, label = np.nonzero(votes.shares)
    weights = votes.shares[vote, label] * votes.weights[vote]
    places = votes.clips[vote], votes.raters[vote] * labels + label
    table = sparse.csr_array((weights, places), shape=(clips, raters * labels))
    sums = sparse.csr_array((weights, (votes.clips[vote], label)), shape=(clips, labels)).toarray()
    return _Table(table, sums, raters)


def _log_likelihood(table: _Table, confusion: Numbers) -> Numbers:
    """Compute the log likelihood of each clip's votes given each label, shape (clips, labels)."""
    likely = np.log(np.maximum(confusion, TINY)).transpose(0, 2, 1).reshape(-1, confusion.shape[1])
    return np.asarray(table.votes @ likely)


def _maximise(table: _Table, truth: Numbers, priors: Priors) -> tuple[Numbers, Numbers, Numbers]:
    """Shares of the labels, all raters' confusion, and each rater's pseudo votes."""
    labels = truth.shape[1]
    shares = truth.sum(0) + priors.evenness * len(truth) / labels
    counts = (table.votes.T @ truth).reshape(table.raters, labels, labels).transpose(0, 2, 1)
    hits = np.full((labels, labels), (1 - priors.hit) / max(labels - 1, 1))
    np.fill_diagonal(hits, priors.hit)
    pooled = _rows(counts.sum(0) + priors.pooled * hits)
    return shares / shares.sum(), pooled, counts + priors.rater * pooled


def _with_gold(truth: Numbers, gold: Codes) -> Numbers:
    known = gold >= 0
    truth[known] = np.eye(truth.shape[1])[gold[known]]
    return truth


def _rows(values: Numbers) -> Numbers:
    """Rows brought to 1; empty ones become even."""
    total = values.sum(-1, keepdims=True)
    return np.divide(values, total, out=np.full_like(values, 1 / values.shape[-1]), where=total > TINY)
