"""Adaptation of a pretrained language model to a domain's unlabelled text, before it is fine-tuned on labels."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from ser.checkpoints.hub import resolve_checkpoint
from ser.checkpoints.pretrained import LOADING_ERRORS, describe_failure, quiet_loading
from ser.errors import ModelUnavailableError, TrainingDataError

MIN_LINES = 20
MAX_TOKENS = 128
MASKED_SHARE = 0.15
"""Source: Devlin et al. 2019 (BERT), https://arxiv.org/abs/1810.04805 (3.1)."""


def adapt_to_domain(
    checkpoint: str | Path, lines: Path, out: Path, *, epochs: int = 1, seed: int = 0, device: str = "cpu"
) -> float:
    """Train a language model on unlabelled text: masked words, or the next word if it has no token for masks.

    Source: Gururangan et al. 2020, "Don't Stop Pretraining", https://arxiv.org/abs/2004.10964

    Args:
        checkpoint: a folder, or an id on the hub.
        lines: UTF-8 text, one sentence or turn a line.
        out: folder for the adapted checkpoint.
        epochs: passes over the text.
        seed: of the masks and the order.
        device: `cpu` or `cuda`.

    Returns:
        The mean training loss, nats a token.

    Raises:
        TrainingDataError: if the file cannot be read or has too few lines.
        ModelUnavailableError: if the checkpoint cannot be loaded as a language model.
    """
    try:
        texts = [line.strip() for line in lines.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingDataError(f"{lines} cannot be read as text in UTF-8: {error}.") from error
    if len(texts) < MIN_LINES:
        raise TrainingDataError(f"{lines} has {len(texts)} lines of text; at least {MIN_LINES} are needed.")
    model, tokenizer = _load(checkpoint)
    rows = [{"input_ids": ids} for ids in tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]]
    collator = DataCollatorForLanguageModeling(
        tokenizer, mlm=tokenizer.mask_token is not None, mlm_probability=MASKED_SHARE
    )
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            scratch, num_train_epochs=epochs, per_device_train_batch_size=16, learning_rate=5e-5, seed=seed,
            use_cpu=device == "cpu", report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        result = Trainer(model, arguments, train_dataset=rows, data_collator=collator).train()
    model.cpu().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return float(result.training_loss)


def _load(checkpoint: str | Path) -> tuple[Any, Any]:
    folder = resolve_checkpoint(checkpoint)
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        kind: Any = AutoModelForCausalLM if tokenizer.mask_token is None else AutoModelForMaskedLM
        with quiet_loading():
            config = AutoConfig.from_pretrained(folder, **local)
            model, report = kind.from_pretrained(
                folder, config=config, use_safetensors=True, output_loading_info=True, dtype=torch.float32, **local
            )
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(
            f"'{checkpoint}' cannot be loaded as a language model: {describe_failure(error)}"
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:2])
        raise ModelUnavailableError(
            f"'{checkpoint}' has no head that predicts words ({missing} missing). Take it as it was pretrained."
        )
    return model, tokenizer
