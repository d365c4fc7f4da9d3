"""The guard's reader in torch, to be trained; `ser.conversation.guard.guard` serves it.

The last layers of the sentence encoder get an adapter. What the layers below make of a sentence never changes, so it is
computed once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from torch import Tensor, nn
from transformers import AutoTokenizer, BertModel

from ser.checkpoints.pretrained import LOCAL, quiet_loading
from ser.config import LoopConfig
from ser.conversation.guard.guard import KINDS
from ser.conversation.model.tokens import MAX_TURN_TOKENS
from ser.text.data import as_transcript
from ser.text.embedded import ADAPTER_PREFIX, HEAD_PREFIX, HIDDEN, find_base
from ser.text.network import ADAPTED_LAYERS, pad
from ser.training.gradients.task import Places, Task

TRAINED_LAYERS = 3
EVALUATION_BATCH = 64

States = Mapping[str, npt.NDArray[np.float16]]
"""What the lower layers make of each sentence, shape (tokens, width)."""


@dataclass(frozen=True)
class GuardTrainConfig(LoopConfig):
    """Settings of the guard's training.

    Attributes:
        dropout: on the sentence vector.
        transcript_share: share of sentences shown without case and punctuation.
    """

    tune: str = "lora"
    lora_rank: int = 16
    epochs: int = 4
    batch_size: int = 48
    learning_rate: float = 1e-3
    warmup: float = 0.06
    dropout: float = 0.1
    transcript_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_shares("dropout", "transcript_share")


@dataclass(frozen=True)
class Sentences:
    """Sentences to train on.

    Attributes:
        texts: as written.
        targets: index of the kind of each; that after the last kind is harmless.
        weights: of each in the loss.
    """

    texts: Sequence[str]
    targets: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


class GuardNetwork(nn.Module):
    """The sentence encoder cut in two: layers that stay as they are, and the last ones with LoRA and a head.

    Args:
        rank: of the low-rank updates, which are scaled by 2.
        dropout: on the sentence vector, in training only.

    Raises:
        ModelUnavailableError: as `ser.text.embedded.find_base`.
    """

    def __init__(self, rank: int, dropout: float) -> None:
        super().__init__()
        folder = find_base()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
        with quiet_loading():
            encoder = BertModel.from_pretrained(folder, attn_implementation="eager", use_safetensors=True, **LOCAL)
        encoder.pooler = None
        encoder.requires_grad_(False)
        self.below = encoder.config.num_hidden_layers - TRAINED_LAYERS
        layers = list(range(self.below, encoder.config.num_hidden_layers))
        lora = LoraConfig(
            r=rank, lora_alpha=2 * rank, target_modules=list(ADAPTED_LAYERS), layers_to_transform=layers,
            layers_pattern="layer",
        )  # fmt: skip
        inject_adapter_in_model(lora, encoder)
        for module in encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        self.encoder, self.dropout = encoder, nn.Dropout(dropout)
        self.head = nn.Linear(HIDDEN, len(KINDS) + 1)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Compute logits of what `read` made of some sentences, and of their attention mask."""
        hidden = self._run(self.encoder.encoder.layer[self.below :], states, mask)
        # The vector is the mean over words, without the marks at both ends.
        words = mask.clone()
        words[:, 0] = 0
        words[torch.arange(len(words)), mask.sum(1) - 1] = 0
        weights = words.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        logits: Tensor = self.head(self.dropout(pooled)).float()
        return logits

    @torch.inference_mode()
    def read(self, texts: Iterable[str]) -> dict[str, npt.NDArray[np.float16]]:
        """Run sentences through the layers that stay as they are."""
        found, texts = {}, sorted(set(texts), key=len)
        for first in range(0, len(texts), EVALUATION_BATCH):
            chosen = texts[first : first + EVALUATION_BATCH]
            rows = self.tokenizer(chosen, truncation=True, max_length=MAX_TURN_TOKENS + 2)["input_ids"]
            ids, mask = pad(rows, 0, 4)
            hidden = self._run(self.encoder.encoder.layer[: self.below], self.encoder.embeddings(input_ids=ids), mask)
            for text, row, values in zip(chosen, rows, hidden, strict=True):
                found[text] = values[: len(row)].half().numpy()
        return found

    def _run(self, layers: Iterable[Any], hidden: Tensor, mask: Tensor) -> Tensor:
        bias = torch.zeros(mask.shape, dtype=hidden.dtype).masked_fill(mask == 0, -1e4)[:, None, None]
        for layer in layers:
            made = layer(hidden, bias)
            hidden = made[0] if isinstance(made, tuple) else made
        return hidden

    def tensors(self) -> dict[str, np.ndarray]:
        """Return adapter and head as `ser.conversation.guard.guard` reads them."""
        adapter = get_peft_model_state_dict(self.encoder)
        parts = {ADAPTER_PREFIX + name: tensor.half() for name, tensor in adapter.items()}
        parts |= {HEAD_PREFIX + name: tensor.float() for name, tensor in self.head.state_dict().items()}
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in parts.items()}


def collate(chosen: Sequence[npt.NDArray[np.float16]]) -> tuple[Tensor, Tensor]:
    """Pad states of sentences; returns them with their mask."""
    _, mask = pad([[0] * len(values) for values in chosen], 0, 4)
    states = torch.zeros(*mask.shape, HIDDEN)
    for row, values in zip(states, chosen, strict=True):
        row[: len(values)] = torch.from_numpy(values)
    return states, mask


class GuardTask(Task):
    """Sentences as a training task.

    Args:
        sentences: to train on.
        states: of them, as written and as transcripts.
        config: of the run.
    """

    config: GuardTrainConfig

    def __init__(self, sentences: Sentences, states: States, config: GuardTrainConfig) -> None:
        self.sentences, self.states = sentences, states
        super().__init__(len(sentences.texts), config, np.array([len(states[text]) for text in sentences.texts]))

    def draw(self, places: Places, epoch: int, step: int, part: int) -> tuple[Tensor, Tensor, Places]:
        """Draw the form of each sentence."""
        rng = np.random.default_rng([self.config.seed, epoch, step, part])
        plain = rng.random(len(places)) < self.config.transcript_share
        texts = [self.sentences.texts[place] for place in places]
        forms = [form_of(text) if bare else text for text, bare in zip(texts, plain, strict=True)]
        return *collate([self.states[form] for form in forms]), places

    def weights(self, batch: tuple[Tensor, Tensor, Places]) -> Tensor:
        """Weigh sentences by their source."""
        return torch.from_numpy(self.sentences.weights[batch[2]])

    def losses(self, model: nn.Module, batch: tuple[Tensor, Tensor, Places]) -> Tensor:
        """Compute the cross-entropy of each sentence."""
        states, mask, places = batch
        targets = torch.from_numpy(self.sentences.targets[places])
        return nn.functional.cross_entropy(model(states, mask), targets, reduction="none")


def form_of(text: str) -> str:
    """A sentence as a recogniser writes it; one without any letters as it is."""
    return as_transcript(text) or text


@torch.inference_mode()
def probabilities(network: GuardNetwork, states: Sequence[npt.NDArray[np.float16]]) -> npt.NDArray[np.float64]:
    """Compute the probability of each sentence to be no harmless one."""
    network.eval()
    out, order = np.zeros(len(states)), np.argsort([len(values) for values in states])
    for first in range(0, len(order), EVALUATION_BATCH):
        places = order[first : first + EVALUATION_BATCH]
        scores = network(*collate([states[place] for place in places])).softmax(1)
        out[places] = 1.0 - scores[:, -1].numpy()
    return out
