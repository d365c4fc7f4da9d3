"""The embedded Whisper weights as a model of transformers, for fine-tuning and for export. Brings torch in."""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from ser.encoder.weights import DIMENSIONS, WEIGHTS_FILE, Weights, find_weights, read_weights

_ATTENTIONS = {
    "encoder": {"self_attention": "self_attn"},
    "decoder": {"self_attention": "self_attn", "attention": "encoder_attn"},
}
"""CTranslate2's names of the attention blocks of each half, and transformers'."""


def load_whisper(folder: Path | None = None) -> WhisperForConditionalGeneration:
    """Build the transformers form of Whisper tiny.en, in float32 and evaluation mode.

    Args:
        folder: with CTranslate2's `model.bin` and `config.json`; by default the embedded weights.

    Raises:
        ModelUnavailableError: if the weights are absent or damaged.
    """
    folder = folder or find_weights()
    sizes = DIMENSIONS
    config = WhisperConfig(
        vocab_size=sizes.vocabulary,
        num_mel_bins=sizes.mels,
        d_model=sizes.width,
        encoder_layers=sizes.layers,
        decoder_layers=sizes.layers,
        encoder_attention_heads=sizes.heads,
        decoder_attention_heads=sizes.heads,
        encoder_ffn_dim=sizes.hidden,
        decoder_ffn_dim=sizes.hidden,
        max_source_positions=sizes.positions,
        max_target_positions=448,
        # Source: generation settings of https://huggingface.co/openai/whisper-tiny.en
        decoder_start_token_id=50257,
        bos_token_id=50256,
        eos_token_id=50256,
        pad_token_id=50256,
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    state = {f"model.{name}": value for name, value in state_dict(read_weights(folder / WEIGHTS_FILE)).items()}
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    known = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model.generation_config.suppress_tokens = known.get("suppress_ids")
    model.generation_config.begin_suppress_tokens = known.get("suppress_ids_begin")
    return model.eval()


def state_dict(weights: Weights) -> dict[str, torch.Tensor]:
    """Rename the variables of CTranslate2's Whisper to those of transformers' `WhisperModel`, in float32.

    Stacked projections are taken apart: `linear_0` of a self-attention holds query, key and value, `linear_1` of a
    cross-attention key and value; the key has no bias.
    Source: `ctranslate2/converters/transformers.py`, `WhisperLoader`.
    """
    state: dict[str, torch.Tensor] = {}

    def put(name: str, values: np.ndarray) -> None:
        state[name] = torch.from_numpy(np.array(values, dtype=np.float32))

    def norm(ours: str, theirs: str) -> None:
        put(f"{theirs}.weight", weights[f"{ours}/gamma"])
        put(f"{theirs}.bias", weights[f"{ours}/beta"])

    def linears(ours: str, *theirs: str) -> None:
        kernels = np.split(weights[f"{ours}/weight"], len(theirs))
        for name, kernel, bias in zip(theirs, kernels, np.split(weights[f"{ours}/bias"], len(theirs)), strict=True):
            put(f"{name}.weight", kernel)
            if not name.endswith("k_proj"):
                put(f"{name}.bias", bias)

    for part in ("conv1", "conv2"):
        linears(f"encoder/{part}", f"encoder.{part}")
    put("decoder.embed_tokens.weight", weights["decoder/embeddings/weight"])
    for half, attentions in _ATTENTIONS.items():
        put(f"{half}.embed_positions.weight", weights[f"{half}/position_encodings/encodings"])
        norm(f"{half}/layer_norm", f"{half}.layer_norm")
        for layer in range(DIMENSIONS.layers):
            ours, theirs = f"{half}/layer_{layer}", f"{half}.layers.{layer}"
            norm(f"{ours}/ffn/layer_norm", f"{theirs}.final_layer_norm")
            linears(f"{ours}/ffn/linear_0", f"{theirs}.fc1")
            linears(f"{ours}/ffn/linear_1", f"{theirs}.fc2")
            for block, name in attentions.items():
                block, target = f"{ours}/{block}", f"{theirs}.{name}"
                norm(f"{block}/layer_norm", f"{target}_layer_norm")
                projections = [f"{target}.{letter}_proj" for letter in "qkv"]
                if name == "self_attn":
                    linears(f"{block}/linear_0", *projections)
                    linears(f"{block}/linear_1", f"{target}.out_proj")
                else:
                    linears(f"{block}/linear_0", projections[0])
                    linears(f"{block}/linear_1", *projections[1:])
                    linears(f"{block}/linear_2", f"{target}.out_proj")
    return state
