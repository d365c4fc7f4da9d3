"""Pretrained language models other than the classifier: more sentences to train on, and adaptation to a domain.

Near words and translation there and back give new rows with the labels of the old ones, drawn by the seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSeq2SeqLM, DataCollatorForLanguageModeling

from ser.checkpoints.pretrained import load_language_network
from ser.config import LoopConfig
from ser.errors import ModelUnavailableError, SettingsError, TrainingDataError
from ser.text.data import LabelledTexts
from ser.training.gradients.engine import optimise
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Places, Surroundings, Task

MIN_LINES = 20
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
    model, tokenizer = load_language_network(AutoModelForMaskedLM, checkpoint, device, "a masked language model")
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
        model, tokenizer = load_language_network(AutoModelForSeq2SeqLM, checkpoint, device, "a translation model")
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
        The mean training loss of the last pass, nats a token.

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
    model, tokenizer = load_language_network(None, checkpoint, device, "a language model")
    config = LoopConfig(epochs=epochs, batch_size=16, weight_decay=0.0, warmup=0.0, seed=seed, autocast=False)
    outcome = optimise(model, _LanguageTask(tokenizer, texts, config, device), config, Surroundings(Processes(device)))
    model.cpu().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return float(str(outcome.curve[-1]["loss"]))


class _LanguageTask(Task):
    """Lines of text whose hidden or next words are predicted."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], config: LoopConfig, device: str) -> None:
        self.device = device
        self.rows = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
        super().__init__(len(texts), config, np.array([len(row) for row in self.rows]))
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.collator = DataCollatorForLanguageModeling(
            tokenizer, mlm=tokenizer.mask_token is not None, mlm_probability=REPLACED_SHARE
        )

    def draw(self, places: Places, epoch: int, step: int, part: int) -> Mapping[str, torch.Tensor]:
        """Hide words of some lines, or none if the next word is predicted."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.default_rng([self.config.seed, epoch, step, part]).integers(2**32)))
            batch: Mapping[str, torch.Tensor] = self.collator([{"input_ids": self.rows[place]} for place in places])
        return batch

    def weights(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Weigh lines by their words to be predicted."""
        return (batch["labels"] != -100).sum(1).float()

    def losses(self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Compute the batch's mean loss of a word, the same for each line."""
        loss: torch.Tensor = model(**{name: value.to(self.device) for name, value in batch.items()}).loss
        # Without a hidden word there is no loss to speak of.
        return loss.nan_to_num().expand(len(batch["labels"]))


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(texts), BATCH):
        yield list(texts[first : first + BATCH])
