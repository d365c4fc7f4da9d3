"""A layer of trained features of an embedding, which noise and rooms change less than the embedding itself.

It is a fixed map. A head stays linear in its features, and is fine-tuned from votes as any linear head.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

LEVELS = 127.0
"""Of the numbers in a column on either side of zero: they are kept in 8 bits."""

Array = npt.NDArray[np.float32]
Levels = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class HiddenLayer:
    """Principal components of a standardised embedding, a linear map of these, and what is negative set to zero.

    Attributes:
        components: in whole steps, int8 of shape (size, components).
        component_steps: of each component, shape (components,).
        weights: in whole steps, int8 of shape (components, width).
        weight_steps: of each feature, shape (width,).
        bias: shape (width,).
    """

    components: Levels
    component_steps: Array
    weights: Levels
    weight_steps: Array
    bias: Array

    @classmethod
    def of(cls, components: Array, weights: Array, bias: Array) -> "HiddenLayer":
        """Round a layer to the precision that it is kept in."""
        return cls(*to_levels(components), *to_levels(weights), bias.astype(np.float32))

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.bias)

    @cached_property
    def maps(self) -> tuple[Array, Array]:
        """The components, and the weights."""
        return self.components * self.component_steps, self.weights * self.weight_steps

    def __call__(self, standard: Array) -> Array:
        """Features of standardised embeddings, shape (clips, width)."""
        components, weights = self.maps
        return np.maximum(standard @ components @ weights + self.bias, np.float32(0.0))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return its arrays as the file of a head holds them."""
        return {f"hidden_{attribute.name}": getattr(self, attribute.name) for attribute in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "HiddenLayer | None":
        """The layer in a head's file; None where there is none.

        Raises:
            ValueError: if its parts do not fit each other.
        """
        if "hidden_weights" not in arrays:
            return None
        layer = cls(*(arrays[f"hidden_{attribute.name}"] for attribute in fields(cls)))
        inner, width = layer.weights.shape
        shapes = [part.shape for part in (layer.components[0], layer.component_steps, layer.weight_steps, layer.bias)]
        if shapes != [(inner,), (inner,), (width,), (width,)]:
            raise ValueError(f"its hidden layer of shape {layer.weights.shape} has parts of shapes {shapes}")
        return layer


def to_levels(values: Array) -> tuple[Levels, Array]:
    """Round to whole steps, and give the step of each column.

    >>> levels, steps = to_levels(np.array([[2.0], [-1.0]], dtype=np.float32))
    >>> levels.tolist(), [round(float(value), 2) for value in levels[:, 0] * steps]
    ([[127], [-64]], [2.0, -1.01])
    """
    steps = np.maximum(np.abs(values).max(axis=0), 1e-12).astype(np.float32) / np.float32(LEVELS)
    return np.rint(values / steps).astype(np.int8), steps
