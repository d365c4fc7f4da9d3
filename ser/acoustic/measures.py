"""What a recording sounds like, in numbers that no training had a say in: comparable whatever model answers.

Pure; knows no model.
"""

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.features import extract_features
from ser.acoustic.functionals import functionals
from ser.threads import one_core
from ser.types import Audio

Numbers = npt.NDArray[np.float32]


def measure(audio: Audio) -> Numbers:
    """Statistics of level, pitch, timbre and their movement over a recording that has been cut to its speech.

    Returns:
        Shape (FUNCTIONALS,), each of a scale of its own; see `ser.acoustic.functionals`.

    >>> measure(Audio(np.zeros(16_000, np.float32))).shape
    (319,)
    """
    return measure_features(extract_features(audio.signal))


def measure_features(features: npt.NDArray[np.floating]) -> Numbers:
    """The same of features, shape (frames, FEATURE_SIZE)."""
    picture = torch.from_numpy(np.asarray(features, dtype=np.float32)).T[None]
    with torch.inference_mode(), one_core():
        return np.asarray(functionals(picture, torch.ones_like(picture[:, :1]))[0].numpy())
