"""Known places: how near a clip is to the corpora that a head was trained on, and how sure its answers may be there.

A head that was trained on a corpus is right more often on its microphone, room and language than anywhere else, so one
temperature would leave it unsure where it is right or too sure where it is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BORDER = 1.25
"""Squared distance from the nearest known place, relative to the mean one of the clips there, at which a clip counts as
half known. New speakers of known corpora lie at 1 (median), corpora that training has not seen at 2.8 and more. Of 1.15
to 1.5 the value matters little for either; read sentences, some at 1.3 to 1.5, are otherwise taken for known."""

STEEPNESS = 10.0
"""Of the change from known to unknown, in the logarithm of the squared distance."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class KnownPlaces:
    """Corpora in a space in which clips of each scatter alike.

    Attributes:
        basis: takes standardised embeddings there, shape (size, directions).
        centers: of the corpora there, shape (corpora, directions).
        spreads: mean squared distance of the clips of each from its center, shape (corpora,).
        sharpening: the head's temperature is divided by it where the place is known.
    """

    basis: Array
    centers: Array
    spreads: Array
    sharpening: float = 1.0

    def familiarity(self, standard: Array) -> npt.NDArray[np.float64]:
        """Familiarity of clips, 0 to 1, shape (clips,), from their standardised embeddings; 1 at a known place."""
        apart = (standard @ self.basis)[:, None] - self.centers[None]
        nearest = ((apart.astype(np.float64) ** 2).sum(axis=2) / self.spreads).min(axis=1)
        return np.asarray(1.0 / (1.0 + (nearest / BORDER) ** STEEPNESS))

    def divisors(self, standard: Array) -> Array:
        """Divisor of the logits in addition to the temperature, shape (clips, 1)."""
        return np.asarray(self.sharpening ** -self.familiarity(standard)[:, None], dtype=np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return its arrays as the file of a head holds them."""
        return {
            "places_basis": to_half(self.basis),
            "places_centers": self.centers,
            "places_spreads": self.spreads,
            "places_sharpening": np.array([self.sharpening], dtype=np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "KnownPlaces | None":
        """The places in a head's file; None where there are none."""
        if "places_basis" not in arrays:
            return None
        basis, centers, spreads = (arrays[f"places_{name}"] for name in ("basis", "centers", "spreads"))
        return cls(basis.astype(np.float32), centers, spreads, float(arrays["places_sharpening"][0]))


def to_half(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Round to half precision; numbers that are too large for it stay in single precision.

    >>> to_half(np.array([0.5, 3.0])).dtype, to_half(np.array([0.5, 1e6])).dtype
    (dtype('float16'), dtype('float32'))
    """
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.isfinite(half).all() else values.astype(np.float32)
