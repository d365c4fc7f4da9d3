"""The dialogue model in torch, to be trained; `ser.conversation.model.dialogue` serves it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ser.conversation.model.dialogue import CAUSES_PREFIX, DISTANCES, SPEAKERS_NAME
from ser.conversation.model.tokens import SPEAKERS
from ser.labels import EMOTIONS
from ser.text.embedded import ADAPTER_PREFIX, EMBEDDED_FOLDER, HEAD_PREFIX, HIDDEN, load_trained
from ser.text.network import EmbeddedNetwork

PAIR_WIDTH = 128


@dataclass(frozen=True)
class DialogueBatch:
    """Rows of dialogues, padded; shapes in (rows, tokens), (rows, turns) and (rows, turns, turns).

    Attributes:
        ids: tokens.
        owners: turn of each token, -1 for padding.
        words: 1 for a token of a turn's words.
        speakers: of each token.
        turn_speakers: of each turn, -1 for padding.
        emotions: index of each turn's label, -1 where the loss does not count.
        given: 1 where the cause head is told the label, 0 where it gets the predicted probabilities.
        causes: 1 for a cause, 0 for none, -1 where the loss does not count; target turn first.
        weights: of each turn's label.
    """

    ids: Tensor
    owners: Tensor
    words: Tensor
    speakers: Tensor
    turn_speakers: Tensor
    emotions: Tensor
    given: Tensor
    causes: Tensor
    weights: Tensor


class CauseHead(nn.Module):
    """Scores pairs of a turn of feeling and a turn that may have caused it: an MLP with a product of both vectors."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.target, self.cause = nn.Linear(HIDDEN, PAIR_WIDTH), nn.Linear(HIDDEN, PAIR_WIDTH, bias=False)
        self.left, self.right = nn.Linear(HIDDEN, PAIR_WIDTH), nn.Linear(HIDDEN, PAIR_WIDTH)
        self.distance, self.same = nn.Embedding(DISTANCES, PAIR_WIDTH), nn.Embedding(2, PAIR_WIDTH)
        self.target_feeling = nn.Linear(len(EMOTIONS), PAIR_WIDTH, bias=False)
        self.cause_feeling = nn.Linear(len(EMOTIONS), PAIR_WIDTH, bias=False)
        self.middle, self.out = nn.Linear(PAIR_WIDTH, PAIR_WIDTH), nn.Linear(PAIR_WIDTH, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, turns: Tensor, speakers: Tensor, told: Tensor, predicted: Tensor) -> Tensor:
        """Compute logits of shape (rows, target turns, candidate turns).

        Args:
            turns: vectors of turns, (rows, turns, width).
            speakers: of the turns.
            told: feeling of each turn as a target, probabilities of shape (rows, turns, 7).
            predicted: the same as a candidate.
        """
        count = turns.shape[1]
        places = torch.arange(count, device=turns.device)
        distances = (places[:, None] - places[None]).clamp(0, DISTANCES - 1)
        same = (speakers[:, :, None] == speakers[:, None]).long()
        ahead = self.target(turns) + self.target_feeling(told)
        behind = self.cause(turns) + self.cause_feeling(predicted)
        mixed = self.left(turns)[:, :, None] * self.right(turns)[:, None]
        summed = ahead[:, :, None] + behind[:, None] + mixed + self.distance(distances) + self.same(same)
        hidden = self.dropout(nn.functional.gelu(summed))
        hidden = self.dropout(nn.functional.gelu(self.middle(hidden)))
        return self.out(hidden).squeeze(-1)


class DialogueNetwork(nn.Module):
    """The sentence encoder over whole dialogues: a token sees its own turn and those before it, never later ones.

    Begins with the adapter and the head of the shipped text model.

    Args:
        rank: of the adapter, as the text model's.
        dropout: on vectors of turns and in the cause head.
        context: False lets a token see its own turn only.
    """

    def __init__(self, rank: int, dropout: float, context: bool = True) -> None:
        super().__init__()
        base = EmbeddedNetwork(rank, dropout)
        base.set_tensors(load_trained(EMBEDDED_FOLDER).tensors)
        self.base, self.context = base, context
        self.speakers = nn.Embedding(SPEAKERS, HIDDEN)
        nn.init.zeros_(self.speakers.weight)
        self.causes = CauseHead(dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: DialogueBatch) -> tuple[Tensor, Tensor]:
        """Compute logits of emotions, (rows, turns, 7), and of causes, (rows, target turns, candidate turns)."""
        turns = self.dropout(self.encode(batch))
        emotions = self.base.head(turns).float()
        predicted = emotions.detach().softmax(-1)
        labels = nn.functional.one_hot(batch.emotions.clamp(min=0), len(EMOTIONS)).to(predicted.dtype)
        told = torch.where((batch.given > 0)[..., None], labels, predicted)
        return emotions, self.causes(turns, batch.turn_speakers, told, predicted).float()

    def encode(self, batch: DialogueBatch) -> Tensor:
        """Compute the vector of each turn, the mean over its own tokens, (rows, turns, width)."""
        owners = batch.owners
        seen = owners[:, :, None] >= owners[:, None] if self.context else owners[:, :, None] == owners[:, None]
        # Padding sees itself, or its row of the attention would be empty.
        seen &= (owners[:, None] >= 0) | (owners[:, :, None] < 0)
        embedded = self.base.encoder.embeddings.word_embeddings(batch.ids) + self.speakers(batch.speakers)
        bias = torch.zeros(seen.shape, dtype=embedded.dtype, device=embedded.device)
        bias = bias.masked_fill(~seen, torch.finfo(embedded.dtype).min)[:, None]
        positions = self.positions(owners)
        hidden = self.base.encoder(
            inputs_embeds=embedded, attention_mask=bias, position_ids=positions
        ).last_hidden_state.float()
        turns = torch.arange(batch.turn_speakers.shape[1], device=owners.device)
        pooling = (owners[:, None] == turns[None, :, None]) * batch.words[:, None]
        return pooling @ hidden / pooling.sum(-1, keepdim=True).clamp(min=1.0)

    def positions(self, owners: Tensor) -> Tensor:
        """Count tokens from the beginning of the row or, without context, of their turn."""
        counted = torch.arange(owners.shape[1], device=owners.device).expand_as(owners)
        if self.context:
            return counted
        starts = torch.zeros_like(owners)
        starts[:, 1:] = torch.where(owners[:, 1:] != owners[:, :-1], counted[:, 1:], 0)
        return counted - starts.cummax(1).values

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was trained: adapter and cause head in half precision, the rest in full."""
        parts = {CAUSES_PREFIX + name: tensor.half() for name, tensor in self.causes.state_dict().items()}
        parts[SPEAKERS_NAME] = self.speakers.weight.detach()
        return self.base.tensors() | {name: tensor.detach().cpu().numpy().copy() for name, tensor in parts.items()}

    def set_tensors(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned."""
        own = (ADAPTER_PREFIX, HEAD_PREFIX)
        self.base.set_tensors({name: array for name, array in arrays.items() if name.startswith(own)})
        loaded = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in arrays.items()}
        prefix = CAUSES_PREFIX
        self.causes.load_state_dict({n.removeprefix(prefix): t for n, t in loaded.items() if n.startswith(prefix)})
        self.speakers.load_state_dict({"weight": loaded[SPEAKERS_NAME]})
