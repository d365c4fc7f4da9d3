"""Heads and base clips for the labels of a store: what the seven know of them, carried over. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from annotations.labels.label_set import LabelSet
from ser.acoustic.head import ClassifierHead, emotion_of
from ser.labels import EMOTIONS
from ser.training.rehearsal import Rehearsal


def head_for(head: ClassifierHead, labels: LabelSet) -> ClassifierHead:
    """Make a head that answers with the labels of a store, as far as a given head knows them.

    An output that is named as a label of the set (`calm`) counts as that one, any other as what means its emotion.
    A head of an earlier set is carried over by name and mapping. Labels that it knows nothing of start from zero.
    """
    if head.classes == labels.names and (head.means is not None or labels.is_default):
        return head
    targets = [_targets(output, head, labels) for output in head.labels]
    return relabel_head(head, targets, {own.name: own.means for own in labels})


def relabel_head(
    head: ClassifierHead, targets: Sequence[Sequence[str]], means: Mapping[str, tuple[str, ...]]
) -> ClassifierHead:
    """Make a head that answers with labels of its own, as far as the old one knows them.

    Each label's probability is the sum of the outputs that count as it; an output of several labels is shared evenly,
    one of none is left out. A label without an output gets one of zero weights, as likely on a typical recording as
    the others are on average. Adaptation to a place or a speaker is lost: it was measured on the old outputs.

    Args:
        head: to begin with; it is not changed.
        targets: labels of `means` that each output counts as.
        means: {label: emotions of the seven that it means}, in order.
    """
    outputs = [(name, place, len(names)) for place, names in enumerate(targets) for name in names]
    labels = [name for name, _, _ in outputs]
    places = [place for _, place, _ in outputs]
    bias = head.bias[places] - head.temperature * np.log([count for _, _, count in outputs])
    missing = [name for name in means if name not in labels]
    level = 0.0
    if labels:
        tempered = bias / head.temperature
        level = float(tempered.max() + np.log(np.exp(tempered - tempered.max()).sum()) - np.log(len(set(labels))))
    return replace(
        head,
        labels=(*labels, *missing),
        weights=np.hstack([head.weights[:, places], np.zeros((len(head.weights), len(missing)))]).astype(np.float32),
        bias=np.concatenate([bias, np.full(len(missing), level * head.temperature)]).astype(np.float32),
        prior=None,
        means=means,
    )


def _targets(output: str, head: ClassifierHead, labels: LabelSet) -> tuple[str, ...]:
    if head.means is not None or (output in labels.names and output not in EMOTIONS):
        place = labels.place_of(output)
        return () if place is None else (place,)
    return labels.meaning(emotion_of(output))


def base_clips_for(rehearsal: Rehearsal, labels: LabelSet) -> Rehearsal | None:
    """Base clips with the labels of a store: those whose emotion some label means; None if there are none."""
    if labels.is_default:
        return rehearsal
    table = np.zeros((len(EMOTIONS), len(labels)), dtype=np.float32)
    for row, emotion in enumerate(EMOTIONS):
        meant = [labels.names.index(name) for name in labels.meaning(emotion)]
        table[row, meant] = 1 / max(len(meant), 1)
    targets = rehearsal.targets @ table
    rows = targets.sum(axis=1) > 0.5
    if not rows.any():
        return None
    kept = targets[rows] / targets[rows].sum(axis=1, keepdims=True)
    return replace(rehearsal.take(rows), targets=kept)
