"""Finds where speech is, with Silero's voice activity detector in ONNX form.

Runs the network that the silero-vad package carries, without importing that package (which would bring torch in).
Knows nothing of words or emotions.
"""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import soxr

from ser.errors import AudioError, ModelUnavailableError
from ser.types import SAMPLING_RATE, Audio, Signal, SpeechRegion

NETWORK = Path("data") / "silero_vad_16k_sequence.onnx"
"""Path within the package; this form takes many frames a call, its probabilities equal the frame-by-frame form's."""

FRAME, CONTEXT, STATE = 512, 64, 128
"""Samples per decision (32 ms), samples of the frame before that are given again, and the size of the state.

Source: silero-vad 6.2, sequence_vad.py."""

FRAMES_PER_CALL = 512
"""Frames given to the network at once, 16 s: bounds its working memory on long recordings."""

SPEECH_THRESHOLD, SILENCE_THRESHOLD = 0.5, 0.35
"""Probability at which a region begins, and below which it may end. Source: silero-vad 6.2, utils_vad.py."""

MIN_SILENCE, MIN_SPEECH, REGION_PADDING = 0.1, 0.25, 0.03
"""Seconds of silence that end a region, of speech that make one, and that are added at either side.

Source: silero-vad 6.2, utils_vad.py."""

SLOWER = 1.75
"""Factor by which a recording is slowed for a second try if no speech was found: the detector knows hardly any voices
that shriek, and slowed down they lie where other voices do. Measured on RAVDESS's strong emotions and noises of ESC-10
(benchmarks/README.md, "Speech detection")."""


CERTAIN_EVIDENCE = 0.45
"""Seconds of certain speech from which a recording holds speech, whatever else is in it. A frame whose probability is
0.75 counts half: of the corpora's clips 94 % have more, of the barks, cries and sneezes that are taken for speech 2 of
36 have (benchmarks/README.md, "Speech detection")."""

LEAST_SPEECH_SHARE = 0.22
"""Share of the energy above the background that speech must have in a recording with less evidence: in a bark or a
sneeze a few quiet frames sound like speech, and its loud ones do not."""


BACKGROUND_PERCENTILE = 10
"""Percentile of the frames' energies that counts as the background."""


class SileroDetector:
    """A `SpeechDetector`; safe to call from several threads, as the network's memory lives within each call.

    Raises:
        ModelUnavailableError: if the silero-vad package, or the network in it, is missing.
    """

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        # One thread that sleeps when idle: on a busy machine, more threads or spinning ones were slower.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(_find_network()), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self.name = f"silero-vad {importlib.metadata.version('silero-vad')}"

    def detect(self, audio: Audio) -> tuple[SpeechRegion, ...]:
        """Regions of speech in order; empty for silence, noise, tones, and most barks, cries and sneezes.

        Args:
            audio: mono at 16 kHz, of any length.
        """
        probabilities = self.speech_probabilities(audio.signal)
        if regions := find_regions(probabilities, len(audio.signal)):
            return regions if is_speech(probabilities, audio.signal) else ()
        return self._detect_slowed(audio)

    def _detect_slowed(self, audio: Audio) -> tuple[SpeechRegion, ...]:
        """Regions of a recording in which no speech was found as it is."""
        slowed = soxr.resample(audio.signal, SAMPLING_RATE, SLOWER * SAMPLING_RATE)
        probabilities = self.speech_probabilities(slowed)
        regions = find_regions(probabilities, len(slowed), MIN_SPEECH * SLOWER)
        if not regions or not is_speech(probabilities, slowed, SLOWER):
            return ()
        return tuple(SpeechRegion(r.start / SLOWER, min(r.end / SLOWER, audio.duration)) for r in regions)

    def speech_probabilities(self, signal: Signal) -> npt.NDArray[np.float32]:
        """The probability of speech in each frame of 32 ms.

        Args:
            signal: float32 of shape (samples,) at 16 kHz; the last frame is filled up with zeros.

        Returns:
            Shape (frames,), 0..1.
        """
        count = -(-len(signal) // FRAME)
        padded = np.zeros(CONTEXT + count * FRAME, np.float32)
        padded[CONTEXT : CONTEXT + len(signal)] = signal
        hidden = cell = np.zeros((1, 1, STATE), np.float32)
        parts = [np.zeros(0, np.float32)]
        for first in range(0, count, FRAMES_PER_CALL):
            block = padded[first * FRAME : CONTEXT + (first + FRAMES_PER_CALL) * FRAME]
            windows = np.lib.stride_tricks.sliding_window_view(block, CONTEXT + FRAME)[::FRAME]
            inputs = {"input": np.ascontiguousarray(windows), "h": hidden, "c": cell}
            probabilities, hidden, cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
            parts.append(probabilities.reshape(-1))
        return np.concatenate(parts)


def find_regions(
    probabilities: Sequence[float] | npt.NDArray[np.float32], samples: int, min_speech: float = MIN_SPEECH
) -> tuple[SpeechRegion, ...]:
    """Turn frame probabilities into regions, with hysteresis.

    Args:
        probabilities: of speech, one for each frame of `FRAME` samples.
        samples: length of the recording at 16 kHz.
        min_speech: seconds that a region lasts at least.

    >>> find_regions([0.1] * 10 + [0.9] * 20 + [0.1] * 10, 40 * 512)
    (SpeechRegion(start=0.29, end=0.99),)
    >>> find_regions([0.1] * 10 + [0.9] * 5 + [0.1] * 10, 25 * 512)
    ()
    """
    spans: list[tuple[int, int]] = []
    start = silence = None
    for position, probability in zip(range(0, len(probabilities) * FRAME, FRAME), probabilities, strict=True):
        if probability >= SPEECH_THRESHOLD:
            silence = None
            start = position if start is None else start
        elif start is not None and probability < SILENCE_THRESHOLD:
            silence = position if silence is None else silence
            if position - silence >= MIN_SILENCE * SAMPLING_RATE:
                spans.append((start, silence))
                start = silence = None
    if start is not None:
        spans.append((start, samples))
    return _pad([span for span in spans if span[1] - span[0] > min_speech * SAMPLING_RATE], samples)


def is_speech(probabilities: npt.NDArray[np.float32], signal: Signal, slower: float = 1.0) -> bool:
    """Decide if a recording is speech for the most part, rather than having moments that sound like it.

    Args:
        probabilities: of speech, one for each frame of `FRAME` samples.
        signal: shape (samples,), as the probabilities were computed on.
        slower: how much slower than it was recorded.

    >>> loud = np.repeat(np.float32([0.0, 1.0, 0.1, 0.0]), FRAME)
    >>> is_speech(np.float32([0.0, 0.9, 0.0, 0.0]), loud), is_speech(np.float32([0.0, 0.0, 0.9, 0.0]), loud)
    (True, False)
    """
    evidence = 2.0 * float(np.maximum(probabilities - 0.5, 0.0).sum()) * FRAME / SAMPLING_RATE / slower
    if evidence >= CERTAIN_EVIDENCE:
        return True
    frames = np.zeros((len(probabilities), FRAME), np.float32)
    frames.reshape(-1)[: len(signal)] = signal
    energy = np.square(frames).mean(1, dtype=np.float64)
    energy = np.maximum(energy - np.percentile(energy, BACKGROUND_PERCENTILE), 0.0)
    return float(energy @ probabilities) >= LEAST_SPEECH_SHARE * float(energy.sum())


def _pad(spans: list[tuple[int, int]], samples: int) -> tuple[SpeechRegion, ...]:
    """Widen each span by `REGION_PADDING`, or by half the gap to its neighbour where that is less."""
    padding = round(REGION_PADDING * SAMPLING_RATE)
    regions = []
    for index, (start, end) in enumerate(spans):
        before = start if index == 0 else (start - spans[index - 1][1]) // 2
        after = samples - end if index == len(spans) - 1 else (spans[index + 1][0] - end) // 2
        first, last = start - min(padding, before), end + min(padding, after)
        regions.append(SpeechRegion(first / SAMPLING_RATE, last / SAMPLING_RATE))
    return tuple(regions)


def trim_to_speech(audio: Audio, regions: Sequence[SpeechRegion], padding: float = 0.2) -> Audio:
    """Cut what lies before the first and after the last region, with `padding` seconds left at either side.

    Without any region the whole recording is returned. Recognition and training both cut this way.

    >>> trim_to_speech(Audio(np.zeros(48_000, np.float32)), [SpeechRegion(1.0, 2.0)]).duration
    1.4
    """
    if not regions:
        return audio
    return audio.crop(regions[0].start - padding, regions[-1].end + padding)


def no_speech(duration: float) -> AudioError:
    """Make the error for a recording of so many seconds without speech."""
    return AudioError(
        f"No speech was found in this recording of {duration:.1f} s. "
        "Speak closer to the microphone, or choose another file."
    )


def _find_network() -> Path:
    package = importlib.util.find_spec("silero_vad")
    folders = list(package.submodule_search_locations or ()) if package else []
    if not folders:
        raise ModelUnavailableError("The package silero-vad is not installed. Run 'pip install -r requirements.txt'.")
    path = Path(folders[0]) / NETWORK
    if not path.is_file():
        raise ModelUnavailableError(
            f"The installed silero-vad {importlib.metadata.version('silero-vad')} holds no {NETWORK.name}; "
            "version 6.2.3 or newer does. Run 'pip install -r requirements.txt'."
        )
    return path
