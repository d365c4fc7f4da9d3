"""Choice of the weights of a pretrained network that are trained: all, none, the last layers, or `peft`'s additions.

Serves audio encoders and language models alike; knows them by their build: the longest list of layers is the
transformer.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from peft import (
    AdaLoraConfig,
    AdaLoraModel,
    IA3Config,
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    TaskType,
    get_peft_model,
)
from torch import nn
from transformers.pytorch_utils import Conv1D

from ser.config import LoopConfig, TrainConfig
from ser.errors import SettingsError

ATTENTION = (("q_proj", "v_proj"), ("query", "value"), ("query_proj", "value_proj"), ("linear_q", "linear_v"))
"""Names of the projections that LoRA adapts in audio encoders, of which `peft` has no list.

Source: Hu et al. 2021, "LoRA", https://arxiv.org/abs/2106.09685 (4.2)."""

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

VIRTUAL_TOKENS = 20
"""Trained tokens in front of each sentence. Source: Lester et al. 2021, https://arxiv.org/abs/2104.08691 (3.2)."""

ORTHOGONALITY = 0.5
"""Weight of the pull of AdaLoRA's matrices towards orthogonal ones; the value is `peft`'s.

Source: Zhang et al. 2023, "AdaLoRA", https://arxiv.org/abs/2303.10512"""


def adapt_encoder(network: Any, config: TrainConfig, steps: int) -> nn.Module:
    """Set which parameters of an audio encoder are trained, as `config.tune` says; its classifier head always is.

    Args:
        network: an `EncoderClassifier`; changed in place.
        config: `tune`, `lora_rank`, `gradient_checkpointing`.
        steps: of the optimiser in all; AdaLoRA distributes its ranks over them.

    Returns:
        What is to be trained; `merge_adapters` gives the network back.

    Raises:
        SettingsError: if the encoder has fewer layers than are to be trained, or nothing that the method can adapt.
    """
    encoder = network.encoder
    method, _, count = config.tune.partition(":")
    if method in ("prefix", "prompt"):
        raise SettingsError(
            f"tune is '{method}', which adds tokens to a text; an audio encoder ({encoder.config.model_type}) has "
            "none. Take lora, adalora, ia3, head, top-k:N or full."
        )
    if getattr(encoder.config, "layerdrop", 0.0):
        # The head is on all layers: none can be left out at a step.
        encoder.config.layerdrop = 0.0
    encoder.requires_grad_(method == "full")
    front = getattr(encoder, "feature_extractor", None)
    if front is not None and hasattr(front, "_freeze_parameters"):
        # The convolutions over the waveform. Source: Baevski et al. 2020, https://arxiv.org/abs/2006.11477 (4.3).
        front._freeze_parameters()
    asked = config.gradient_checkpointing
    large = sum(parameter.numel() for parameter in encoder.parameters()) > LARGE
    if method != "head" and (asked or (asked is None and large)):
        # The other way of computing twice needs inputs with gradients, which frozen layers do not have.
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if method == "top-k":
        _train_last_layers(encoder, int(count))
    if method in ("lora", "adalora", "ia3"):
        targets, feed_forward = _targets(encoder, method)
        # Only within the encoder's layers: the head has its own weights.
        common: dict[str, Any] = {"target_modules": _within(targets), "modules_to_save": ["classifier"]}
        if method == "ia3":
            common["feedforward_modules"] = _within(feed_forward) if feed_forward else []
        return get_peft_model(network, _peft_config(method, config, steps, common))
    return nn.Module.train(network)


def adapt_text(network: Any, config: LoopConfig, steps: int) -> nn.Module:
    """Set which parameters of a language model are trained, as `config.tune` says; its classifier head always is.

    Args:
        network: a model of transformers for sequence classification, BERT-like or GPT-like; changed in place.
        config: `tune` and `lora_rank`.
        steps: as for `adapt_encoder`.

    Returns:
        The model to train.

    Raises:
        SettingsError: if the model has nothing that the method can adapt.
    """
    method, _, count = config.tune.partition(":")
    if method == "full":
        return network
    if method in ("frozen", "head", "top-k"):
        network.requires_grad_(False)
        after = [part for name, part in network.named_children() if name != network.base_model_prefix]
        for part in after if method != "head" else [_linear_layers(after)[-1]]:
            part.requires_grad_(True)
        if method == "top-k":
            _train_last_layers(getattr(network, network.base_model_prefix), int(count))
        return network
    # peft knows the attention of each architecture. Source: `peft.utils.constants`.
    common: dict[str, Any] = {"task_type": TaskType.SEQ_CLS}
    if method in ("lora", "adalora"):
        common["fan_in_fan_out"] = any(isinstance(module, Conv1D) for module in network.modules())
    try:
        return get_peft_model(network, _peft_config(method, config, steps, common))
    except (ValueError, KeyError) as error:
        kind = network.config.model_type
        raise SettingsError(
            f"tune is '{config.tune}', which peft cannot apply to a model of type {kind} ({error}). Take 'full', "
            "'frozen', 'head' or 'top-k:N'."
        ) from error


def merge_adapters(network: Any) -> Any:
    """Return the network alone, with what was trained in added matrices and vectors put into its weights."""
    return network.merge_and_unload() if isinstance(network, PeftModel) else network


def is_prompted(network: Any) -> bool:
    """Tell a model with trained tokens, which cannot be merged into its weights."""
    return isinstance(network, PeftModel) and bool(network.active_peft_config.is_prompt_learning)


class RankSchedule:
    """AdaLoRA's distribution of ranks over the matrices, which goes on with the steps."""

    def __init__(self, model: AdaLoraModel) -> None:
        self._model = model

    @classmethod
    def of(cls, network: nn.Module) -> "RankSchedule | None":
        """Find it in a network; None if there is none."""
        found = next((module for module in network.modules() if isinstance(module, AdaLoraModel)), None)
        return None if found is None else cls(found)

    def update(self, step: int) -> None:
        """Distribute the ranks anew; called after each step, from 1, while its gradients are there."""
        self._model.update_and_allocate(step)

    def penalty(self) -> torch.Tensor:
        """Compute the mean distance of the outer matrices' products from identity, weighted."""
        distances = []
        for name, matrix in self._model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                product = matrix @ matrix.T if "lora_A" in name else matrix.T @ matrix
                distances.append(torch.linalg.matrix_norm(product - torch.eye(len(product), device=matrix.device)))
        return ORTHOGONALITY * torch.stack(distances).mean()

    _MEMORY = ("ipt", "exp_avg_ipt", "exp_avg_unc")

    def state(self) -> dict[str, Any]:
        """Collect what the distribution remembers between steps."""
        memory = {name: dict(getattr(self._model.rankallocator, name)) for name in self._MEMORY}
        pattern = self._model.peft_config[self._model.trainable_adapter_name].rank_pattern
        return {**memory, "pattern": dict(pattern or {})}

    def set_state(self, state: Mapping[str, Any], device: str) -> None:
        """Put that back."""
        for name in self._MEMORY:
            there = {key: value.to(device) for key, value in state[name].items()}
            setattr(self._model.rankallocator, name, there)
        self._model.peft_config[self._model.trainable_adapter_name].rank_pattern = state["pattern"]


def transformer_layers(encoder: nn.Module) -> nn.ModuleList:
    """Find the list of layers that holds most of the parameters.

    >>> stack = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    >>> len(transformer_layers(nn.ModuleDict({"layers": stack, "others": nn.ModuleList([nn.Linear(1, 1)])})))
    2
    """
    lists = [module for module in encoder.modules() if isinstance(module, nn.ModuleList) and len(module)]
    return max(lists, key=lambda layers: sum(p.numel() for p in layers.parameters()))


def _train_last_layers(encoder: nn.Module, count: int) -> None:
    layers = transformer_layers(encoder)
    if count > len(layers):
        raise SettingsError(f"tune is 'top-k:{count}', but the model has {len(layers)} layers. Name fewer, or 'full'.")
    # A norm next to the layers belongs to what they give.
    around = [module for module in encoder.modules() if any(child is layers for child in module.children())]
    norms = [child for module in around for child in module.children() if isinstance(child, nn.LayerNorm)]
    for part in (*layers[len(layers) - count :], *norms):
        part.requires_grad_(True)


def _linear_layers(parts: list[nn.Module]) -> list[nn.Module]:
    return [module for part in parts for module in part.modules() if isinstance(module, nn.Linear)]


def _peft_config(method: str, config: LoopConfig, steps: int, common: dict[str, Any]) -> Any:
    if method in ("prefix", "prompt"):
        kind = PrefixTuningConfig if method == "prefix" else PromptTuningConfig
        return kind(num_virtual_tokens=VIRTUAL_TOKENS, **common)
    if method == "ia3":
        return IA3Config(**common)
    common["lora_alpha"] = 2 * config.lora_rank
    if method == "lora":
        return LoraConfig(r=config.lora_rank, **common)
    # Source of the shares: Zhang et al. 2023, as above: ranks begin higher by half and are distributed between a
    # warm-up and a last stretch in which they stay.
    return AdaLoraConfig(
        init_r=config.lora_rank + config.lora_rank // 2,
        target_r=config.lora_rank,
        tinit=steps // 10,
        tfinal=steps // 3,
        deltaT=max(1, steps // 50),
        total_step=max(steps, 1),
        **common,
    )


def _within(names: tuple[str, ...]) -> str:
    return rf"encoder\..*\.({'|'.join(re.escape(name) for name in names)})"


def _targets(encoder: Any, method: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the linear layers of an encoder that a method adapts, and those of them in the feed-forward part.

    Raises:
        SettingsError: if the encoder has none of the names that are known.
    """
    names = {name.rpartition(".")[2] for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    choices = KEYS_AND_VALUES if method == "ia3" else ATTENTION
    second = tuple(name for name in SECOND_FEED_FORWARD if name in names) if method == "ia3" else ()
    attention = next((pair for pair in choices if set(pair) <= names), ())
    if encoder.config.model_type in BARE_ATTENTION:
        attention = () if method == "ia3" else FEED_FORWARD
    if not attention and not second:
        known = " or ".join(", ".join(pair) for pair in choices)
        raise SettingsError(
            f"tune is '{method}', but {type(encoder).__name__} has no projections that it knows ({known}). Take "
            "'full', 'head' or 'top-k:N'."
        )
    return (*attention, *second), second
