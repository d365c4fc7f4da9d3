"""Which weights of an encoder learn: all, none, the last layers, or small matrices and vectors that `peft` adds.

Knows encoders of transformers by their build: the longest list of layers is the transformer.
"""

import re
from typing import Any

from peft import AdaLoraConfig, IA3Config, LoraConfig, PeftModel, get_peft_model
from torch import nn

from ser.config import TrainConfig
from ser.errors import SettingsError

ATTENTION = (("q_proj", "v_proj"), ("query", "value"), ("query_proj", "value_proj"), ("linear_q", "linear_v"))
"""Names of the projections that LoRA adapts. Source: Hu et al. 2021, "LoRA", https://arxiv.org/abs/2106.09685 (4.2)."""

KEYS_AND_VALUES = (("k_proj", "v_proj"), ("key", "value"), ("key_proj", "value_proj"), ("linear_k", "linear_v"))
"""Names of the projections whose outputs IA3 scales. Source: Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning
is Better and Cheaper than In-Context Learning", https://arxiv.org/abs/2205.05638 (3.3); so for the following."""

SECOND_FEED_FORWARD = ("output_dense", "fc2")
"""Names of the layer whose inputs IA3 scales."""

BARE_ATTENTION = ("wavlm",)
"""Architectures that hand the weights of their attention on as bare tensors: what `peft` adds to them has no effect."""

FEED_FORWARD = ("intermediate_dense", "output_dense")
"""Names of what is adapted there instead."""

LARGE = 150_000_000
"""Parameters from which layers are computed twice rather than kept, if nothing else is asked for."""

NO_PROMPTS = ("prefix", "prompt")
"""What `peft` can only add to models of text: a prefix needs keys and values of past tokens, a prompt embeddings of
tokens. Source: `peft` 0.21, `PeftModel.get_prompt` and its callers."""


def prepare_encoder(network: Any, config: TrainConfig, steps: int) -> nn.Module:
    """Set which parameters learn, as `config.tune` says; the classifier head always does.

    Args:
        network: an `EncoderClassifier`; changed in place.
        config: `tune`, `lora_rank`, `gradient_checkpointing`.
        steps: of the optimiser in all; AdaLoRA distributes its ranks over them.

    Returns:
        What is to be trained; `finished_encoder` gives the network back.

    Raises:
        SettingsError: if the encoder has fewer layers than are to learn, or nothing that the method can adapt.
    """
    encoder = network.encoder
    if config.tune in NO_PROMPTS:
        raise SettingsError(
            f"tune is '{config.tune}', which adds tokens to a text; an audio encoder ({encoder.config.model_type}) has "
            "none. Take lora, adalora, ia3, head, top-k:N or full."
        )
    if getattr(encoder.config, "layerdrop", 0.0):
        # The head is on all layers: none can be left out at a step.
        encoder.config.layerdrop = 0.0
    for parameter in encoder.parameters():
        parameter.requires_grad_(config.tune == "full")
    front = getattr(encoder, "feature_extractor", None)
    if front is not None and hasattr(front, "_freeze_parameters"):
        # The convolutions over the waveform. Source: Baevski et al. 2020, https://arxiv.org/abs/2006.11477 (4.3).
        front._freeze_parameters()
    asked = config.gradient_checkpointing
    large = sum(parameter.numel() for parameter in encoder.parameters()) > LARGE
    if config.tune != "head" and (asked or (asked is None and large)):
        # The other way of computing twice needs inputs with gradients, which frozen layers do not have.
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if config.tune in ("lora", "adalora", "ia3"):
        return _adapted(network, config, steps)
    if config.tune.startswith("top-k:"):
        for part in _last_layers(encoder, int(config.tune.partition(":")[2])):
            part.requires_grad_(True)
    return nn.Module.train(network)


def finished_encoder(network: Any) -> Any:
    """Return the network alone, with what was learnt in matrices and vectors put into its weights."""
    return network.merge_and_unload() if isinstance(network, PeftModel) else network


def inner_network(network: Any) -> Any:
    """Return the `EncoderClassifier` that is trained, adapted or not."""
    return network.get_base_model() if isinstance(network, PeftModel) else network


def transformer_layers(encoder: nn.Module) -> nn.ModuleList:
    """Find the list of layers that holds most of the parameters.

    >>> stack = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    >>> len(transformer_layers(nn.ModuleDict({"layers": stack, "others": nn.ModuleList([nn.Linear(1, 1)])})))
    2
    """
    lists = [module for module in encoder.modules() if isinstance(module, nn.ModuleList) and len(module)]
    return max(lists, key=lambda layers: sum(p.numel() for p in layers.parameters()))


def _last_layers(encoder: nn.Module, count: int) -> list[nn.Module]:
    layers = transformer_layers(encoder)
    if count > len(layers):
        raise SettingsError(
            f"tune is 'top-k:{count}', but the encoder has {len(layers)} layers. Name fewer, or 'full'."
        )
    # A norm next to the layers belongs to what they give.
    around = [module for module in encoder.modules() if any(child is layers for child in module.children())]
    norms = [child for module in around for child in module.children() if isinstance(child, nn.LayerNorm)]
    return [*layers[len(layers) - count :], *norms]


def _adapted(network: Any, config: TrainConfig, steps: int) -> PeftModel:
    targets, feed_forward = _targets(network.encoder, config.tune)
    # Only within the encoder's layers: the head has its own weights.
    pattern = rf"encoder\..*\.({'|'.join(re.escape(name) for name in targets)})"
    common: dict[str, Any] = {"target_modules": pattern, "modules_to_save": ["classifier"]}
    if config.tune == "ia3":
        inputs = rf"encoder\..*\.({'|'.join(feed_forward)})" if feed_forward else []
        return get_peft_model(network, IA3Config(feedforward_modules=inputs, **common))
    common["lora_alpha"] = 2 * config.lora_rank
    if config.tune == "lora":
        return get_peft_model(network, LoraConfig(r=config.lora_rank, **common))
    # Source of the shares: Zhang et al. 2023, "AdaLoRA", https://arxiv.org/abs/2303.10512: ranks begin higher by half
    # and are distributed between a warm-up and a last stretch in which they stay.
    ranks = AdaLoraConfig(
        init_r=config.lora_rank + config.lora_rank // 2,
        target_r=config.lora_rank,
        tinit=steps // 10,
        tfinal=steps // 3,
        deltaT=max(1, steps // 50),
        total_step=max(steps, 1),
        **common,
    )
    return get_peft_model(network, ranks)


def _targets(encoder: Any, method: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the linear layers that a method adapts, and those of them that are in the feed-forward part.

    Raises:
        SettingsError: if the encoder has none of the names that are known.
    """
    names = {name.rpartition(".")[2] for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    choices = KEYS_AND_VALUES if method == "ia3" else ATTENTION
    second = tuple(name for name in SECOND_FEED_FORWARD if name in names) if method == "ia3" else ()
    bare = encoder.config.model_type in BARE_ATTENTION
    attention = next((pair for pair in choices if set(pair) <= names), ())
    if bare:
        attention = () if method == "ia3" else FEED_FORWARD
    if not attention and not second:
        known = " or ".join(", ".join(pair) for pair in choices)
        raise SettingsError(
            f"tune is '{method}', but {type(encoder).__name__} has no projections that it knows ({known}). Take "
            "'full', 'head' or 'top-k:N'."
        )
    return (*attention, *second), second
