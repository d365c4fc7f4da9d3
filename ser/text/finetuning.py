"""Fine-tuning of a pretrained language model (BERT, RoBERTa, GPT-like) to the seven emotions.

Writes a checkpoint of transformers that `ser.text.classifier.load_text_model` reads like any other.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import AdaLoraModel, PeftModel
from peft.utils import ModulesToSaveWrapper
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ser.checkpoints.hub import resolve_checkpoint
from ser.checkpoints.pretrained import LOADING_ERRORS, describe_failure, quiet_loading
from ser.errors import ModelUnavailableError
from ser.evaluation.calibration import fit_temperature
from ser.labels import EMOTIONS
from ser.text.adapters import LEARNING_RATES, VIRTUAL_TOKENS, finish_text, prepare_text, text_logits
from ser.text.config import TextTrainConfig
from ser.text.foreign import PROMPT_FOLDER, ensure_padding, longest_input
from ser.text.loop import TextLoop, TextProgress
from ser.text.rows import Array, DevPart, TextPart, TrainingRows
from ser.text.training import TextTrainingResult, calibrate, data_facts, dev_metrics

RECORD_FILE = "training.json"
"""Recipe, data and figures, in the folder of the finished model."""


def finetune_text_model(
    checkpoint: str | Path,
    train: Sequence[TextPart],
    dev: Sequence[TextPart],
    out: Path,
    *,
    config: TextTrainConfig,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[TextProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TextTrainingResult:
    """Fine-tune a checkpoint, keep the best epoch, calibrate its head, and save it.

    Args:
        checkpoint: a folder, or an id on the hub, of a model that transformers can classify sequences with.
        train: sentences; classes are balanced within each part.
        dev: held-out sentences, for the epoch and the calibration.
        out: the new folder.
        config: how; `tune` says which weights.
        seed: of everything random.
        device: `cpu` or `cuda`.
        on_progress: called every few steps and after each epoch.
        should_stop: asked after every step.

    Raises:
        SettingsError: if the method does not exist or does not suit the model.
        ModelUnavailableError: if the checkpoint is absent or damaged, or `out` holds something already.
        TrainingDataError: if a dev part has no row with a single label.
        TrainingCancelledError: if `should_stop` said so; nothing is written then.
    """
    if out.exists() and any(out.iterdir()):
        raise ModelUnavailableError(f"{out} exists already. Name a new folder, or remove it first.")
    held_out = [DevPart(part) for part in dev]
    torch.manual_seed(seed)
    rows = TrainingRows(train, config)
    model = _Pretrained(checkpoint, config, math.ceil(len(rows.texts) / config.batch_size) * config.epochs)
    method = config.tune.partition(":")[0]
    config = replace(
        config,
        learning_rate=config.learning_rate or LEARNING_RATES[method],
        max_tokens=min(config.max_tokens, model.longest),
    )
    loop = TextLoop(model, rows, held_out, config, seed, device)
    loop.on_progress, loop.should_stop = on_progress or loop.on_progress, should_stop or loop.should_stop
    logits = loop.train()
    network, prompt = finish_text(model.module.cpu().eval())
    temperature, bias = _calibrate_head(network, held_out, logits)
    metrics = dev_metrics(held_out, [[form / temperature + bias for form in forms] for forms in logits])
    if prompt is not None:
        prompt.save_pretrained(out / PROMPT_FOLDER)
        _unwrap(network)
    network.save_pretrained(out)
    model.tokenizer.save_pretrained(out)
    record = {
        "start": str(checkpoint),
        "config": asdict(config),
        "seed": seed,
        "data": data_facts(train, rows, held_out),
        "metrics": metrics,
    }
    (out / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return TextTrainingResult(out, 1.0, metrics)


class _Pretrained:
    """A pretrained model with a new head; see `ser.text.loop.TrainableText`."""

    def __init__(self, checkpoint: str | Path, config: TextTrainConfig, steps: int) -> None:
        folder = resolve_checkpoint(checkpoint)
        local = {"local_files_only": True, "trust_remote_code": False}
        names = dict(enumerate(EMOTIONS))
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            with quiet_loading():
                network = AutoModelForSequenceClassification.from_pretrained(
                    folder,
                    num_labels=len(EMOTIONS),
                    id2label=names,
                    label2id={name: index for index, name in names.items()},
                    problem_type="single_label_classification",
                    ignore_mismatched_sizes=True,
                    use_safetensors=True,
                    dtype=torch.float32,
                    **local,
                )
        except LOADING_ERRORS as error:
            raise ModelUnavailableError(
                f"'{checkpoint}' cannot be loaded to classify texts: {describe_failure(error)}"
            ) from error
        ensure_padding(str(checkpoint), self.tokenizer, network)
        self.longest = longest_input(network.config, self.tokenizer)
        self.embeddings: torch.nn.Module = network.get_input_embeddings()
        self.module = prepare_text(network, config, steps)
        if isinstance(self.module, PeftModel) and self.module.active_peft_config.is_prompt_learning:
            self.longest = max(4, self.longest - VIRTUAL_TOKENS)
        inner = getattr(self.module, "base_model", None)
        self._ranks = inner if isinstance(inner, AdaLoraModel) else None

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        return text_logits(self.module, ids, mask), None

    def snapshot(self) -> Mapping[str, Tensor]:
        # AdaLoRA also prunes its ranks in place, so that all of its state belongs to an epoch.
        trained = {name for name, p in self.module.named_parameters() if p.requires_grad}
        return {name: t.detach().cpu().clone() for name, t in self.module.state_dict().items() if name in trained}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.module.load_state_dict(state, strict=False)

    def after_step(self, step: int) -> None:
        if self._ranks is not None:
            self._ranks.update_and_allocate(step)


def _calibrate_head(
    network: Any, dev: Sequence[DevPart], logits: Sequence[Sequence[Array]]
) -> tuple[float, np.ndarray | float]:
    """Put the temperature, and the label biases if the head has any, into the last linear layer."""
    head = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    if head.bias is not None:
        temperature, bias = calibrate(dev, logits)
    else:
        rows = np.concatenate([form for forms in logits for form in forms])
        truth = np.concatenate([np.tile(part.truth, 2) for part in dev])
        temperature, bias = fit_temperature(rows, np.eye(len(EMOTIONS))[truth]), np.zeros(len(EMOTIONS))
    with torch.no_grad():
        head.weight /= temperature
        if head.bias is not None:
            head.bias.copy_(head.bias / temperature + torch.from_numpy(bias).to(head.bias.dtype))
    return temperature, bias


def _unwrap(network: Any) -> None:
    """Put the trained head in place of the wrapper that `peft` keeps it in."""
    for name, child in list(network.named_children()):
        if isinstance(child, ModulesToSaveWrapper):
            setattr(network, name, child.modules_to_save[child.active_adapter])
