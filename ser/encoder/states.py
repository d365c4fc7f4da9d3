"""Hidden states of any audio encoder of transformers, pooled over the clip's own frames. Needs torch.

The same functions serve answering and fine-tuning: training sees what serving sees. Runs no code of a checkpoint.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel
from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES

from ser.checkpoints.folder import check_weights
from ser.checkpoints.pretrained import LOADING_ERRORS, describe_failure, load_config, load_extractor, quiet_loading
from ser.errors import ModelUnavailableError
from ser.types import SAMPLING_RATE, Signal

WHISPER, AST = "whisper", "audio-spectrogram-transformer"

REAL = "real"
"""Name of the input that tells which share of a clip's frames is the clip, 0..1; what follows it is padding."""

NOT_EMBEDDING = ("decoder.", "masked_spec_embed")
"""Weights that embedding a clip does without: Whisper's decoder, and what hides frames in wav2vec2's own training."""


def load_pretrained(folder: Path, name: str) -> tuple[Any, Any]:
    """Load an encoder without its head and the extractor of its inputs.

    Args:
        folder: of any checkpoint that transformers knows as an audio encoder, finished for some task or not.
        name: for messages.

    Returns:
        The model in evaluation mode on the CPU, in float32, and its feature extractor.

    Raises:
        ModelUnavailableError: if it is damaged, incomplete, no audio encoder, or for another sampling rate.
    """
    check_weights(folder)
    config = load_config(folder)
    if config.model_type not in MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES:
        raise ModelUnavailableError(
            f"'{name}' is a {config.model_type} model; an audio encoder is expected, such as wav2vec2, hubert, wavlm "
            "or whisper. Name another checkpoint."
        )
    extractor = load_extractor(folder)
    try:
        with quiet_loading():
            model, report = AutoModel.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
            )
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(
            f"'{name}' cannot be loaded as an audio encoder: {describe_failure(error)}"
        ) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(NOT_EMBEDDING))
    if missing:
        raise ModelUnavailableError(
            f"The checkpoint '{name}' lacks {', '.join(missing[:3])}: its embeddings would be random. Take it from its "
            "source again."
        )
    if config.model_type == WHISPER:
        # Half of the weights, that nobody asks for words here.
        model.decoder = None
    return model.eval(), extractor


def extract(extractor: Any, signals: Sequence[Signal]) -> dict[str, torch.Tensor]:
    """Turn signals into a batch of inputs of one length.

    Args:
        extractor: as `load_pretrained` gives it.
        signals: float32 of shape (samples,) at 16 kHz.

    Returns:
        The arguments of the encoder by name, and `real` of shape (signals,): the share of each that is no padding.
    """
    lengths = np.array([len(signal) for signal in signals])
    if getattr(extractor, "nb_max_frames", None) is not None:
        # Up to the longest clip, not to the 30 s that Whisper's extractor fills up by default.
        frames = np.maximum(2, lengths // extractor.hop_length)
        given = extractor(list(signals), sampling_rate=SAMPLING_RATE, return_tensors="pt", padding="longest")
        inputs = {"input_features": given["input_features"][:, :, : frames.max()]}
        real = frames / frames.max()
    elif isinstance(getattr(extractor, "max_length", None), int):
        # AST's frames are of 10 ms, and their number is fixed.
        given = extractor(list(signals), sampling_rate=SAMPLING_RATE, return_tensors="pt")
        inputs = {name: given[name] for name in given}
        real = np.minimum(1.0, lengths / (extractor.max_length * SAMPLING_RATE // 100))
    else:
        given = extractor(list(signals), sampling_rate=SAMPLING_RATE, return_tensors="pt", padding=True)
        inputs = {name: given[name] for name in given}
        real = lengths / lengths.max()
    return {**inputs, REAL: torch.from_numpy(real.astype(np.float32))}


def hidden_states(model: Any, inputs: Mapping[str, torch.Tensor]) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
    """Compute the input of the first layer and the output of each.

    Args:
        model: as `load_pretrained` gives it.
        inputs: as `extract` gives them, on the device of the model.

    Returns:
        Of each layer a tensor of shape (clips, frames, width), and which frames are the clips', 1 or 0 of shape
        (clips, frames).
    """
    given = dict(inputs)
    real = given.pop(REAL)
    if model.config.model_type == WHISPER:
        return _whisper_states(model.encoder, given["input_features"], real)
    states: Sequence[torch.Tensor] = model(**given, output_hidden_states=True).hidden_states
    mask = _ast_mask(model.config, real) if model.config.model_type == AST else _mask(states[0].shape[1], real)
    return states, mask


def pool(states: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """Compute mean and standard deviation over the real frames.

    Args:
        states: of each layer, shape (clips, frames, width).
        mask: 1 for real frames, shape (clips, frames).

    Returns:
        Shape (clips, layers * 2 * width), float32: of each layer the means, then the deviations.
    """
    weights = (mask / mask.sum(1, keepdim=True))[:, :, None]
    parts = []
    for state in states:
        values = state.float()
        means = (values * weights).sum(1)
        variances = ((values - means[:, None]).square() * weights).sum(1)
        # The root's slope at zero is infinite, and clips of one frame have no deviation.
        parts += [means, variances.clamp_min(1e-10).sqrt()]
    return torch.cat(parts, dim=1)


def _whisper_states(
    encoder: Any, spectra: torch.Tensor, real: torch.Tensor
) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
    """Pass clips through Whisper's encoder without filling them up to 30 s, which its own `forward` demands.

    Source of the order of layers: `WhisperEncoder.forward` of transformers 5.23.
    """
    state = torch.nn.functional.gelu(encoder.conv1(spectra))
    state = torch.nn.functional.gelu(encoder.conv2(state)).permute(0, 2, 1)
    state = state + encoder.embed_positions.weight[: state.shape[1]]
    mask = _mask(state.shape[1], real)
    attention = mask[:, None, None, :] > 0
    if encoder.config._attn_implementation != "sdpa":
        attention = torch.zeros_like(mask).masked_fill(mask == 0, torch.finfo(mask.dtype).min)[:, None, None, :]
    states = [state]
    for layer in encoder.layers:
        given = layer(state, attention)
        state = given[0] if isinstance(given, tuple) else given
        states.append(state)
    return [*states, encoder.layer_norm(state)], mask


def _mask(frames: int, real: torch.Tensor) -> torch.Tensor:
    """Mark the first share of the frames, at least one."""
    places = torch.arange(frames, device=real.device)
    # A hair less than the product: rounding must not add a frame.
    return (places[None, :] < (real[:, None] * frames - 1e-3).clamp_min(0.5)).float()


def _ast_mask(config: Any, real: torch.Tensor) -> torch.Tensor:
    """Mark AST's two tokens of its own and the patches that begin within the clip; patches go band by band."""
    bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    steps = (config.max_length - config.patch_size) // config.time_stride + 1
    patches = _mask(steps, real).repeat(1, bands)
    return torch.cat([torch.ones_like(patches[:, :2]), patches], dim=1)
