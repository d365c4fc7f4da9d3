"""Which weights of a pretrained language model are trained: all, none, the last layers, or what `peft` adds to them.

Knows transformers' models for sequence classification, BERT-like and GPT-like ones.
"""

import inspect
from typing import Any

import torch
from peft import (
    AdaLoraConfig,
    IA3Config,
    LoraConfig,
    PeftModel,
    PeftType,
    PrefixTuningConfig,
    PromptTuningConfig,
    TaskType,
    get_peft_model,
)
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ser.errors import SettingsError
from ser.text.config import TextTrainConfig

METHODS = ("full", "frozen", "head", "top-k:N", "lora", "adalora", "ia3", "prefix", "prompt")
"""What `--tune` takes: everything; all but the encoder; only the last layer; the last N layers and all after them; or
one of `peft`'s methods."""

LEARNING_RATES = {
    "full": 3e-5,
    "top-k": 5e-5,
    "frozen": 1e-3,
    "head": 1e-3,
    "lora": 5e-4,
    "adalora": 1e-3,
    "ia3": 5e-3,
    "prefix": 1e-2,
    "prompt": 1e-2,
}
"""Usual peaks; the fewer weights are trained, the larger. Sources: Devlin et al. 2019 (BERT, appendix A.3) for all
weights, and the examples of `peft` for its methods."""

VIRTUAL_TOKENS = 20
"""Trained tokens in front of each sentence. Source: Lester et al. 2021, https://arxiv.org/abs/2104.08691 (3.2)."""


def prepare_text(network: Any, config: TextTrainConfig, steps: int) -> Any:
    """Set which parameters are trained, as `config.tune` says; the classifier head always is.

    Args:
        network: a model of transformers for sequence classification; changed in place.
        config: `tune`, `rank`, `alpha`.
        steps: of the optimiser in all; AdaLoRA distributes its ranks over them.

    Returns:
        The model to train.

    Raises:
        SettingsError: if there is no such method, or the model has nothing that it can adapt.
    """
    method, _, count = config.tune.partition(":")
    if method not in LEARNING_RATES or (method == "top-k") != count.isdecimal():
        raise SettingsError(f"tune is '{config.tune}'; expected one of {', '.join(METHODS)}.")
    if method == "full":
        return network
    if method in ("frozen", "head", "top-k"):
        network.requires_grad_(False)
        for part in _trained_parts(network, method, int(count or 0)):
            part.requires_grad_(True)
        return network
    try:
        return get_peft_model(network, _peft_config(network, method, config, steps))
    except (ValueError, KeyError) as error:
        kind = network.config.model_type
        raise SettingsError(
            f"tune is '{config.tune}', which peft cannot apply to a model of type {kind} ({error}). Take 'full', "
            "'frozen', 'head' or 'top-k:N'."
        ) from error


def finish_text(network: Any) -> tuple[Any, PeftModel | None]:
    """Merge what was trained into the weights where that is possible.

    Returns:
        The model of transformers, and the adapter that has to be saved with it (prefix and prompt) or None.
    """
    if not isinstance(network, PeftModel):
        return network, None
    if network.active_peft_config.is_prompt_learning:
        return network.get_base_model(), network
    return network.merge_and_unload(), None


def text_logits(network: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Run a model on token rows that are padded on the right, with or without what `peft` added to it.

    Trained prefixes and prompts are handed over here: `peft` 0.21 looks for an argument of models (`past_key_values`)
    that transformers has renamed, and hides the padding from GPT-like models, which read the last token.

    Args:
        network: a model of transformers for sequence classification, or a `PeftModel` of one.
        ids: int64 of shape (rows, tokens).
        mask: 1 for a token, 0 for padding, of the same shape.

    Returns:
        Logits of shape (rows, labels).
    """
    if not (isinstance(network, PeftModel) and network.active_peft_config.is_prompt_learning):
        logits: Tensor = network(input_ids=ids, attention_mask=mask).logits
        return logits
    prompt, base = network.get_prompt(len(ids)), network.get_base_model()
    if network.active_peft_config.peft_type == PeftType.PREFIX_TUNING:
        logits = base(input_ids=ids, attention_mask=_extended(mask), cache=prompt).logits
        return logits
    more = {}
    if hasattr(base, "score"):
        # A GPT-like model reads the last position: the padding goes to the front, and counts in no position.
        width = ids.shape[1]
        shifted = (torch.arange(width, device=ids.device) - (width - mask.sum(1, keepdim=True))) % width
        ids, mask = ids.gather(1, shifted), mask.gather(1, shifted)
        if "position_ids" in inspect.signature(base.forward).parameters:
            more["position_ids"] = (_extended(mask).cumsum(1) - 1).clamp(min=0)
    embeddings = torch.cat([prompt, base.get_input_embeddings()(ids)], dim=1)
    logits = base(inputs_embeds=embeddings, attention_mask=_extended(mask), **more).logits
    return logits


def _extended(mask: Tensor) -> Tensor:
    return torch.cat([mask.new_ones(len(mask), VIRTUAL_TOKENS), mask], dim=1)


def _peft_config(network: Any, method: str, config: TextTrainConfig, steps: int) -> Any:
    common = {"task_type": TaskType.SEQ_CLS}
    if method == "prefix":
        return PrefixTuningConfig(num_virtual_tokens=VIRTUAL_TOKENS, **common)
    if method == "prompt":
        return PromptTuningConfig(num_virtual_tokens=VIRTUAL_TOKENS, **common)
    if method == "ia3":
        return IA3Config(**common)
    # peft knows the attention of each architecture. Source: `peft.utils.constants`.
    gpt2 = any(isinstance(module, Conv1D) for module in network.modules())
    sizes = {"lora_alpha": config.alpha, "fan_in_fan_out": gpt2, **common}
    if method == "lora":
        return LoraConfig(r=config.rank, **sizes)
    # Source of the shares: Zhang et al. 2023, "AdaLoRA", https://arxiv.org/abs/2303.10512: ranks begin higher by half
    # and are distributed between a warm-up and a last stretch in which they stay.
    return AdaLoraConfig(
        init_r=config.rank + config.rank // 2,
        target_r=config.rank,
        tinit=steps // 10,
        tfinal=steps // 3,
        deltaT=max(1, steps // 50),
        total_step=max(steps, 1),
        **sizes,
    )


def _trained_parts(network: Any, method: str, count: int) -> list[nn.Module]:
    encoder = network.base_model_prefix
    after = [part for name, part in network.named_children() if name != encoder]
    if method == "head":
        return [[module for part in after for module in part.modules() if isinstance(module, nn.Linear)][-1]]
    if method == "frozen":
        return after
    lists = [m for m in getattr(network, encoder).modules() if isinstance(m, nn.ModuleList) and len(m)]
    layers = max(lists, key=lambda found: sum(p.numel() for p in found.parameters()))
    if not 1 <= count <= len(layers):
        raise SettingsError(
            f"tune is 'top-k:{count}', but the model has {len(layers)} layers. Name 1 to {len(layers)}."
        )
    return [*layers[len(layers) - count :], *after]
