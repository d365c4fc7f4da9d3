"""Further training of the embedded text model on a few hundred sentences, without catastrophic forgetting.

Writes a folder that `ser.text.classifier.load_text_model` reads. Knows nothing of speech or storage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import set_seed
from torch import Tensor, nn

from ser.checkpoints.folder import Meta
from ser.config import EMBEDDED, LoopConfig
from ser.errors import ModelUnavailableError, TrainingDataError
from ser.labels import EMOTIONS
from ser.text.data import as_transcript
from ser.text.embedded import EMBEDDED_FOLDER, TrainedText, is_trained, load_trained, text_meta
from ser.text.network import EmbeddedNetwork, pad
from ser.training.gradients.engine import optimise
from ser.training.gradients.task import Places, Surroundings, Task

MIN_TEXTS = 20
MIN_LABELS = 2

COMMON_WORDS = 4000
"""Whole words of the vocabulary that anchor sentences are drawn from; the vocabulary has the frequent ones first."""


@dataclass(frozen=True)
class TextAdaptConfig(LoopConfig):
    """Settings of further training, at a lower rate than at first and near to the old weights.

    Attributes:
        anchors: sentences on which the model is held to its old answers.
        distillation: weight of their loss relative to that of the labelled sentences.
        max_tokens: longer texts are cut.
    """

    tune: str = "lora"
    epochs: int = 6
    batch_size: int = 16
    learning_rate: float = 3e-4
    warmup: float = 0.0
    weight_decay: float = 0.0
    anchor: float = 2e-3
    autocast: bool = False
    anchors: int = 256
    distillation: float = 2.0
    max_tokens: int = 64


def adapt_text_model(
    base: str | Path,
    texts: Sequence[str],
    shares: npt.NDArray[np.float32],
    out: Path,
    *,
    around: Surroundings,
    config: TextAdaptConfig | None = None,
    data: Mapping[str, object] | None = None,
) -> Meta:
    """Train the current model on, held to its own answers on sentences that nobody labelled.

    Its first training data are not at hand. In their place stand sentences of words drawn from the vocabulary: a
    network's answers on such say enough of it to be copied from. Sources: Krishna et al. 2020, "Thieves on Sesame
    Street!", https://arxiv.org/abs/1910.12366; Li & Hoiem 2016, "Learning without Forgetting",
    https://arxiv.org/abs/1606.09282; `anchor`: Li et al. 2018 (L2-SP), https://arxiv.org/abs/1802.01483.

    Args:
        base: `embedded`, or a folder that this or `ser.text.training` wrote.
        texts: written as a transcript is before they are trained on.
        shares: soft label of each, float32 of shape (texts, 7), rows sum to 1.
        out: folder for the new adapter; must not exist yet, or be empty.
        around: of the run.
        config: the recipe.
        data: what meta.json is to say of the sentences.

    Raises:
        TrainingDataError: if there are too few sentences, or the model is a checkpoint of transformers.
        TrainingCancelledError: if asked to stop; nothing is written then.
        ModelUnavailableError: if the model or the sentence encoder is absent or damaged.
    """
    config = config or TextAdaptConfig()
    check_texts(texts, shares)
    folder = adapter_folder(base)
    start = load_trained(folder)
    set_seed(config.seed)
    rank = int(str(start.meta.config["rank"]))
    network = EmbeddedNetwork(rank)
    try:
        network.set_tensors(start.tensors)
    except (ValueError, RuntimeError) as error:
        raise ModelUnavailableError(f"The adapter in {folder} does not fit its encoder ({error}).") from error
    network.to(around.processes.device)
    optimise(network, _FeedbackTask(network, [as_transcript(text) for text in texts], shares, config), config, around)
    old = {name: value for name, value in start.meta.config.items() if name != "adapted"}
    facts = {**(data or {}), "sentences": len(texts), "base_sha256": start.meta.sha256}
    meta = text_meta({**old, "adapted": asdict(config)}, rank, start.meta.temperature, data=facts)
    return TrainedText(network.tensors(), meta).save(out)


def anchor_sentences(tokenizer: Any, count: int, rng: np.random.Generator) -> list[str]:
    """Draw sentences of 3 to 12 common words in no order that means anything."""
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    words = [word for word, _ in by_id if word.isascii() and word.isalpha() and len(word) > 1][:COMMON_WORDS]
    return [" ".join(rng.choice(words, int(rng.integers(3, 13)))) for _ in range(count)]


class _FeedbackTask(Task):
    """Labelled sentences, and with those of each step as many anchor sentences."""

    # The model's own answers are the anchor, and few sentences need no noise.
    dropout = False
    config: TextAdaptConfig

    def __init__(
        self,
        network: EmbeddedNetwork,
        texts: Sequence[str],
        shares: npt.NDArray[np.float32],
        config: TextAdaptConfig,
    ) -> None:
        super().__init__(len(texts), config)
        self.tokenizer, self.texts = network.tokenizer, texts
        self.device = next(network.parameters()).device
        self.labels = torch.from_numpy(np.ascontiguousarray(shares, dtype=np.float32)).to(self.device)
        self.anchors = anchor_sentences(self.tokenizer, config.anchors, np.random.default_rng(config.seed))
        network.eval()
        with torch.no_grad():
            parts = [self._logits(network, self.anchors[at : at + 64]) for at in range(0, len(self.anchors), 64)]
        self.answers = torch.cat(parts).softmax(-1) if parts else None

    def draw(self, places: Places, epoch: int, step: int, part: int) -> tuple[Places, Places]:
        """Take the sentences of a step, and draw anchor sentences for it."""
        rng = np.random.default_rng([self.config.seed, epoch, step, part])
        return places, rng.integers(0, max(1, len(self.anchors)), self.config.batch_size)

    def weights(self, batch: tuple[Places, Places]) -> Tensor:
        """Weigh all sentences alike."""
        return torch.ones(len(batch[0]))

    def losses(self, model: nn.Module, batch: tuple[Places, Places]) -> Tensor:
        """Compute cross-entropy, and the divergence from the old answers on the anchor sentences."""
        places, drawn = batch
        logits = self._logits(model, [self.texts[place] for place in places])
        losses = nn.functional.cross_entropy(logits, self.labels[places], reduction="none")
        if self.answers is None or not self.config.distillation:
            return losses
        answers = self._logits(model, [self.anchors[place] for place in drawn]).log_softmax(-1)
        kept = nn.functional.kl_div(answers, self.answers[drawn], reduction="batchmean")
        return losses + self.config.distillation * kept

    def _logits(self, network: nn.Module, texts: Sequence[str]) -> Tensor:
        rows = self.tokenizer(list(texts), truncation=True, max_length=self.config.max_tokens)["input_ids"]
        ids, mask = (tensor.to(self.device) for tensor in pad(rows, self.tokenizer.pad_token_id, multiple=4))
        logits: Tensor = network(ids, mask)[0]
        return logits


def adapter_folder(base: str | Path) -> Path:
    """Find the folder of the adapter that is trained further.

    Raises:
        TrainingDataError: if the model is a checkpoint of transformers.
    """
    if str(base) == EMBEDDED:
        return EMBEDDED_FOLDER
    folder = Path(base).expanduser()
    if not is_trained(folder):
        raise TrainingDataError(
            f"The current text model is '{base}', a checkpoint of transformers; only the embedded text model and "
            "versions trained from it can be trained on feedback. Set SER_TEXT_MODEL=embedded."
        )
    return folder


def check_texts(texts: Sequence[str], shares: npt.NDArray[np.float32]) -> None:
    """Refuse too few sentences.

    Args:
        texts: transcripts.
        shares: soft label of each, shape (texts, 7).

    Raises:
        TrainingDataError: with the numbers needed.
    """
    labels = {EMOTIONS[row.argmax()] for row in shares}
    if len(texts) < MIN_TEXTS or len(labels) < MIN_LABELS:
        raise TrainingDataError(
            f"Clips with a corrected transcript to train on: {len(texts)}, of different labels: {len(labels)}; "
            f"{MIN_TEXTS} clips of {MIN_LABELS} labels are needed. Write the words of more clips while labelling them."
        )
