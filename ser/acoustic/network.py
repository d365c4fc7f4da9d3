"""The embedded network in transformers form: configuration, feature extractor, model, Auto registration.

A convolutional front looks at the mel spectrogram and at the pitch map separately, dilated convolutions join them over
time, attention pools them to one vector. Knows nothing of files, labels' meaning or training.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    BatchFeature,
    PreTrainedConfig,
    PreTrainedModel,
    SequenceFeatureExtractor,
    initialization,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from ser.acoustic.features import FEATURE_SIZE, MEL_BANDS, PITCH_BINS, extract_features
from ser.types import SAMPLING_RATE

MODEL_TYPE = "ser_acoustic"


class AcousticConfig(PreTrainedConfig):
    """Sizes of the network.

    Attributes:
        mel_channels: of the convolutions over the mel spectrogram; each halves the bands.
        pitch_channels: of the convolutions over the pitch map; each halves the bins.
        width: channels of the part over time.
        dilations: one residual block each.
        attention_size: hidden units of the attention that pools over time.
        embedding_size: of the vector before the classifier.
        dropout: before the classifier.
    """

    model_type = MODEL_TYPE

    mel_channels: Sequence[int] = (16, 32, 48, 64)
    pitch_channels: Sequence[int] = (12, 24, 32, 48)
    width: int = 192
    dilations: Sequence[int] = (1, 2, 3, 4)
    attention_size: int = 64
    embedding_size: int = 128
    dropout: float = 0.3


class AcousticFeatureExtractor(SequenceFeatureExtractor):
    """Recordings -> padded features and their mask."""

    model_input_names = ["input_features", "attention_mask"]

    def __init__(
        self,
        feature_size: int = FEATURE_SIZE,
        sampling_rate: int = SAMPLING_RATE,
        padding_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)

    def __call__(
        self,
        raw_speech: np.ndarray | Sequence[np.ndarray],
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        **_: Any,
    ) -> BatchFeature:
        """Extract the features of one recording or of several.

        Args:
            raw_speech: float32 of shape (samples,), or a sequence of such.
            sampling_rate: of the recordings, Hz; must be the extractor's.
            return_tensors: `pt` or `np`.

        Returns:
            `input_features` of shape (batch, frames, FEATURE_SIZE) and `attention_mask` of shape (batch, frames).

        Raises:
            ValueError: at another sampling rate.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(f"The recording is at {sampling_rate} Hz; {self.sampling_rate} Hz is needed. Resample it.")
        signals = [raw_speech] if isinstance(raw_speech, np.ndarray) and raw_speech.ndim == 1 else list(raw_speech)
        features, mask = pad_features([extract_features(np.asarray(s, dtype=np.float32)) for s in signals])
        return BatchFeature({"input_features": features, "attention_mask": mask}, tensor_type=return_tensors)


def pad_features(features: Sequence[np.ndarray], multiple_of: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Stack features of different lengths.

    Args:
        features: each float of shape (frames, FEATURE_SIZE).
        multiple_of: round the common length up to this; few different lengths are quicker, as kernels are made anew
            for each.

    Returns:
        float32 of shape (batch, most frames, FEATURE_SIZE), zero behind each end, and the int64 mask of what is real.
    """
    longest = -(-max(len(f) for f in features) // multiple_of) * multiple_of
    stacked = np.zeros((len(features), longest, features[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(features), longest), dtype=np.int64)
    for row, feature in enumerate(features):
        stacked[row, : len(feature)] = feature
        mask[row, : len(feature)] = 1
    return stacked, mask


class _Front(nn.Module):
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
        hidden = picture[:, None]
        for n, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            mask = mask[:, :, ::2] if n < 2 else mask
            hidden = torch.relu(norm(convolution(hidden)))
            # In the type of the values: half precision times a float32 mask would be computed in float32.
            hidden = hidden * mask[:, None].to(hidden.dtype)
        return hidden.flatten(1, 2)


class _Block(nn.Module):
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


class _AttentiveStatistics(nn.Module):
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


class AcousticModelForAudioClassification(PreTrainedModel):
    """Features of a recording -> a logit for each label."""

    config_class = AcousticConfig
    main_input_name = "input_features"
    # Our forward takes no num_items_in_batch: without this the Trainer would scale the loss twice.
    accepts_loss_kwargs = False

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__(config)
        self.register_buffer("feature_mean", torch.zeros(FEATURE_SIZE))
        self.register_buffer("feature_deviation", torch.ones(FEATURE_SIZE))
        self.mel_front = _Front(config.mel_channels)
        self.pitch_front = _Front(config.pitch_channels)
        joined = _flattened(MEL_BANDS, config.mel_channels) + _flattened(PITCH_BINS, config.pitch_channels)
        self.join = nn.Conv1d(joined, config.width, 1, bias=False)
        self.join_norm = nn.BatchNorm1d(config.width)
        self.blocks = nn.ModuleList(_Block(config.width, d, config.dropout / 3) for d in config.dilations)
        self.pooling = _AttentiveStatistics(config.width, config.attention_size)
        self.pool_norm = nn.BatchNorm1d(4 * config.width)
        self.embedding = nn.Linear(4 * config.width, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.embedding_size, config.num_labels)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Keep the variance of what passes through, where transformers' default of 0.02 would shrink it.

        Source: He et al. 2015, "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852
        """
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            if module is self.classifier:
                # Training begins undecided.
                initialization.normal_(module.weight, std=0.02)
            else:
                initialization.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                initialization.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            initialization.ones_(module.weight)
            initialization.zeros_(module.bias)

    def embed(self, input_features: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """One vector for each recording.

        Args:
            input_features: float32 of shape (batch, frames, FEATURE_SIZE).
            attention_mask: (batch, frames), 1 for what is real; None where nothing is padded.

        Returns:
            Shape (batch, embedding_size).
        """
        mask = torch.ones_like(input_features[:, :, 0]) if attention_mask is None else attention_mask
        mask = mask.to(input_features.dtype)
        normal = (input_features - self.feature_mean) / self.feature_deviation * mask[:, :, None]
        picture = normal.transpose(1, 2)
        mask = mask[:, None]
        fronts = [self.mel_front(picture[:, :MEL_BANDS], mask), self.pitch_front(picture[:, MEL_BANDS:], mask)]
        mask = mask[:, :, ::2][:, :, ::2]
        hidden = torch.relu(self.join_norm(self.join(torch.cat(fronts, dim=1))))
        hidden = hidden * mask.to(hidden.dtype)
        for block in self.blocks:
            hidden = block(hidden, mask)
        pooled = self.pool_norm(self.pooling(hidden, mask))
        return torch.relu(self.embedding(self.dropout(pooled)))

    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> SequenceClassifierOutput:
        """Logits, and the loss where `labels` are given: indices (batch,) or probabilities (batch, num_labels)."""
        embedding = self.embed(input_features, attention_mask)
        logits = self.classifier(self.dropout(embedding)).float()
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def _flattened(bands: int, channels: Sequence[int]) -> int:
    for _ in channels:
        bands = (bands + 1) // 2
    return bands * channels[-1]


AutoConfig.register(MODEL_TYPE, AcousticConfig, exist_ok=True)
AutoModelForAudioClassification.register(AcousticConfig, AcousticModelForAudioClassification, exist_ok=True)
AutoFeatureExtractor.register(AcousticConfig, AcousticFeatureExtractor, exist_ok=True)
