"""The layers of an embedded network, and the network that they make.

A convolutional front looks at the mel spectrogram and another one at the pitch map, dilated convolutions join them over
time, attention pools them to one vector. Knows nothing of configurations, files, labels' meaning or training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ser.acoustic.features import MEL_BANDS, PITCH_BINS


@dataclass(frozen=True)
class Sizes:
    """Sizes of a network; the attributes are those of `ser.acoustic.network.AcousticConfig`."""

    mel_channels: Sequence[int]
    pitch_channels: Sequence[int]
    width: int
    dilations: Sequence[int]
    attention_size: int
    embedding_size: int
    dropout: float
    centred: bool
    functionals: bool
    hidden: int
    weight: float


class Front(nn.Module):
    """2-D convolutions over (bands, time): each halves the bands, the first two also halve the time."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        inputs = [1, *channels[:-1]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 5 if n == 0 else 3, stride=(2, 2 if n < 2 else 1), padding=2 if n == 0 else 1, bias=False)
            for n, (i, o) in enumerate(zip(inputs, channels, strict=True))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in channels)

    def forward(self, picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, bands, time), (batch, 1, time) -> (batch, channels * bands left, a quarter of the time)."""
        # Channels last is how the convolutions compute; otherwise each would turn its input round first.
        hidden = picture[:, None].contiguous(memory_format=torch.channels_last)
        for n, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            mask = mask[:, :, ::2] if n < 2 else mask
            hidden = torch.relu(norm(convolution(hidden)))
            # In the type of the values: half precision times a float32 mask would be computed in float32.
            hidden = hidden * mask[:, None].to(hidden.dtype)
        return hidden.flatten(1, 2)


class Block(nn.Module):
    """Residual: a dilated and a point-wise convolution, then squeeze and excitation.

    Source of the gate: Hu et al. 2018, "Squeeze-and-Excitation Networks", https://arxiv.org/abs/1709.01507
    """

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.narrow = nn.Conv1d(width, width, 1, bias=False)
        self.norm_out = nn.BatchNorm1d(width)
        self.squeeze = nn.Linear(width, width // 4)
        self.excite = nn.Linear(width // 4, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, width, time), (batch, 1, time) -> the same shape, zero where the mask is."""
        out = torch.relu(self.norm(self.wide(hidden)))
        mask = mask.to(out.dtype)
        out = self.norm_out(self.narrow(out * mask)) * mask
        mean = out.float().sum(2) / mask.float().sum(2)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(mean)))).to(out.dtype)
        # Whole channels are dropped: drawing for every value costs a tenth of a training step.
        return torch.relu(hidden + out * self.dropout(gate)[:, :, None]) * mask


class AttentiveStatistics(nn.Module):
    """Weighted mean and deviation over time.

    Source: Okabe et al. 2018, "Attentive Statistics Pooling for Deep Speaker Embedding", https://arxiv.org/abs/1803.10963
    """

    def __init__(self, width: int, attention_size: int) -> None:
        super().__init__()
        self.hidden = nn.Conv1d(width, attention_size, 1)
        self.score = nn.Conv1d(attention_size, width, 1)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, width, time), (batch, 1, time) -> (batch, 4 * width): weighted and plain mean and deviation."""
        scores = self.score(torch.tanh(self.hidden(hidden))).float().masked_fill(mask == 0, float("-inf"))
        uniform = (mask / mask.sum(2, keepdim=True)).expand_as(scores)
        parts = []
        values = hidden.float()
        for weights in (torch.softmax(scores, dim=2), uniform):
            mean = (weights * values).sum(2)
            variance = (weights * (values - mean[:, :, None]).square()).sum(2)
            parts += [mean, (variance + 1e-4).sqrt()]
        return torch.cat(parts, dim=1)


class Member(nn.Module):
    """One network: (batch, FEATURE_SIZE, frames) -> a vector, a logit for each label, a logit of intensity."""

    def __init__(self, sizes: Sizes, labels: int) -> None:
        super().__init__()
        width = sizes.width
        self.centred = sizes.centred
        self.mel_front = Front(sizes.mel_channels)
        self.pitch_front = Front(sizes.pitch_channels) if sizes.pitch_channels else None
        joined = flattened(MEL_BANDS, sizes.mel_channels) + flattened(PITCH_BINS, sizes.pitch_channels)
        self.join = nn.Conv1d(joined, width, 1, bias=False)
        self.join_norm = nn.BatchNorm1d(width)
        self.blocks = nn.ModuleList(Block(width, dilation, sizes.dropout / 3) for dilation in sizes.dilations)
        self.pooling = AttentiveStatistics(width, sizes.attention_size)
        self.pool_norm = nn.BatchNorm1d(4 * width)
        self.embedding = nn.Linear(4 * width, sizes.embedding_size)
        self.dropout = nn.Dropout(sizes.dropout)
        self.classifier = nn.Linear(sizes.embedding_size, labels)
        # Apart from the other draws: a network begins with the same weights whether it has this head or not.
        with torch.random.fork_rng(devices=[]):
            self.intensity = nn.Linear(sizes.embedding_size, 1)

    def embed(self, picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, FEATURE_SIZE, frames), (batch, 1, frames) -> (batch, embedding_size)."""
        mels = picture[:, :MEL_BANDS]
        if self.centred:
            mels = (mels - mels.sum(2, keepdim=True) / mask.sum(2, keepdim=True)) * mask
        fronts = [self.mel_front(mels, mask)]
        if self.pitch_front is not None:
            fronts.append(self.pitch_front(picture[:, MEL_BANDS:], mask))
        mask = mask[:, :, ::2][:, :, ::2]
        hidden = torch.relu(self.join_norm(self.join(torch.cat(fronts, dim=1))))
        hidden = hidden * mask.to(hidden.dtype)
        for block in self.blocks:
            hidden = block(hidden, mask)
        return self.project(self.pooling(hidden, mask))

    def project(self, pooled: torch.Tensor) -> torch.Tensor:
        """(batch, 4 * width) as the pooling gives it -> (batch, embedding_size)."""
        return torch.relu(self.embedding(self.dropout(self.pool_norm(pooled))))

    def answer(self, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, embedding_size) -> log-probabilities (batch, labels), intensity logits (batch,)."""
        hidden = self.dropout(embedding)
        return torch.log_softmax(self.classifier(hidden).float(), dim=1), self.intensity(hidden).float()[:, 0]

    def early_layers(self, blocks: int) -> list[nn.Module]:
        """The fronts, what joins them, and the first `blocks` blocks over time: what hears rather than judges."""
        fronts = [front for front in (self.mel_front, self.pitch_front) if front is not None]
        return [*fronts, self.join, self.join_norm, *self.blocks[:blocks]]


def flattened(bands: int, channels: Sequence[int]) -> int:
    """Values of a column when `Front` is through with it."""
    if not channels:
        return 0
    for _ in channels:
        bands = (bands + 1) // 2
    return bands * channels[-1]
