"""Folds for cross-validation that keep groups together. Pure."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SAME_RECORDING = 0.97
"""Cosine of two standardised embeddings beyond which they are taken for copies of one recording: of different clips of
one speaker 99 % lie under 0.93 (RAVDESS, EMO-DB; two files of RAVDESS are copies, 1.0)."""

Places = npt.NDArray[np.int64]

FEWEST_GROUPS = 3
"""Fewest groups; with fewer, whole groups would leave a fraction of the clips to train on: clips are drawn singly."""


def assign_folds(groups: Sequence[str], count: int, seed: int = 0) -> Places:
    """The fold of each clip: groups stay together if there are at least `FEWEST_GROUPS`.

    Groups go to the emptiest fold, the largest first, as scikit-learn's GroupKFold does.

    Args:
        groups: of each clip.
        count: folds at most; fewer if there are fewer groups.
        seed: draws the order of groups of one size, and of clips if they are drawn one by one.

    >>> assign_folds(["a", "a", "b", "c", "c", "c"], 3).tolist() in ([1, 1, 2, 0, 0, 0], [1, 1, 0, 2, 2, 2])
    True
    """
    draw = np.random.default_rng(seed)
    sizes = Counter(groups)
    if len(sizes) < FEWEST_GROUPS:
        return draw.permutation(len(groups)) % min(count, max(len(groups), 1))
    order = sorted(sizes)
    order = sorted((order[place] for place in draw.permutation(len(order))), key=lambda name: -sizes[name])
    loads = np.zeros(min(count, len(sizes)))
    fold_of = {}
    for name in order:
        fold_of[name] = int(loads.argmin())
        loads[fold_of[name]] += sizes[name]
    return np.array([fold_of[name] for name in groups], dtype=np.int64)


def join_groups(groups: Sequence[str], embeddings: npt.NDArray[np.float32]) -> list[str]:
    """Join groups that share copies of a recording.

    Args:
        groups: of each clip.
        embeddings: of each clip, standardised, shape (clips, size).

    >>> join_groups(["a", "b", "c"], np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], dtype=np.float32))
    ['a', 'b', 'b']
    """
    lengths = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)
    directions = embeddings / lengths
    joined = list(groups)
    for one, other in np.argwhere(np.triu(directions @ directions.T > SAME_RECORDING, 1)).tolist():
        if joined[one] != joined[other]:
            joined = [joined[one] if name == joined[other] else name for name in joined]
    return joined
