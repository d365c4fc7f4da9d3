"""What of an encoder of others learns: all of it, its head, its last layers, or small matrices beside its weights.

Knows transformers' audio classification models by their build: the largest part is the encoder, its longest list of
layers the transformer.
"""

from typing import Any

from peft import AdaLoraConfig, LoraConfig, PeftModel, get_peft_model
from torch import nn

from ser.config import TrainConfig
from ser.errors import SettingsError

ATTENTION = ("q_proj", "v_proj"), ("query", "value")
"""Names of the projections that LoRA adapts. Source: Hu et al. 2021, "LoRA", https://arxiv.org/abs/2106.09685 (4.2)."""

FEED_FORWARD = ("intermediate_dense", "output_dense")
"""Of WavLM, which hands the weights of its attention on as bare tensors: matrices beside them would not be heard."""

LARGE = 150_000_000
"""Parameters from which layers are computed twice rather than kept, where nothing else is asked for."""


def prepare_encoder(network: Any, config: TrainConfig, steps: int) -> nn.Module:
    """Set which parameters learn, as `config.tune` says.

    Args:
        network: a model of transformers for audio classification; changed in place.
        config: `tune`, `lora_rank`, `gradient_checkpointing`.
        steps: of the optimiser in all; AdaLoRA shares out its ranks over them.

    Returns:
        What is to be trained; `finished_encoder` gives the model back.

    Raises:
        SettingsError: where the model has fewer layers than are to learn, or nothing that LoRA knows.
    """
    if hasattr(network, "freeze_feature_encoder"):
        network.freeze_feature_encoder()
    wished = config.gradient_checkpointing
    if wished or (wished is None and sum(p.numel() for p in network.parameters()) > LARGE):
        # The other way of computing twice needs inputs with gradients, which frozen layers do not have.
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if config.tune in ("lora", "adalora"):
        return _with_matrices(network, config, steps)
    if config.tune == "full":
        return network
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    learning: list[Any] = [last_layer(network)]
    if config.tune != "head":
        encoder = encoder_name(network)
        learning += [part for name, part in network.named_children() if name != encoder]
        learning += _bare_parameters(network)
    if config.tune.startswith("top-k:"):
        learning += _last_layers(network, int(config.tune.partition(":")[2]))
    for part in learning:
        part.requires_grad_(True)
    return network


def finished_encoder(network: Any) -> Any:
    """The model without anything beside its weights: what was learnt there is added to them."""
    return network.merge_and_unload() if isinstance(network, PeftModel) else network


def encoder_name(network: nn.Module) -> str:
    """Of the child that holds most of the parameters.

    >>> encoder_name(nn.Sequential(nn.Linear(9, 9), nn.Linear(9, 2)))
    '0'
    """
    sizes = {name: sum(p.numel() for p in child.parameters()) for name, child in network.named_children()}
    return max(sizes, key=lambda name: sizes[name])


def last_layer(network: nn.Module) -> nn.Linear:
    """The one that gives the logits: the last linear one.

    >>> last_layer(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))).out_features
    2
    """
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def transformer_layers(network: nn.Module) -> nn.ModuleList:
    """The list of layers that holds most of the parameters."""
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList) and len(module)]
    return max(lists, key=lambda layers: sum(p.numel() for p in layers.parameters()))


def _last_layers(network: nn.Module, count: int) -> list[nn.Module]:
    layers = transformer_layers(network)
    if count > len(layers):
        raise SettingsError(
            f"tune is 'top-k:{count}', but the encoder has {len(layers)} layers. Name fewer, or 'full'."
        )
    # A norm beside the layers belongs to what they give.
    around = [module for module in network.modules() if any(child is layers for child in module.children())]
    norms = [child for module in around for child in module.children() if isinstance(child, nn.LayerNorm)]
    return [*layers[len(layers) - count :], *norms]


def _bare_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Those that belong to no part, such as the weights by which layers are summed up."""
    return [parameter for name, parameter in network.named_parameters() if "." not in name]


def _with_matrices(network: Any, config: TrainConfig, steps: int) -> PeftModel:
    names = {name.rpartition(".")[2] for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    attention = next((pair for pair in ATTENTION if set(pair) <= names), None)
    targets = FEED_FORWARD if network.config.model_type == "wavlm" else attention
    if targets is None:
        raise SettingsError(
            f"tune is '{config.tune}', but {type(network).__name__} has no projections that it knows "
            f"({' or '.join(', '.join(pair) for pair in ATTENTION)}). Take 'full', 'frozen' or 'top-k:N'."
        )
    encoder = encoder_name(network)
    heads = [name for name, part in network.named_children() if name != encoder and list(part.parameters())]
    common = {"target_modules": list(targets), "modules_to_save": heads, "lora_alpha": 2 * config.lora_rank}
    if config.tune == "lora":
        return get_peft_model(network, LoraConfig(r=config.lora_rank, **common))
    # Source of the shares: Zhang et al. 2023, "AdaLoRA", https://arxiv.org/abs/2303.10512: ranks begin higher by half
    # and are shared out in between a warm-up and a last stretch in which they stay.
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
