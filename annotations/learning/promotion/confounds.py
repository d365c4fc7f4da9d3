"""Predicts labels from confounds: the channel of the recording, and the words.

A candidate that picked up which microphone, room or sentence goes with which label gains on clips of the same kind,
and on no other. Both models are given these predictions before they are compared: see `label_knowledge.adjust`.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotations.learning.labels.acoustic_consensus import discriminate
from ser.audio.decoding import decode_file
from ser.errors import AudioError
from ser.types import SAMPLING_RATE, Signal

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

CHANNEL = "channel"

FRAME = 512
"""Samples of a frame, half of which overlap."""

BANDS = 16
"""Bands of equal width on the mel scale, from 50 Hz on."""

QUIET, FEWEST_QUIET = 0.1, 3
"""Share of the frames that count as quiet, and the fewest."""

BELOW_PEAK = 6.0
"""Decades of power under the loudest bin at which a band counts as empty."""

SILENCE = 1.0
"""Decades of power over the quiet frames from which a frame counts as sound."""

DROPS = (0.02, 0.1, 0.25)
"""Quantiles of the change of level from frame to frame: in a room levels fall slowly."""

FEATURES = BANDS + 3 + len(DROPS)
"""Numbers that describe a channel."""

WORD_FEATURES = 64
FEWEST_CLIPS = 28
DEVIATIONS, KNOWN_SHARE = 3.0, 0.25
"""Standard deviations over chance, and share of the way from chance to certainty, from which labels count as given
away. On CREMA-D, whose recordings seem to be of one level, silence and decay explain a fifth of the way."""


@dataclass(frozen=True, eq=False)
class Confounds:
    """Predictions of the labels from confounds.

    Attributes:
        hints: {name: log probabilities} by the channel and by the words, if there are some, shape (clips, labels) each.
        channel_tells: whether the channel predicts labels better than chance.
        words_tell: whether the words do.
    """

    hints: Mapping[str, Array]
    channel_tells: bool = False
    words_tell: bool = False

    @property
    def warning(self) -> str:
        """A sentence for the maintainer; empty if nothing gives the labels away."""
        found = [name for name, tells in ((CHANNEL, self.channel_tells), ("words", self.words_tell)) if tells]
        if not found:
            return ""
        named = " and the ".join(found)
        return f"the {named} alone predict{'' if self.words_tell else 's'} labels here, so both models were given that"


def find_confounds(features: Array, transcripts: Sequence[str | None], shares: Array, folds: Places) -> Confounds:
    """Predict labels from channel and words, out of fold.

    Args:
        features: `channel_features` of each clip, rows of NaN where it has none.
        transcripts: of each clip.
        shares: soft labels, shape (clips, labels).
        folds: of each clip.
    """
    usual = np.nan_to_num(np.nanmean(features, axis=0)) if np.isfinite(features).any() else np.zeros(features.shape[1])
    channel = predict_labels(np.where(np.isfinite(features), features, usual), shares, folds)
    spoken = word_features(transcripts)
    words = None if spoken is None else predict_labels(spoken, shares, folds)
    hints = {CHANNEL: channel} if words is None else {CHANNEL: channel, "words": words}
    return Confounds(hints, give_away(channel, shares), words is not None and give_away(words, shares))


def channel_of_clips(paths: Sequence[Path]) -> Array:
    """`channel_features` of recordings, shape (clips, features); NaN where one cannot be read, as erased ones."""
    rows = np.full((len(paths), FEATURES), np.nan)
    for row, path in zip(rows, paths, strict=True):
        with suppress(AudioError):
            row[:] = channel_features(decode_file(path).signal)
    return rows


def channel_features(signal: Signal) -> Array:
    """Describe the recording and not the voice: noise floor by band, band edge, silence around the speech, decay.

    Args:
        signal: the whole recording at 16 kHz.

    Returns:
        Shape (`FEATURES`,).

    >>> hum = np.sin(np.arange(16_000) * 0.3).astype(np.float32) / 1000
    >>> channel_features(hum).shape
    (22,)
    """
    padded = np.pad(signal.astype(np.float64), (0, max(FRAME - len(signal), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[:: FRAME // 2] * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 + 1e-9
    levels = power.mean(axis=1)
    count = max(FEWEST_QUIET, int(QUIET * len(levels)))
    quiet = np.sort(levels)[:count].mean()
    floor = power[np.argsort(levels)[:count]].mean(axis=0)
    mels = 2595 * np.log10(1 + np.fft.rfftfreq(FRAME, 1 / SAMPLING_RATE) / 700)
    band = np.digitize(mels, np.linspace(75.0, mels[-1], BANDS + 1)[1:-1])
    noise = [np.log10(floor[band == place].mean()) for place in range(BANDS)]
    loudest = power.max(axis=0)
    edge = np.flatnonzero(loudest > loudest.max() * 10**-BELOW_PEAK).max() / len(loudest)
    sound = np.flatnonzero(levels > quiet * 10**SILENCE)
    around = (sound[0], len(levels) - 1 - sound[-1]) if len(sound) else (len(levels), len(levels))
    drops = np.quantile(np.diff(np.log10(levels)), DROPS) if len(levels) > 1 else np.zeros(len(DROPS))
    return np.array([*noise, edge, *np.log1p(around), *drops])


def word_features(transcripts: Sequence[str | None]) -> Array | None:
    """Count the commonest words and word pairs of each transcript; None if nobody says anything.

    >>> word_features(["Yes, I do", None, "I do not"]).shape[0]
    3
    """
    spoken = [re.findall(r"\w+", (text or "").casefold()) for text in transcripts]
    terms = [{*words, *(" ".join(pair) for pair in zip(words, words[1:], strict=False))} for words in spoken]
    counts: dict[str, int] = {}
    for part in terms:
        for term in part:
            counts[term] = counts.get(term, 0) + 1
    # A word that everybody says tells nothing.
    useful = [term for term in sorted(counts, key=lambda term: (-counts[term], term)) if 1 < counts[term] < len(terms)]
    chosen = useful[:WORD_FEATURES]
    return np.array([[float(term in part) for term in chosen] for part in terms]) if chosen else None


def predict_labels(features: Array, shares: Array, folds: Places) -> Array:
    """Predict each clip's label by linear discriminants of these features that have not seen its fold.

    Args:
        features: shape (clips, size).
        shares: soft labels, shape (clips, labels).
        folds: of each clip.

    Returns:
        Log probabilities if all labels were as frequent, shape (clips, labels).
    """
    scale = features.std(axis=0)
    points = (features - features.mean(axis=0)) / np.where(scale > 1e-9, scale, 1.0)
    return np.log(np.maximum(discriminate(points, shares, folds), 1e-6))


def give_away(logs: Array, shares: Array) -> bool:
    """Tell if a prediction of the labels is better than chance, each label counting alike.

    Args:
        logs: as `predict_labels` gives them.
        shares: soft labels, shape (clips, labels).
    """
    truth = shares.argmax(axis=1)
    labels, counts = np.unique(truth, return_counts=True)
    if len(truth) < FEWEST_CLIPS or len(labels) < 2:
        return False
    right = truth == labels[logs[:, labels].argmax(axis=1)]
    recalls = np.array([right[truth == label].mean() for label in labels])
    chance = 1.0 / len(labels)
    error = np.sqrt((chance * (1.0 - chance) / counts).sum()) / len(labels)
    return bool(recalls.mean() > chance + max(DEVIATIONS * error, KNOWN_SHARE * (1.0 - chance)))
