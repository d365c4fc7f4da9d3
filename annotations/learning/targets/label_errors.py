"""Finds labels that are probably mistakes: clips whose embeddings are like those of another label.

Pure: embeddings and soft labels in, suspected label errors out. Knows no store.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotations.learning.labels.acoustic_consensus import discriminate
from annotations.learning.promotion.folds import assign_folds

Numbers = npt.NDArray[np.floating]

LEAST_CLIPS = 60
"""Fewest clips; with fewer a model knows too little to question a label."""

LEAST_ACCURACY = 0.4
"""Least out-of-fold accuracy; a model that is wrong more often questions no label."""

MOST = 0.1
"""Largest share of clips that may be suspected, the clearest first."""

MARGIN = 0.3
"""Factor by which another label must be likelier than the given one."""

FOLDS = 5


def find_suspects(
    points: Numbers, shares: Numbers, groups: Sequence[str], seed: int = 0
) -> list[tuple[int, int, float]] | None:
    """Clips whose label is probably a mistake, the clearest first.

    A label is suspected if another one is at least as likely as it is on average for clips that are said to have it.
    Source: Northcutt et al. 2021, "Confident Learning", https://arxiv.org/abs/1911.00068 (thresholds of each label,
    probabilities by cross-validation); the least margin and the largest share are this project's own caution.

    Args:
        points: of each clip, as `acoustic_consensus.main_directions` gives them, shape (clips, size).
        shares: of each label, shape (clips, labels), rows of sum 1.
        groups: who speaks; no group is divided by a fold if there are three or more.
        seed: of the folds.

    Returns:
        (place, label that is likelier, by how much) of each; None if there is too little to go by.
    """
    given = shares.argmax(1)
    kinds = [label for label in np.unique(given).tolist() if np.sum(given == label) >= FOLDS]
    if len(points) < LEAST_CLIPS or len(kinds) < 2:
        return None
    likely = discriminate(points.astype(np.float64), np.eye(shares.shape[1])[given], assign_folds(groups, FOLDS, seed))
    if np.mean(likely.argmax(1) == given) < LEAST_ACCURACY:
        return None
    usual = np.full(shares.shape[1], np.inf)
    for label in kinds:
        usual[label] = likely[given == label, label].mean()
    found_errors = []
    for place in range(len(points)):
        row = np.where(likely[place] >= usual, likely[place], 0.0)
        best = int(row.argmax())
        margin = float(row[best] - likely[place, given[place]])
        if best != given[place] and margin >= MARGIN:
            found_errors.append((place, best, round(margin, 4)))
    found_errors.sort(key=lambda found: -found[2])
    return found_errors[: int(MOST * len(points))]
