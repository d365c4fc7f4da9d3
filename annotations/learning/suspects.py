"""Finds labels that are probably mistakes: clips that sound like those of another label.

Pure: what was heard and what was said in, suspicions out. Knows no store.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold
from sklearn.preprocessing import StandardScaler

from ser.labels import EMOTIONS

Numbers = npt.NDArray[np.floating]

LEAST_CLIPS = 60
"""Under it a model of the clips knows too little to doubt a person."""

LEAST_ACCURACY = 0.4
"""Of that model on the clips that it did not see; one that is wrong more often doubts nobody."""

MOST = 0.1
"""Share of the clips that may be suspected, the clearest first."""

MARGIN = 0.3
"""By how much another label must be likelier than the given one."""

FOLDS = 5


def find_suspects(
    heard: Numbers, shares: Numbers, groups: Sequence[str], seed: int = 0
) -> list[tuple[int, int, float]] | None:
    """Clips whose label is probably a mistake, the clearest first.

    A label is doubted where another one is at least as likely as it is on average for clips that are said to have it.
    Source: Northcutt et al. 2021, "Confident Learning", https://arxiv.org/abs/1911.00068 (thresholds of each label,
    probabilities by cross-validation); the least margin and the largest share are this project's own caution.

    Args:
        heard: of each clip, shape (clips, size).
        shares: of each label, shape (clips, labels), rows of sum 1.
        groups: who speaks; nobody is on both sides of a fold where there are three or more.
        seed: of the folds.

    Returns:
        (place, label that is likelier, by how much) of each; None where there is too little to go by.
    """
    given = shares.argmax(1)
    kinds = [label for label in np.unique(given).tolist() if np.sum(given == label) >= FOLDS]
    if len(heard) < LEAST_CLIPS or len(kinds) < 2:
        return None
    likely = _cross_validated(heard, given, groups, seed)
    known = likely.sum(1) > 0
    if np.mean(likely.argmax(1)[known] == given[known]) < LEAST_ACCURACY:
        return None
    usual = np.full(shares.shape[1], np.inf)
    for label in kinds:
        usual[label] = likely[given == label, label].mean()
    doubted = []
    for place in np.flatnonzero(known).tolist():
        row = np.where(likely[place] >= usual, likely[place], 0.0)
        best = int(row.argmax())
        margin = float(row[best] - likely[place, given[place]])
        if best != given[place] and margin >= MARGIN:
            doubted.append((place, best, round(margin, 4)))
    doubted.sort(key=lambda found: -found[2])
    return doubted[: int(MOST * len(heard))]


def _cross_validated(heard: Numbers, given: npt.NDArray[np.int64], groups: Sequence[str], seed: int) -> Numbers:
    """Probabilities of the labels by a model that did not see the clip, shape (clips, labels up to the largest)."""
    people = len(set(groups))
    if people >= 3:
        folds = GroupKFold(min(FOLDS, people)).split(heard, given, list(groups))
    else:
        folds = KFold(FOLDS, shuffle=True, random_state=seed).split(heard)
    likely = np.zeros((len(heard), len(EMOTIONS)))
    for learnt, asked in folds:
        if len(np.unique(given[learnt])) < 2:
            continue
        scaler = StandardScaler().fit(heard[learnt])
        model = LogisticRegression(C=0.1, max_iter=200, class_weight="balanced")
        model.fit(scaler.transform(heard[learnt]), given[learnt])
        likely[np.ix_(asked, model.classes_)] = model.predict_proba(scaler.transform(heard[asked]))
    return likely
