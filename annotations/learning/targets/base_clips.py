"""Clips of the base corpora: what is replayed, how far a head may go from its start, and what it forgot. Pure."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from annotations.learning.promotion.comparison import Answers
from annotations.learning.promotion.decision import Margins, Standing
from ser.acoustic.head import ClassifierHead
from ser.training.rehearsal import DEV_SPEAKERS, Rehearsal

HEAD_MARGINS = Margins(base=0.02)
"""Of heads in the gate: what they may lose on average is bounded while they are trained, and 175 clips of the base test
scatter by a point, so that a limit of one refused a quarter of the true gains of 3 to 7 points (`benchmarks.gate`)."""

SHARES = tuple(place / 10 for place in range(10, -1, -1))
"""Of the way from the head before to the fine-tuned one."""

ALLOWED_DROP = 0.005
"""In the mean probability of the correct label on base clips. Half of the point of recall that the gate allows: 140
clips tell a drop of the probability where as many tell little of recall (`benchmarks.learning_curve`)."""


@dataclass(frozen=True, eq=False)
class BaseClips:
    """The base clips that come with a model, by their use; no speaker is in two of them.

    Attributes:
        replayed: trained on with the feedback; None if there are none, as for the others.
        bound: how far a head may go from its start is decided by these.
        tested: tell what a new head has forgotten.
    """

    replayed: Rehearsal | None = None
    bound: Rehearsal | None = None
    tested: Rehearsal | None = None


def divide_base_clips(rehearsal: Rehearsal) -> BaseClips:
    """Divide base clips by speakers, within each corpus.

    Dev speakers of the shipped weights, which the head was not trained on, are tested and bound in turns; of other
    models, every fourth speaker. A corpus with a single such speaker has another one for the bound.
    """
    speakers, corpora = np.array(rehearsal.speakers), np.array(rehearsal.corpora)
    bound: list[str] = []
    tested: list[str] = []
    for corpus in np.unique(corpora):
        names = sorted(set(speakers[corpora == corpus].tolist()))
        apart = [name for name in names if name in DEV_SPEAKERS] or names[::4]
        others = [name for name in names if name not in apart]
        tested += apart[::2]
        bound += apart[1::2] or others[:1]
    uses = [np.isin(speakers, names) for names in (bound, tested)]
    uses.insert(0, ~uses[0] & ~uses[1])
    return BaseClips(*(rehearsal.take(rows) if rows.any() else None for rows in uses))


def distilled(rehearsal: Rehearsal, head: ClassifierHead) -> Rehearsal:
    """The same clips with the head's own predictions as targets, so that replaying them alone changes nothing.

    Their labels would move it: corpora lack labels, and a few hundred clips are not what it was trained on. On RAVDESS
    as a new corpus, 25 corrections cost 4.2 points of the base test by labels and 1.1 by predictions.
    Source: Li & Hoiem 2016, "Learning without Forgetting", https://arxiv.org/abs/1606.09282; on clips that are kept:
    Rebuffi et al. 2017, "iCaRL", https://arxiv.org/abs/1611.07725

    Args:
        rehearsal: base clips.
        head: that training starts from.
    """
    targets = predict(replace(head, places=None), rehearsal)
    return replace(rehearsal, targets=targets.astype(np.float32))


def predict(
    head: ClassifierHead, clips: Rehearsal, features: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float64]:
    """Probabilities of base clips, shape (clips, classes).

    Of a head with labels of its own those that some base clip has, brought to sum 1: the base knows no others.

    Args:
        head: that predicts.
        clips: of the base.
        features: the head's features of them, if they are known.
    """
    rows = head.probabilities_of(head.features(clips.embeddings) if features is None else features)
    if head.means is None:
        return rows
    rows = np.maximum(rows, 1e-30) * np.asarray(clips.targets.any(axis=0))
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def hold_back(head: ClassifierHead, start: ClassifierHead, guard: Rehearsal) -> ClassifierHead:
    """Go as far towards a fine-tuned head as the probability of the correct label on base clips allows.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", https://arxiv.org/abs/2109.01903 (weights
    between those before and after fine-tuning keep more of the old than they lose of the new)

    Args:
        head: fine-tuned.
        start: that it was fine-tuned from.
        guard: base clips with their labels.
    """
    features = start.features(guard.embeddings)
    before = by_corpus(start, guard, features, hard=False)
    mixed = head
    for share in SHARES:
        weights = start.weights + share * (head.weights - start.weights)
        mixed = replace(head, weights=weights, bias=start.bias + share * (head.bias - start.bias))
        if by_corpus(mixed, guard, features, hard=False) >= before - ALLOWED_DROP - 1e-9:
            break
    return mixed


def by_corpus(
    head: ClassifierHead, clips: Rehearsal, features: npt.NDArray[np.float32] | None = None, *, hard: bool = True
) -> float:
    """Unweighted average recall on base clips, mean over the corpora; or likewise the probability of the truth.

    Arguments as `predict`'s.
    """
    truth, corpora = clips.targets.argmax(axis=1), np.array(clips.corpora)
    said = predict(head, clips, features)
    right = said.argmax(axis=1) == truth if hard else said[np.arange(len(truth)), truth]
    means = []
    for corpus in np.unique(corpora):
        own = corpora == corpus
        means.append(np.mean([right[own & (truth == label)].mean() for label in np.unique(truth[own])]))
    return float(np.mean(means))


def base_standing(before: ClassifierHead, after: ClassifierHead, test: Rehearsal | None) -> Standing | None:
    """Measure two heads on base clips that were not replayed; None if there are none."""
    if test is None:
        return None
    heads = (before, after)
    old, new = (predict(head, test) for head in heads)
    labels = [[before.classes[place] for place in rows.argmax(1)] for rows in (old, new)]
    truth = [before.classes[place] for place in test.targets.argmax(1)]
    answers = Answers(truth, labels[0], labels[1], probabilities=(old, new), labels=before.classes)
    measured = Standing.of("base test", answers)
    recalls = [by_corpus(head, test) for head in heads]
    return replace(measured, before=recalls[0], after=recalls[1])
