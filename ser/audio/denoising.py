"""Reduces steady noise by WebRTC's suppressor, as calls do; needs the package `webrtc-noise-gain`. Knows no model."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from ser.errors import ModelUnavailableError
from ser.types import Audio, Signal

PACKAGE = "webrtc-noise-gain"
MODULE = "webrtc_noise_gain"
INSTALL = f"pip install {PACKAGE}"

LEVEL = 1
"""Of the suppressor, 1 to 4. 1 takes 6 dB off steady noise; the others cost more of what is felt in the voice
(benchmarks/README.md, "Robustness")."""

BLOCK, DELAY = 160, 96
"""Samples that the suppressor takes at a time, and by which its sound is late."""

NOTE = "Noise was reduced before the analysis."


class Suppressor(Protocol):
    """The part of the package's `AudioProcessor` that is used."""

    def Process10ms(self, samples: bytes) -> Any:  # noqa: N802
        """Take 160 samples of 16 bits; the result's `audio` has as many."""


def is_available() -> bool:
    """Tell if the package is installed."""
    return importlib.util.find_spec(MODULE) is not None


def load_suppressor() -> Suppressor:
    """Make a suppressor for one recording: it learns the noise as it goes.

    Raises:
        ModelUnavailableError: if the package is not installed.
    """
    try:
        made: Suppressor = importlib.import_module(MODULE).AudioProcessor(0, LEVEL)
    except ImportError as error:
        raise ModelUnavailableError(
            f"Noise cannot be reduced: the package {PACKAGE} is not installed. Run: {INSTALL}"
        ) from error
    return made


def denoise(audio: Audio, make: Callable[[], Suppressor] | None = None) -> Audio:
    """Reduce the noise of a recording, which keeps its length; a note says so, and it is not done twice.

    Raises:
        ModelUnavailableError: if the package is not installed.
    """
    if NOTE in audio.notes:
        return audio
    signal = np.concatenate([np.zeros(0, np.float32), *denoise_blocks([audio.signal], make)])
    return Audio(signal, audio.sampling_rate, (*audio.notes, NOTE))


def denoise_blocks(blocks: Iterable[Signal], make: Callable[[], Suppressor] | None = None) -> Iterator[Signal]:
    """Reduce the noise of a stream, in blocks of any length; all together are as long as what came in.

    Raises:
        ModelUnavailableError: if the package is not installed.
    """
    suppressor, waiting, late, length = (make or load_suppressor)(), np.zeros(0, np.float32), DELAY, 0
    for block in blocks:
        length += len(block)
        waiting = np.concatenate([waiting, block])
        whole = len(waiting) // BLOCK * BLOCK
        made, waiting = _suppress(suppressor, waiting[:whole]), waiting[whole:]
        skipped = min(late, len(made))
        late, length = late - skipped, length - (len(made) - skipped)
        yield made[skipped:]
    silence = np.zeros(DELAY + 2 * BLOCK, np.float32)
    rest = np.concatenate([waiting, silence])
    made = _suppress(suppressor, rest[: len(rest) // BLOCK * BLOCK])
    yield made[late : late + length]


def _suppress(suppressor: Suppressor, signal: Signal) -> Signal:
    samples = np.clip(np.rint(signal * 32768.0), -32768, 32767).astype("<i2")
    parts = [suppressor.Process10ms(samples[at : at + BLOCK].tobytes()).audio for at in range(0, len(samples), BLOCK)]
    return np.frombuffer(b"".join(parts), "<i2").astype(np.float32) / np.float32(32768.0)
