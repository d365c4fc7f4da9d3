"""Occlusion: a recording without some of its moments or bands, and the voice's answer to it. Knows no words.

Source: Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", https://arxiv.org/abs/1311.2901.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.signal import istft, stft

from ser.encoder.windows import WINDOW_DURATION, cut_windows
from ser.protocols import AcousticModel, EmbeddingModel
from ser.types import SAMPLING_RATE, Audio, EmotionScores, Signal

MOMENT = 0.25
"""Seconds of a moment, about a syllable; moments of long recordings are longer, so that there are `MOST_MOMENTS`."""

MOST_MOMENTS = 32

DRAWS = 64
"""Random halves of the moments that a recording is answered with. Leaving out one moment at a time costs less and finds
planted evidence less often (benchmarks/README.md, "Explanations")."""

LONGEST_DRAWN = 10.0
"""Seconds up to which halves are drawn; of longer recordings one moment is left out at a time."""

RIDGE = 1.0
"""Penalty of the moments' weights."""

BANDS = 8
"""Bands of equal width in mel, from 0 Hz to half of the sampling rate."""

BACKGROUND_PERCENTILE = 10
"""Percentile over time of a frequency's magnitude that is left where a band is taken out: the room's own noise."""

STFT_LENGTH = 512

Part = TypeVar("Part")

Span = tuple[int, int]
"""First sample, and the one after the last."""

Effects = npt.NDArray[np.float64]

Center = npt.NDArray[np.float32] | None


def leave_each_out(parts: Sequence[Part], probability: Callable[[Sequence[Part]], float]) -> list[float]:
    """Compute for each part how much it raises a probability: that with all parts, less that without it.

    >>> leave_each_out([1, 2, 3], sum)
    [1, 2, 3]
    """
    whole = probability(parts)
    return [whole - probability([*parts[:at], *parts[at + 1 :]]) for at in range(len(parts))]


def cut_moments(samples: int) -> list[Span]:
    """Divide a recording into moments of equal length, at least two.

    >>> cut_moments(16_000)
    [(0, 4000), (4000, 8000), (8000, 12000), (12000, 16000)]
    """
    count = min(MOST_MOMENTS, max(2, round(samples / SAMPLING_RATE / MOMENT)))
    edges = np.linspace(0, samples, count + 1).round().astype(int).tolist()
    return list(zip(edges[:-1], edges[1:], strict=True))


def band_edges(count: int = BANDS) -> list[float]:
    """Edges of the bands in Hz.

    Source of the scale: O'Shaughnessy 1987, "Speech communication: human and machine", 2595 log10(1 + f / 700).

    >>> [round(edge) for edge in band_edges(4)]
    [0, 614, 1768, 3934, 8000]
    """
    top = 2595.0 * math.log10(1.0 + SAMPLING_RATE / 2 / 700.0)
    return [700.0 * (10.0 ** (top * place / count / 2595.0) - 1.0) for place in range(count + 1)]


def without(signal: Signal, spans: Sequence[Span]) -> Signal:
    """Cut spans out; what is left is joined.

    >>> without(np.arange(6, dtype=np.float32), [(1, 3), (4, 5)]).tolist()
    [0.0, 3.0, 5.0]
    """
    kept = np.ones(len(signal), dtype=np.bool_)
    for start, end in spans:
        kept[start:end] = False
    return signal[kept]


def without_bands(signal: Signal, bands: Sequence[tuple[float, float]]) -> Signal:
    """Bring bands, in Hz, down to their background."""
    frequencies, _, spectrum = stft(signal, SAMPLING_RATE, nperseg=STFT_LENGTH)
    magnitudes = np.abs(spectrum)
    floor = np.percentile(magnitudes, BACKGROUND_PERCENTILE, axis=1)[:, None]
    gains = np.minimum(1.0, floor / np.maximum(magnitudes, 1e-12))
    inside = np.any([(frequencies >= low) & (frequencies < high) for low, high in bands], axis=0)
    _, changed = istft(np.where(inside[:, None], spectrum * gains, spectrum), SAMPLING_RATE, nperseg=STFT_LENGTH)
    return np.pad(changed, (0, max(0, len(signal) - len(changed))))[: len(signal)].astype(np.float32)


class Voice:
    """The voice of a recording, as the acoustic model answers it with and without parts of it.

    Of a recording that is longer than the encoder's windows only those windows are embedded again that a part is in.

    Args:
        model: answers.
        signal: cut to its speech.
        center: of a profile.
    """

    def __init__(self, model: AcousticModel, signal: Signal, center: Center = None) -> None:
        self.signal, self._model, self._center = signal, model, center
        self._windows, self._starts = [signal], [0]
        if isinstance(model, EmbeddingModel):
            self._windows = cut_windows(signal, WINDOW_DURATION)
            last = max(0, len(signal) - len(self._windows[0]))
            self._starts = np.linspace(0, last, len(self._windows)).round().astype(int).tolist()
            self._numbered = list(enumerate(model.embed_batch([Audio(window) for window in self._windows])))
        self.scores = self._ask([{}])[0] if isinstance(model, EmbeddingModel) else model.classify(Audio(signal))

    def changed(self, signals: Sequence[Signal]) -> list[EmotionScores]:
        """Answers to whole signals in place of this one."""
        audios = [Audio(signal) for signal in signals]
        if not isinstance(self._model, EmbeddingModel):
            return self._model.classify_batch(audios)
        return self._model.classify_embeddings(self._model.embed_batch(audios), self._center) if audios else []

    def moment_effects(self, spans: Sequence[Span], probability: Callable[[EmotionScores], float]) -> Effects:
        """Effect of each moment on a probability, shape (moments,); positive if it raises it.

        The weights of a linear model of the answers to random halves of the moments, each half with its complement;
        of a long recording, what is lost without the moment.
        Source: Ribeiro, Singh & Guestrin 2016, "Why Should I Trust You?", https://arxiv.org/abs/1602.04938; halves in
        place of its kernel.

        Args:
            spans: the moments, in order, as `cut_moments` gives them.
            probability: of the label, given the voice's answer.
        """
        alone = ~np.eye(len(spans), dtype=np.bool_)
        drawn = len(self.signal) <= LONGEST_DRAWN * SAMPLING_RATE
        kept: npt.NDArray[np.bool_] = _draw_halves(len(spans)) if drawn else alone
        cut = [self._cut([span for span, stays in zip(spans, row, strict=True) if not stays]) for row in kept]
        answers = np.array([probability(scores) for scores in self._ask(cut)])
        if not drawn:
            return probability(self.scores) - answers
        # The mean is fitted together with the weights and not penalised.
        table = np.concatenate([np.ones((len(kept), 1)), kept.astype(np.float64)], axis=1)
        penalty = RIDGE * np.diag([0.0] + [1.0] * len(spans))
        return np.asarray(np.linalg.solve(table.T @ table + penalty, table.T @ answers), dtype=np.float64)[1:]

    def without_bands(self, bands: Sequence[tuple[float, float]]) -> list[EmotionScores]:
        """The answer without each of the bands."""
        changes = [{at: without_bands(window, [band]) for at, window in enumerate(self._windows)} for band in bands]
        return self._ask(changes)

    def _cut(self, spans: Sequence[Span]) -> dict[int, Signal]:
        """The windows that spans are in, without them."""
        cut = dict[int, Signal]()
        for at, (window, start) in enumerate(zip(self._windows, self._starts, strict=True)):
            inside = [(max(0, first - start), last - start) for first, last in spans if last > start]
            inside = [(first, last) for first, last in inside if first < len(window)]
            if inside:
                cut[at] = without(window, inside)
        return cut

    def _ask(self, changes: Sequence[Mapping[int, Signal]]) -> list[EmotionScores]:
        """Answers with some windows changed, {number: signal}; one that nothing is left of does not count."""
        audios = [Audio(signal) for change in changes for signal in change.values() if len(signal)]
        if not isinstance(self._model, EmbeddingModel):
            return self._model.classify_batch(audios)
        rows = iter(self._model.embed_batch(audios) if audios else ())
        means = []
        for change in changes:
            whole = [row if at not in change else next(rows) if len(change[at]) else None for at, row in self._numbered]
            means.append(np.mean([row for row in whole if row is not None], axis=0))
        return self._model.classify_embeddings(np.array(means, dtype=np.float32), self._center)


def _draw_halves(moments: int) -> npt.NDArray[np.bool_]:
    """Draw which moments stay, shape (`DRAWS`, moments); never all or none of them."""
    generator = np.random.default_rng(0)
    rows = list[npt.NDArray[np.bool_]]()
    while len(rows) < DRAWS:
        half = generator.random(moments) < 0.5
        if 0 < half.sum() < moments:
            rows += [half, ~half]
    return np.array(rows)
