"""Teaches the embedded text model further from a few hundred sentences, without letting it forget what it knows.

Writes a folder that `ser.text.classifier.load_text_model` reads. Knows nothing of speech or storage.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError, TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.text.checkpoint import is_trained, load_trained, save_trained
from ser.text.data import as_transcript
from ser.text.embedded import EMBEDDED_FOLDER
from ser.text.network import TextEmotionNetwork, add_adapter, load_base, pad, set_trained_tensors, trained_tensors

MIN_TEXTS = 20
MIN_LABELS = 2

COMMON_WORDS = 4000
"""Whole words of the vocabulary that anchor sentences are drawn from; the vocabulary has the frequent ones first."""


@dataclass(frozen=True)
class TextAdaptConfig:
    """How the text model is taught further.

    Attributes:
        epochs: passes over the sentences.
        batch_size: sentences a step, and anchor sentences beside them.
        learning_rate: of AdamW, falling linearly to 0; lower than that of the first training.
        anchors: sentences on which the model is to go on saying what it says.
        distillation: weight of that beside what is to be learnt.
        pull: weight of the squared distance from the weights that training began with.
        max_tokens: longer texts are cut.
    """

    epochs: int = 6
    batch_size: int = 16
    learning_rate: float = 3e-4
    anchors: int = 256
    distillation: float = 2.0
    pull: float = 1e-3
    max_tokens: int = 64


def adapt_text_model(
    base: str | Path,
    texts: Sequence[str],
    shares: npt.NDArray[np.float32],
    out: Path,
    *,
    config: TextAdaptConfig | None = None,
    seed: int = 0,
    device: str = "cpu",
    data: Mapping[str, object] | None = None,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train on from the model in use, held to its own answers on sentences that nobody labelled.

    What it learnt before is not at hand. In its place stand sentences of words drawn from the vocabulary: a network's
    answers on such say enough of it to be copied from. Sources: Krishna et al. 2020, "Thieves on Sesame Street!",
    https://arxiv.org/abs/1910.12366; Li & Hoiem 2016, "Learning without Forgetting", https://arxiv.org/abs/1606.09282;
    the pull: Li et al. 2018 (L2-SP), https://arxiv.org/abs/1802.01483.

    Args:
        base: `embedded`, or a folder that this or `ser.text.training` wrote.
        texts: what was said; read as a transcript is.
        shares: what people say of each, float32 of shape (texts, 7), rows sum to 1.
        out: folder for the new adapter; made where absent.
        config: the recipe.
        seed: of everything drawn.
        device: `cpu` or `cuda`.
        data: what the model card is to say of the sentences.
        on_step: told step, steps and loss after each step.
        should_stop: asked after each step.

    Raises:
        TrainingDataError: where there are too few sentences, or the model is not one of ours.
        TrainingCancelledError: where `should_stop` said so; nothing is written then.
        ModelUnavailableError: where the model or the sentence encoder is absent or damaged.
    """
    config = config or TextAdaptConfig()
    check_texts(texts, shares)
    folder = taught_folder(base)
    start = load_trained(folder)
    torch.manual_seed(seed)
    encoder, tokenizer = load_base(attention="eager")
    network = TextEmotionNetwork(encoder, encoder.config.hidden_size, dropout=0.0)
    add_adapter(network, rank=int(start.meta["config"]["rank"]), alpha=int(start.meta["config"]["alpha"]))
    try:
        set_trained_tensors(network, start.tensors)
    except (ValueError, RuntimeError) as error:
        raise ModelUnavailableError(f"The adapter in {folder} does not fit its encoder ({error}).") from error
    network.to(
        device
    ).eval()  # no dropout anywhere: the model's own answers are the anchor, and few sentences need no noise
    rng = np.random.default_rng(seed)
    anchors = anchor_sentences(tokenizer, config.anchors, rng)
    loop = _Loop(network, tokenizer, config, rng, on_step, should_stop)
    loop.train([as_transcript(text) for text in texts], shares, anchors)
    save_trained(
        out,
        trained_tensors(network),
        config={**start.meta["config"], "adapted": asdict(config)},
        temperature=start.temperature,
        seed=seed,
        data={**(data or {}), "sentences": len(texts), "base_sha256": start.meta["sha256"]},
        metrics={},
        created=time.time(),
    )


def anchor_sentences(tokenizer: PreTrainedTokenizerBase, count: int, rng: np.random.Generator) -> list[str]:
    """Sentences of 3 to 12 common words in no order that means anything."""
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    words = [word for word, _ in by_id if word.isascii() and word.isalpha() and len(word) > 1][:COMMON_WORDS]
    return [" ".join(rng.choice(words, int(rng.integers(3, 13)))) for _ in range(count)]


class _Loop:
    """The network, what it is held to, and the steps."""

    def __init__(
        self,
        network: TextEmotionNetwork,
        tokenizer: PreTrainedTokenizerBase,
        config: TextAdaptConfig,
        rng: np.random.Generator,
        on_step: Callable[[int, int, float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.network, self.tokenizer, self.config, self.rng = network, tokenizer, config, rng
        self.on_step, self.should_stop = on_step, should_stop
        self.device = next(network.parameters()).device
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.origin = [p.detach().clone() for p in self.parameters]

    def train(self, texts: Sequence[str], shares: npt.NDArray[np.float32], anchors: Sequence[str]) -> None:
        config = self.config
        truth = torch.from_numpy(np.ascontiguousarray(shares, dtype=np.float32)).to(self.device)
        with torch.no_grad():
            parts = [self._logits(anchors[at : at + 64]) for at in range(0, len(anchors), 64)]
        known = torch.cat(parts).softmax(-1) if parts else torch.zeros(0, len(EMOTIONS), device=self.device)
        optimizer = torch.optim.AdamW(self.parameters, lr=config.learning_rate, weight_decay=0.0)
        steps, step = config.epochs * math.ceil(len(texts) / config.batch_size), 0
        for _ in range(config.epochs):
            order = self.rng.permutation(len(texts))
            for first in range(0, len(order), config.batch_size):
                rows = order[first : first + config.batch_size]
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * (1 - step / steps)
                loss = self._loss([texts[row] for row in rows], truth[rows], anchors, known)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
                optimizer.step()
                step += 1
                self.on_step(step, steps, float(loss.detach()))
                if self.should_stop():
                    raise TrainingCancelledError("Training of the text model was cancelled; nothing was written.")

    def _loss(self, texts: Sequence[str], truth: Tensor, anchors: Sequence[str], known: Tensor) -> Tensor:
        loss = torch.nn.functional.cross_entropy(self._logits(texts), truth)
        if anchors and self.config.distillation > 0:
            drawn = self.rng.integers(0, len(anchors), self.config.batch_size)
            said = self._logits([anchors[row] for row in drawn]).log_softmax(-1)
            kept = torch.nn.functional.kl_div(said, known[drawn], reduction="batchmean")
            loss = loss + self.config.distillation * kept
        moved = sum(((p - o) ** 2).sum() for p, o in zip(self.parameters, self.origin, strict=True))
        return loss + self.config.pull * moved

    def _logits(self, texts: Sequence[str]) -> Tensor:
        rows = self.tokenizer(list(texts), truncation=True, max_length=self.config.max_tokens)["input_ids"]
        ids, mask = (tensor.to(self.device) for tensor in pad(rows, self.tokenizer.pad_token_id, multiple=4))
        logits: Tensor = self.network(ids, mask)
        return logits


def taught_folder(base: str | Path) -> Path:
    """Where the model lies that is taught further.

    Raises:
        TrainingDataError: where it is not one of ours.
    """
    if str(base) == EMBEDDED:
        return EMBEDDED_FOLDER
    folder = Path(base).expanduser()
    if not is_trained(folder):
        raise TrainingDataError(
            f"The text model in use is '{base}', a checkpoint of others; only the embedded text model and what was "
            "learnt from it can be taught further. Set SER_TEXT_MODEL=embedded."
        )
    return folder


def check_texts(texts: Sequence[str], shares: npt.NDArray[np.float32]) -> None:
    """Refuse too few sentences.

    Args:
        texts: what was said.
        shares: what people say of each, shape (texts, 7).

    Raises:
        TrainingDataError: with the numbers needed.
    """
    labels = {EMOTIONS[row.argmax()] for row in shares}
    if len(texts) < MIN_TEXTS or len(labels) < MIN_LABELS:
        raise TrainingDataError(
            f"{len(texts)} clips of {len(labels)} different labels have a corrected transcript to learn from; "
            f"{MIN_TEXTS} clips of {MIN_LABELS} labels are needed. Write the words of more clips while labelling them."
        )
