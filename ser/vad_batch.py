"""Silero's speech probabilities for many recordings at once: large matrix products in place of many small ones.

Computes what the network in `ser.vad` computes, from the same package's weights; brings torch in to read them. Knows
nothing of regions or emotions.
"""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ser.types import Signal

FRAME, CONTEXT, STATE = 512, 64, 128
"""Samples per decision, samples of the frame before that are heard again, and the size of the memory.

Source: silero-vad 6.2, sequence_vad.py."""

FFT, HOP, MIRRORED = 256, 128, 64
"""Samples of a spectrum, from spectrum to spectrum, and mirrored at the end.

Source: silero-vad 6.2, tinygrad_model.py."""

CELL = slice(2 * STATE, 3 * STATE)
"""Where the LSTM's gates hold what is new; before it lie the doors in and of what is kept, behind it the door out."""

FRAMES_AT_ONCE = 512
"""Bounds the working memory: 16 s of speech, 7 MB, which a core keeps close. A clip of 3.7 s took 2.05 ms
of processor time, 2.6 with 4,096 frames and 2.4 with 64."""

Array = npt.NDArray[np.float32]


class Weights(NamedTuple):
    """The network's parameters, laid out for matrix products.

    `inputs`, `memory` and `bias` of the LSTM are halved where a sigmoid follows, so that tanh serves all its gates.
    """

    basis: Array
    convolutions: tuple[tuple[Array, Array, int], ...]
    inputs: Array
    memory: Array
    bias: Array
    output: Array
    output_bias: float


@lru_cache(maxsize=1)
def load_weights(path: Path) -> Weights:
    """Read and lay out the weights of `silero_vad.jit`, which equal those of the ONNX forms.

    (`silero_vad_16k.safetensors`, as of 6.2.3, holds those of an earlier network.)
    """
    with warnings.catch_warnings():
        # The package ships the weights in this form only, whatever torch thinks of it.
        warnings.simplefilter("ignore", DeprecationWarning)
        given = {name: tensor.numpy() for name, tensor in torch.jit.load(path).state_dict().items()}
    strides = (1, 2, 2, 1)

    def kernel(name: str) -> Array:
        # (outputs, inputs, steps) -> (steps * inputs, outputs): a convolution as one matrix product.
        values = given[name]
        return np.ascontiguousarray(values.transpose(2, 1, 0).reshape(-1, len(values)))

    halved = np.full(4 * STATE, 0.5, np.float32)
    halved[CELL] = 1.0
    return Weights(
        basis=np.ascontiguousarray(given["_model.stft.forward_basis_buffer"][:, 0].T),
        convolutions=tuple(
            (kernel(f"_model.encoder.{n}.reparam_conv.weight"), given[f"_model.encoder.{n}.reparam_conv.bias"], stride)
            for n, stride in enumerate(strides)
        ),
        inputs=np.ascontiguousarray(given["_model.decoder.rnn.weight_ih"].T) * halved,
        memory=np.ascontiguousarray(given["_model.decoder.rnn.weight_hh"].T) * halved,
        bias=(given["_model.decoder.rnn.bias_ih"] + given["_model.decoder.rnn.bias_hh"]) * halved,
        output=np.ascontiguousarray(given["_model.decoder.decoder.2.weight"][:, :, 0].T),
        output_bias=float(given["_model.decoder.decoder.2.bias"][0]),
    )


def speech_probabilities(signals: Sequence[Signal], weights: Weights) -> list[Array]:
    """The probability of speech in each frame of 32 ms, for each recording.

    Args:
        signals: each float32 of shape (samples,) at 16 kHz; the last frame is filled up with zeros.
        weights: of `load_weights`.

    Returns:
        For each recording float32 of shape (frames,), 0..1; as one by one but for rounding.
    """
    counts = [-(-len(signal) // FRAME) for signal in signals]
    if not any(counts):
        return [np.zeros(0, np.float32) for _ in signals]
    encoded = _encode_all(signals, counts, weights)
    # The longest first: at each step the recordings that still go on are the first rows.
    order = np.argsort([-count for count in counts], kind="stable")
    gates = np.zeros((max(counts), len(signals), 4 * STATE), np.float32)
    for row, which in enumerate(order):
        gates[: counts[which], row] = encoded[which] @ weights.inputs + weights.bias
    hidden = np.zeros((len(signals), STATE), np.float32)
    cell = np.zeros_like(hidden)
    heard = np.zeros((max(counts), len(signals), STATE), np.float32)
    sizes = np.array(counts)[order]
    for step in range(max(counts)):
        active = int(np.count_nonzero(sizes > step))
        _step(gates[step, :active], hidden[:active], cell[:active], weights.memory)
        heard[step, :active] = hidden[:active]
    logits = np.maximum(heard, 0.0).reshape(-1, STATE) @ weights.output + weights.output_bias
    scores = _sigmoid(logits).reshape(heard.shape[:2])
    places = np.argsort(order)
    return [scores[:count, places[which]] for which, count in enumerate(counts)]


def _step(gate: Array, hidden: Array, cell: Array, memory: Array) -> None:
    """One step of the LSTM, in place: many small calls cost more than what they compute."""
    gate += hidden @ memory
    np.tanh(gate, out=gate)
    # sigmoid(x) = (1 + tanh(x / 2)) / 2; the halves within are in the weights.
    new = gate[:, CELL].copy()
    gate += 1.0
    gate *= 0.5
    cell *= gate[:, STATE : 2 * STATE]
    new *= gate[:, :STATE]
    cell += new
    np.tanh(cell, out=hidden)
    hidden *= gate[:, 3 * STATE :]


def _encode_all(signals: Sequence[Signal], counts: Sequence[int], weights: Weights) -> list[Array]:
    """Everything that looks at one frame alone; for each recording shape (frames, STATE)."""
    frames = np.concatenate([_frames(signal, count) for signal, count in zip(signals, counts, strict=True)])
    blocks = [
        _encode(frames[first : first + FRAMES_AT_ONCE], weights) for first in range(0, len(frames), FRAMES_AT_ONCE)
    ]
    ends = np.cumsum(counts)[:-1]
    return np.split(np.concatenate(blocks), ends)


def _frames(signal: Signal, count: int) -> Array:
    """Shape (count, CONTEXT + FRAME + MIRRORED): each frame with the samples before it, its end mirrored."""
    padded = np.zeros(CONTEXT + count * FRAME, np.float32)
    padded[CONTEXT : CONTEXT + len(signal)] = signal
    if not count:
        return np.zeros((0, CONTEXT + FRAME + MIRRORED), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]
    return np.pad(windows, ((0, 0), (0, MIRRORED)), mode="reflect")


def _encode(frames: Array, weights: Weights) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(frames, FFT, axis=1)[:, ::HOP]
    # Flat and contiguous: of overlapping windows NumPy would make no matrix product, but a loop.
    spectra = (windows.reshape(-1, FFT) @ weights.basis).reshape(len(frames), -1, weights.basis.shape[1])
    half = spectra.shape[-1] // 2
    hidden = np.sqrt(np.square(spectra[..., :half]) + np.square(spectra[..., half:]))
    for kernel, bias, stride in weights.convolutions:
        padded = np.pad(hidden, ((0, 0), (1, 1), (0, 0)))
        steps = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)[:, ::stride]
        joined = steps.transpose(0, 1, 3, 2).reshape(-1, len(kernel))
        hidden = np.maximum(joined @ kernel + bias, 0.0).reshape(len(frames), -1, len(bias))
    return hidden[:, 0]


def _sigmoid(values: Array) -> Array:
    # tanh never overflows, where exp would.
    result: Array = 0.5 + 0.5 * np.tanh(0.5 * values)
    return result
