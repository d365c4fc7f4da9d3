"""Everyone's standing votes as columns, read in one go: what agreement, reliability and the insights compute on.

Knows SQL and numpy, no statistics.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotations.rows import STANDING
from annotations.store import AnnotationStore
from ser.labels import EMOTIONS

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

NEWEST = f"""
SELECT clip_id, rater, label, verdict, intensity FROM (
    SELECT corrections.*, row_number() OVER (PARTITION BY clip_id, rater ORDER BY created_at DESC, id DESC) AS age
    FROM corrections WHERE {STANDING}
) WHERE age = 1 ORDER BY clip_id, rater
"""
"""Of each rater the newest vote on each clip that was not taken back."""


@dataclass(frozen=True)
class Ratings:
    """Votes as columns of one length, one entry a rater and clip.

    Attributes:
        clips: ids, shape (votes,).
        raters: positions in `names`, shape (votes,).
        names: of the raters, sorted.
        shares: what each vote says of each label of `EMOTIONS`, shape (votes, labels): a row of one 1, a
            distribution where the rater gave one, or zeros where the vote names no label.
        unsure: whether the rater said that they were unsure, shape (votes,).
        scales: `intensity`, `valence`, `arousal`: numbers of shape (votes,), NaN where not given.
    """

    clips: Codes
    raters: Codes
    names: tuple[str, ...]
    shares: Numbers
    unsure: npt.NDArray[np.bool_]
    scales: Mapping[str, Numbers]

    def __len__(self) -> int:
        return len(self.clips)

    def labelled(self) -> "Ratings":
        """The votes that name a label."""
        return self.where(self.shares.sum(1) > 0)

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Ratings":
        """The votes for which `chosen` is true; names stay."""
        return Ratings(
            self.clips[chosen],
            self.raters[chosen],
            self.names,
            self.shares[chosen],
            self.unsure[chosen],
            {name: values[chosen] for name, values in self.scales.items()},
        )


def read_ratings(store: AnnotationStore) -> Ratings:
    """Everyone's newest standing vote on each clip; skips are left out."""
    with store.reading() as connection:
        rows = [tuple(row) for row in connection.execute(NEWEST)]
    rows = [row for row in rows if row[3] != "skip"]
    names = sorted({row[1] for row in rows})
    code = {name: index for index, name in enumerate(names)}
    place = {label: index for index, label in enumerate(EMOTIONS)}
    shares = np.zeros((len(rows), len(EMOTIONS)))
    for index, row in enumerate(rows):
        if row[2] in place:
            shares[index, place[row[2]]] = 1.0
    empty = np.full(len(rows), np.nan)
    intensity = np.array([np.nan if row[4] is None else row[4] for row in rows], dtype=np.float64)
    return Ratings(
        clips=np.array([row[0] for row in rows], dtype=np.int64),
        raters=np.array([code[row[1]] for row in rows], dtype=np.int64),
        names=tuple(names),
        shares=shares,
        unsure=np.array([row[3] == "unsure" for row in rows], dtype=np.bool_),
        scales={"intensity": intensity, "valence": empty, "arousal": empty},
    )
