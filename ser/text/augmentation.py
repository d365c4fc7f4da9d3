"""More sentences to train on, made from those at hand by pretrained models: near words, and translation there and back.

Each function returns new rows with the labels of the old ones; models run in evaluation mode, drawn by the seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

from ser.checkpoints.hub import resolve_checkpoint
from ser.checkpoints.pretrained import LOADING_ERRORS, describe_failure, quiet_loading
from ser.errors import ModelUnavailableError, SettingsError
from ser.text.data import LabelledTexts

BATCH = 32
MAX_TOKENS = 96

REPLACED_SHARE = 0.15
"""Share of the tokens that are replaced: what such models learn to fill.

Source: Devlin et al. 2019 (BERT), https://arxiv.org/abs/1810.04805 (3.1)."""

CANDIDATES = 8
"""Most likely tokens that a replacement is drawn from."""


def replace_with_near_words(
    texts: LabelledTexts, checkpoint: str | Path, *, device: str = "cpu", seed: int = 0
) -> LabelledTexts:
    """Replace some words by what a masked language model finds likely in their place.

    Source: Kobayashi 2018, "Contextual Augmentation", https://arxiv.org/abs/1805.06201, without its label condition:
    the original word stays in sight half of the time, so that the new one is near to it.

    Args:
        texts: to change.
        checkpoint: a masked language model, in a folder or by its id on the hub.
        device: `cpu` or `cuda`.
        seed: of what is replaced, and by what.

    Raises:
        ModelUnavailableError: if it cannot be loaded, or masks nothing.
    """
    model, tokenizer = _load(AutoModelForMaskedLM, checkpoint, device, "a masked language model")
    if tokenizer.mask_token_id is None:
        raise ModelUnavailableError(f"'{checkpoint}' has no token for masks; a masked language model is expected.")
    generator = torch.Generator().manual_seed(seed)
    out: list[str] = []
    for batch in _batches(texts.texts):
        rows = tokenizer(batch, return_tensors="pt", padding=True, truncation=True, max_length=MAX_TOKENS)
        ids, special = rows["input_ids"], torch.zeros_like(rows["input_ids"], dtype=torch.bool)
        for token in tokenizer.all_special_ids:
            special |= ids == token
        drawn = (torch.rand(ids.shape, generator=generator) < REPLACED_SHARE) & ~special
        hidden = drawn & (torch.rand(ids.shape, generator=generator) < 0.5)
        rows["input_ids"] = ids.masked_fill(hidden, tokenizer.mask_token_id)
        with torch.no_grad():
            logits = model(**rows.to(device)).logits.float().cpu()
        logits[:, :, tokenizer.all_special_ids] = -torch.inf
        logits.scatter_(2, ids.unsqueeze(2), -torch.inf)
        values, tokens = logits.topk(min(CANDIDATES, logits.shape[2] - 1), dim=2)
        chosen = torch.multinomial(values.softmax(2).flatten(0, 1), 1, generator=generator).view(ids.shape)
        new = torch.where(drawn, tokens.gather(2, chosen.unsqueeze(2)).squeeze(2), ids)
        out += tokenizer.batch_decode(new, skip_special_tokens=True)
    return _relabelled(texts, out)


def back_translate(
    texts: LabelledTexts, there: str | Path, back: str | Path, *, device: str = "cpu", seed: int = 0
) -> LabelledTexts:
    """Translate each sentence into another language and back again.

    Source: Sennrich et al. 2016, https://arxiv.org/abs/1511.06709, used for classification by Xie et al. 2020 (UDA),
    https://arxiv.org/abs/1904.12848 (section 2.2), with sampling.

    Args:
        texts: to translate.
        there: a translation checkpoint out of their language, in a folder or by its id on the hub.
        back: one into it.
        device: `cpu` or `cuda`.
        seed: of the sampling.

    Raises:
        ModelUnavailableError: if a checkpoint cannot be loaded.
    """
    torch.manual_seed(seed)
    words = list(texts.texts)
    for checkpoint in (there, back):
        model, tokenizer = _load(AutoModelForSeq2SeqLM, checkpoint, device, "a translation model")
        translated: list[str] = []
        for batch in _batches(words):
            rows = tokenizer(batch, return_tensors="pt", padding=True, truncation=True, max_length=MAX_TOKENS)
            with torch.inference_mode():
                ids = model.generate(**rows.to(device), do_sample=True, top_p=0.9, max_new_tokens=MAX_TOKENS)
            translated += tokenizer.batch_decode(ids, skip_special_tokens=True)
        words = translated
    return _relabelled(texts, words)


def _relabelled(texts: LabelledTexts, words: Sequence[str]) -> LabelledTexts:
    """Keep the labels; rows that came out empty or unchanged are left out."""
    new = replace(texts, texts=tuple(words))
    kept = [
        row for row, (old, word) in enumerate(zip(texts.texts, words, strict=True)) if word.strip() not in ("", old)
    ]
    if not kept:
        raise SettingsError("The augmentation changed no sentence. Take another model.")
    return new.select(kept)


def _load(kind: Any, checkpoint: str | Path, device: str, what: str) -> tuple[Any, Any]:
    folder = resolve_checkpoint(checkpoint)
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        with quiet_loading():
            model = kind.from_pretrained(folder, use_safetensors=True, **local)
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(f"'{checkpoint}' cannot be loaded as {what}: {describe_failure(error)}") from error
    return model.to(device).eval(), tokenizer


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(texts), BATCH):
        yield list(texts[first : first + BATCH])
