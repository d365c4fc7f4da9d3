"""The embedded model in transformers form: configuration, feature extractor, model, Auto registration.

One or several small networks (`ser.acoustic.layers`) answer together. Knows nothing of files or training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
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
from transformers.utils import ModelOutput

from ser.acoustic.features import FEATURE_SIZE, extract_features
from ser.acoustic.functionals import FunctionalMember
from ser.acoustic.layers import Member, Sizes
from ser.types import SAMPLING_RATE

MODEL_TYPE = "ser_acoustic"


class AcousticConfig(PreTrainedConfig):
    """Sizes of the networks that answer together.

    Attributes:
        members: what sets each network apart from the sizes below; one `{}` is a single network.
        mel_channels: of the convolutions over the mel spectrogram; each halves the bands.
        pitch_channels: likewise over the pitch map; empty for a network that does not look at it.
        width: channels of the part over time.
        dilations: one residual block each.
        attention_size: hidden units of the attention that pools over time.
        embedding_size: of the vector before the classifier.
        dropout: before the classifier.
        centred: whether each mel band's mean over the recording is taken out, and with it the microphone's curve and
            the part of the spectrum by which voices differ. Source: Atal 1974, "Effectiveness of linear prediction
            characteristics of the speech wave for automatic speaker identification and verification",
            https://doi.org/10.1121/1.1914702 (for cepstra)
        functionals: whether a network is no convolutional one but judges by statistics of the whole recording
            (`ser.acoustic.functionals`); of the sizes it takes `dropout` and `hidden`.
        hidden: units between these statistics and the answer; 0 for none.
        weight: how much a network's answer counts beside the others'.
        heard_labels: what the networks tell apart, where that is finer than the answer; else empty.
        counts_as: {heard label: label of the answer}, for those that are not labels of the answer.
    """

    model_type = MODEL_TYPE

    members: Sequence[Mapping[str, Any]] = ({},)
    mel_channels: Sequence[int] = (16, 32, 48, 64)
    pitch_channels: Sequence[int] = (12, 24, 32, 48)
    width: int = 192
    dilations: Sequence[int] = (1, 2, 3, 4)
    attention_size: int = 64
    embedding_size: int = 128
    dropout: float = 0.3
    centred: bool = False
    functionals: bool = False
    hidden: int = 0
    weight: float = 1.0
    heard_labels: Sequence[str] = ()
    counts_as: Mapping[str, str] = field(default_factory=dict)

    def heard(self) -> tuple[str, ...]:
        """The labels of the networks' own outputs."""
        return tuple(self.heard_labels) or tuple(self.id2label[i] for i in range(self.num_labels))

    def changed(self, **changes: Any) -> "AcousticConfig":
        """A copy with other values."""
        return AcousticConfig.from_dict({**self.to_dict(), **changes})

    def weights(self) -> list[float]:
        """How much each member's answer counts, with a sum of 1."""
        given = [self.sizes(member).weight for member in range(len(self.members))]
        return [weight / sum(given) for weight in given]

    def sizes(self, member: int) -> Sizes:
        """Those of one member."""
        changed = self.members[member]
        return Sizes(**{size.name: changed.get(size.name, getattr(self, size.name)) for size in fields(Sizes)})


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


@dataclass
class AcousticOutput(ModelOutput):
    """What the networks say together.

    Attributes:
        loss: where labels were given.
        logits: (batch, num_labels), log-probabilities.
        intensity_logits: (batch,), the logit of a feeling being strong rather than normal.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    intensity_logits: torch.Tensor | None = None


class AcousticModelForAudioClassification(PreTrainedModel):
    """Features of a recording -> log-probabilities of the labels, as the weighted mean over one or several networks."""

    config_class = AcousticConfig
    main_input_name = "input_features"
    # Our forward takes no num_items_in_batch: without this the Trainer would scale the loss twice.
    accepts_loss_kwargs = False

    def __init__(self, config: AcousticConfig) -> None:
        super().__init__(config)
        self.register_buffer("feature_mean", torch.zeros(FEATURE_SIZE))
        self.register_buffer("feature_deviation", torch.ones(FEATURE_SIZE))
        self.members = nn.ModuleList(
            make_member(config.sizes(n), len(config.heard())) for n in range(len(config.members))
        )
        labels = [config.id2label[i] for i in range(config.num_labels)]
        heard = config.heard()
        answers = [config.counts_as.get(name, name) for name in heard]
        self._parts = [[n for n, answer in enumerate(answers) if answer == label] for label in labels]
        self._merges = list(heard) != labels
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Keep the variance of what passes through, where transformers' default of 0.02 would shrink it.

        Source: He et al. 2015, "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852
        """
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            if any(module is member.classifier or module is member.intensity for member in self.networks()):
                # Training begins undecided.
                initialization.normal_(module.weight, std=0.02)
            else:
                initialization.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                initialization.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            initialization.ones_(module.weight)
            initialization.zeros_(module.bias)

    def networks(self) -> list[Member | FunctionalMember]:
        """The members, as what they are."""
        return [member for member in self.members if isinstance(member, Member | FunctionalMember)]

    def embed(self, input_features: torch.Tensor, attention_mask: torch.Tensor | None = None) -> list[torch.Tensor]:
        """A vector for each recording from each member.

        Args:
            input_features: float32 of shape (batch, frames, FEATURE_SIZE).
            attention_mask: (batch, frames), 1 for what is real; None where nothing is padded.

        Returns:
            For each member the shape (batch, embedding_size), or (batch, functionals).
        """
        mask = torch.ones_like(input_features[:, :, 0]) if attention_mask is None else attention_mask
        mask = mask.to(input_features.dtype)
        normal = (input_features - self.feature_mean) / self.feature_deviation * mask[:, :, None]
        picture, raw, mask = normal.transpose(1, 2), input_features.transpose(1, 2), mask[:, None]
        return [
            member.embed(picture, mask) if isinstance(member, Member) else member.embed(raw, mask)
            for member in self.networks()
        ]

    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> AcousticOutput:
        """Answers, and the loss where `labels` are given: indices (batch,) or probabilities (batch, num_labels)."""
        embeddings = self.embed(input_features, attention_mask)
        answers = [member.answer(embedding) for member, embedding in zip(self.networks(), embeddings, strict=True)]
        logits = torch.stack([w * logits for w, (logits, _) in zip(self.config.weights(), answers, strict=True)]).sum(0)
        intensity = torch.stack([intensity for _, intensity in answers]).mean(0)
        if self._merges:
            logits = torch.stack([torch.logsumexp(logits[:, parts], dim=1) for parts in self._parts], dim=1)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return AcousticOutput(loss=loss, logits=logits, intensity_logits=intensity)


def make_member(sizes: Sizes, labels: int) -> Member | FunctionalMember:
    """A network of one kind or the other, with weights as torch draws them."""
    return FunctionalMember(sizes.dropout, labels, sizes.hidden) if sizes.functionals else Member(sizes, labels)


def split_members(model: AcousticModelForAudioClassification) -> list[AcousticModelForAudioClassification]:
    """Each network as a model of its own, with a copy of its weights.

    >>> model = AcousticModelForAudioClassification(AcousticConfig(members=[{}, {"pitch_channels": []}]))
    >>> [alone.config.members for alone in split_members(model)]
    [[{}], [{'pitch_channels': []}]]
    """
    alone = []
    for changed, member in zip(model.config.members, model.members, strict=True):
        single = AcousticModelForAudioClassification(model.config.changed(members=[dict(changed)]))
        single.members[0].load_state_dict(member.state_dict())
        single.feature_mean.copy_(model.feature_mean)
        single.feature_deviation.copy_(model.feature_deviation)
        alone.append(single.train(model.training))
    return alone


def join_members(
    models: Sequence[AcousticModelForAudioClassification],
) -> AcousticModelForAudioClassification:
    """One model of several that look at their features alike; the counterpart of `split_members`."""
    first = models[0]
    changed = [dict(member) for model in models for member in model.config.members]
    joined = AcousticModelForAudioClassification(first.config.changed(members=changed))
    networks = [member for model in models for member in model.members]
    for ours, theirs in zip(joined.members, networks, strict=True):
        ours.load_state_dict(theirs.state_dict())
    joined.feature_mean.copy_(first.feature_mean)
    joined.feature_deviation.copy_(first.feature_deviation)
    return joined.train(first.training)


def answer_with(
    model: AcousticModelForAudioClassification, labels: Sequence[str], counts_as: Mapping[str, str]
) -> AcousticModelForAudioClassification:
    """The same networks, with an answer in fewer labels than they tell apart.

    Args:
        model: whose labels are those its networks tell apart.
        labels: of the answer.
        counts_as: {label of the networks: label of the answer} where they differ.
    """
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
    config = model.config.changed(**names, heard_labels=list(model.config.heard()), counts_as=dict(counts_as))
    narrowed = AcousticModelForAudioClassification(config)
    narrowed.load_state_dict(model.state_dict())
    return narrowed.train(model.training)


AutoConfig.register(MODEL_TYPE, AcousticConfig, exist_ok=True)
AutoModelForAudioClassification.register(AcousticConfig, AcousticModelForAudioClassification, exist_ok=True)
AutoFeatureExtractor.register(AcousticConfig, AcousticFeatureExtractor, exist_ok=True)
