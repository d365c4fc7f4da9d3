"""A classifier head on pooled encoder embeddings: linear in them and in a hidden layer's features, calibrated, small.

Knows no encoder and no training.

The folder of a saved head holds `head.safetensors` and `meta.json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ser.acoustic.folders import HEAD_FILE
from ser.acoustic.hidden import HiddenLayer
from ser.acoustic.places import KnownPlaces, to_half
from ser.checkpoints.folder import Meta, save_checkpoint, verify
from ser.encoder.offsets import ProfilePrior
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS, to_emotion

LIMIT = 8.0
"""Standard deviations beyond which a standardised number counts as this: one odd frame must not decide alone."""

Array = npt.NDArray[np.float32]


class Companion(Protocol):
    """Something that lies in a head's folder with it."""

    def save(self, folder: Path) -> None:
        """Write it."""


@dataclass(frozen=True, eq=False)
class ClassifierHead:
    """Standardise, multiply, add, divide by a temperature.

    Attributes:
        labels: of the outputs; labels beyond the seven emotions (calm, boredom) count as `neutral` in answers, unless
            the head has labels of its own; of these several outputs may have the same one.
        mean: of each number of an embedding over the training clips, shape (size,).
        scale: standard deviation of the same, above 0.
        weights: shape (size + width, outputs), `width` being the hidden layer's, or 0 without one.
        bias: shape (outputs,).
        temperature: the logits are divided by it.
        hidden: makes further features of a standardised embedding; None if the head is linear in the embedding.
        places: that the head knows, where answers are surer; None if there is one temperature for all.
        intensity_weights: of the probability that the feeling is strong, shape (size,); None if it is not known.
        intensity_bias: of the same.
        novelty_basis: the squared length of a standardised embedding's product with it is the embedding's novelty,
            1 at the limit, shape (size, directions); None if novelty is not known.
        speech_weights: of the log-odds that there is no speech in a clip, shape (size,); None if it is not known.
        speech_bias: of the same.
        prior: what adaptation to a source or a speaker starts from; None if the head can be adapted to an even mix of
            labels only.
        encoder: name of the encoder as `ser.encoder.loading.load_encoder` takes it.
        encoder_sha256: of that encoder; embeddings of another one are refused by the model around the head.
        means: {label of an answer: emotions of the seven that it means} of a head with labels of its own, in order;
            None for a head that answers with the seven.
        ratings: {rating, such as valence: its concordance with raters of other speakers}, in order.
        rating_weights: of the ratings from 0 to 100, shape (size, ratings); None if it has none.
        rating_bias: of the same, shape (ratings,).
    """

    labels: tuple[str, ...]
    mean: Array
    scale: Array
    weights: Array
    bias: Array
    temperature: float
    encoder: str
    encoder_sha256: str
    intensity_weights: Array | None = None
    intensity_bias: float = 0.0
    prior: ProfilePrior | None = None
    novelty_basis: Array | None = None
    speech_weights: Array | None = None
    speech_bias: float = 0.0
    places: KnownPlaces | None = None
    means: Mapping[str, tuple[str, ...]] | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    rating_weights: Array | None = None
    rating_bias: Array | None = None
    hidden: HiddenLayer | None = None

    def __post_init__(self) -> None:
        size, outputs = self.weights.shape
        size -= 0 if self.hidden is None else self.hidden.width
        if self.mean.shape != (size,) or self.scale.shape != (size,) or self.bias.shape != (outputs,):
            raise ValueError(f"mean, scale and bias do not fit weights of shape {self.weights.shape}")
        if len(self.labels) != outputs:
            raise ValueError(f"{len(self.labels)} labels for {outputs} outputs")

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the answers: `EMOTIONS`, or the head's own."""
        return EMOTIONS if self.means is None else tuple(self.means)

    @property
    def output_emotions(self) -> tuple[str, ...]:
        """The classes that the outputs count as."""
        return tuple(emotion_of(label) for label in self.labels) if self.means is None else self.labels

    @property
    def class_places(self) -> npt.NDArray[np.int64]:
        """Place of each output among `classes`, shape (outputs,)."""
        return np.array([self.classes.index(name) for name in self.output_emotions], dtype=np.int64)

    @property
    def emotions(self) -> tuple[str, ...]:
        """Those of `classes` that the head knows."""
        known = set(self.output_emotions)
        return tuple(name for name in self.classes if name in known)

    def standardise(self, embeddings: Array, center: Array | None = None) -> Array:
        """Bring embeddings to the scale that the weights expect.

        Args:
            embeddings: shape (clips, size).
            center: mean to subtract in place of the training clips', of a place or a person; shape (size,). What
                follows it is subtracted from the hidden layer's features: shape (size + width,).
        """
        mean = self.mean if center is None else center[: len(self.mean)]
        return np.clip((embeddings - mean) / self.scale, -LIMIT, LIMIT)

    def features(self, embeddings: Array, center: Array | None = None) -> Array:
        """Return the inputs of the linear map: standardised embeddings and, next to them, the hidden layer's features.

        Args:
            embeddings: shape (clips, size).
            center: as `standardise`'s.

        Returns:
            Shape (clips, size + width).
        """
        standard = self.standardise(embeddings, center)
        if self.hidden is None:
            return standard
        shift = np.float32(0.0) if center is None or len(center) == len(self.mean) else center[len(self.mean) :]
        return np.hstack([standard, self.hidden(standard) - shift])

    def scores(self, embeddings: Array, center: Array | None = None) -> Array:
        """Logits before the temperature, shape (clips, outputs); arguments as `standardise`'s."""
        return self.features(embeddings, center) @ self.weights + self.bias

    def unfamiliarity(self, embeddings: Array) -> float:
        """Share of clips whose place is not known, 0..1; 0 if the head knows nothing of places."""
        return 0.0 if self.places is None else 1.0 - float(self.places.familiarity(self.standardise(embeddings)).mean())

    def logits(self, embeddings: Array, center: Array | None = None) -> Array:
        """Logits divided by the temperature of their place, shape (clips, outputs); arguments as `standardise`'s."""
        return self._logits(self.features(embeddings, center), None if center is None else self.standardise(embeddings))

    def _logits(self, features: Array, standard: Array | None) -> Array:
        """Logits of features; `standard`, the embeddings without a profile's mean, tell the place."""
        scores = (features @ self.weights + self.bias) / self.temperature
        if self.places is None:
            return scores
        return scores / self.places.divisors(features[:, : len(self.mean)] if standard is None else standard)

    def probabilities(self, embeddings: Array, center: Array | None = None) -> npt.NDArray[np.float64]:
        """Probabilities of `classes`, shape (clips, classes), rows of sum 1; arguments as `standardise`'s."""
        return self._probabilities(self.logits(embeddings, center))

    def probabilities_of(self, features: Array) -> npt.NDArray[np.float64]:
        """Likewise of what `features` gives without a center: heads with one hidden layer share them."""
        return self._probabilities(self._logits(features, None))

    def _probabilities(self, logits: Array) -> npt.NDArray[np.float64]:
        values = logits.astype(np.float64)
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        answers = np.zeros((len(values), len(self.classes)))
        for output, place in enumerate(self.class_places):
            answers[:, place] += powers[:, output]
        return np.asarray(answers / answers.sum(axis=1, keepdims=True))

    def intensities(self, embeddings: Array) -> npt.NDArray[np.float64] | None:
        """Probability of a strong rather than a normal feeling, shape (clips,); None if the head has no intensity."""
        if self.intensity_weights is None:
            return None
        values = self.standardise(embeddings) @ self.intensity_weights + self.intensity_bias
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values.astype(np.float64), -60.0, 60.0))))

    def rate(self, embeddings: Array) -> list[dict[str, tuple[float, float]]]:
        """Predict ratings of each clip: {rating: (value from 0 to 100, concordance with raters)}; empty without any."""
        if self.rating_weights is None or self.rating_bias is None:
            return [{} for _ in embeddings]
        values = np.clip(self.standardise(embeddings) @ self.rating_weights + self.rating_bias, 0.0, 100.0)
        return [
            dict(zip(self.ratings, zip(row, self.ratings.values(), strict=True), strict=True))
            for row in values.tolist()
        ]

    def novelties(self, embeddings: Array, center: Array | None = None) -> Array | None:
        """The novelty of embeddings against the training clips, 1 at the limit, shape (clips,); None if not known."""
        if self.novelty_basis is None:
            return None
        return np.asarray(((self.standardise(embeddings, center) @ self.novelty_basis) ** 2).sum(axis=1))

    def speech(self, embeddings: Array) -> npt.NDArray[np.bool_]:
        """Tell speech (True) from a bark or a sneeze, shape (clips,); all is speech if the head does not know."""
        if self.speech_weights is None:
            return np.ones(len(embeddings), dtype=np.bool_)
        return np.asarray(self.standardise(embeddings) @ self.speech_weights + self.speech_bias < 0.0)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Content of `head.safetensors`."""
        tensors: dict[str, npt.NDArray[Any]] = {
            "mean": self.mean,
            "scale": self.scale,
            "weights": self.weights,
            "bias": self.bias,
        }
        if self.intensity_weights is not None:
            tensors["intensity_weights"] = self.intensity_weights
            tensors["intensity_bias"] = np.array([self.intensity_bias], dtype=np.float32)
        if self.rating_weights is not None and self.rating_bias is not None:
            tensors |= {"rating_weights": self.rating_weights, "rating_bias": self.rating_bias}
        if self.novelty_basis is not None:
            tensors["novelty_basis"] = to_half(self.novelty_basis)
        if self.hidden is not None:
            tensors |= self.hidden.arrays()
        if self.speech_weights is not None:
            tensors["speech_weights"] = self.speech_weights
            tensors["speech_bias"] = np.array([self.speech_bias], dtype=np.float32)
        if self.places is not None:
            tensors |= self.places.arrays()
        if self.prior is not None:
            tensors |= self.prior.arrays()
        return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}

    def save(self, folder: Path, meta: Meta, companion: "Companion | None" = None) -> Meta:
        """Write the head's folder, whole or not at all.

        Args:
            folder: must not exist yet, or be empty.
            meta: name, config, data and metrics; what the head itself knows is filled in.
            companion: saved with it, such as clips of the base for rehearsal.

        Raises:
            ModelUnavailableError: if the folder holds something already.
        """
        tensors = self.tensors()
        # A list keeps the order, which the keys of a table may lose.
        own: dict[str, object] = {}
        if self.means is not None:
            own[OWN_LABELS] = [[name, *means] for name, means in self.means.items()]
        if self.ratings:
            own[RATINGS] = [[name, agreement] for name, agreement in self.ratings.items()]
        config = {**meta.config, "encoder": self.encoder, "encoder_sha256": self.encoder_sha256} | own
        whole = replace(meta, labels=self.labels, temperature=self.temperature, config=config)

        def write(place: Path) -> None:
            save_file(tensors, place / HEAD_FILE)
            if companion is not None:
                companion.save(place)

        return save_checkpoint(folder, write, whole, HEAD_FILE)


def load_head(folder: Path) -> tuple[ClassifierHead, Meta]:
    """Read a head and its meta.

    Raises:
        ModelUnavailableError: if a file is absent, damaged, or no classifier head.
    """
    meta = verify(folder, HEAD_FILE)
    try:
        tensors: dict[str, npt.NDArray[Any]] = load_file(folder / HEAD_FILE)
        if any(not np.isfinite(values).all() for values in tensors.values()):
            raise ValueError("it holds numbers that are not finite")
        means = _own_labels(meta.config.get(OWN_LABELS))
        known = list(means or ()) if means else [label for label in meta.labels if _is_known(label)]
        if not set(meta.labels) <= set(known) or len(set(known if means else map(emotion_of, known))) < 2:
            raise ValueError(f"its labels are {', '.join(meta.labels)}")
        strong, speech, novelty = map(tensors.get, ("intensity_weights", "speech_weights", "novelty_basis"))
        head = ClassifierHead(
            labels=meta.labels,
            mean=tensors["mean"],
            scale=tensors["scale"],
            weights=tensors["weights"],
            bias=tensors["bias"],
            temperature=meta.temperature,
            encoder=str(meta.config["encoder"]),
            encoder_sha256=str(meta.config["encoder_sha256"]),
            intensity_weights=strong,
            intensity_bias=float(tensors["intensity_bias"][0]) if strong is not None else 0.0,
            prior=ProfilePrior.from_arrays(tensors),
            novelty_basis=None if novelty is None else novelty.astype(np.float32),
            hidden=HiddenLayer.from_arrays(tensors),
            places=KnownPlaces.from_arrays(tensors),
            speech_weights=speech,
            speech_bias=float(tensors["speech_bias"][0]) if speech is not None else 0.0,
            means=means,
            ratings=_ratings(meta.config.get(RATINGS, []), tensors),
            rating_weights=tensors.get("rating_weights"),
            rating_bias=tensors.get("rating_bias"),
        )
    except (SafetensorError, KeyError, ValueError, IndexError) as error:
        raise ModelUnavailableError(
            f"{folder / HEAD_FILE} is no usable classifier head: {error}. Take the model from its source again."
        ) from error
    return head, meta


EXTRA_LABELS = {"boredom": "neutral"}
"""Labels that corpora have beyond the seven and their aliases, and the emotion they count as in answers: of the seven,
neutral is what low arousal without another feeling comes nearest to."""


def emotion_of(label: str) -> str:
    """The emotion that an output counts as.

    >>> emotion_of("calm"), emotion_of("boredom"), emotion_of("fear")
    ('neutral', 'neutral', 'fear')
    """
    return to_emotion(label) or EXTRA_LABELS[label]


OWN_LABELS = "own_labels"
"""Key of the meta file's `config`: labels of the head's own, each with the emotions that it means."""

RATINGS = "ratings"
"""Key of the meta file's `config`: ratings that the head predicts, each with its concordance with raters."""


def _ratings(given: object, tensors: Mapping[str, Array]) -> dict[str, float]:
    if not isinstance(given, list) or not all(isinstance(row, list) and len(row) == 2 for row in given):
        raise ValueError(f"its {RATINGS} are {given!r}")
    shapes = [tensors[name].shape if name in tensors else None for name in ("rating_weights", "rating_bias")]
    if shapes != ([(len(tensors["mean"]), len(given)), (len(given),)] if given else [None, None]):
        raise ValueError(f"its {RATINGS} are {given!r}, with weights of shapes {shapes}")
    return {str(name): float(agreement) for name, agreement in given}


def _own_labels(given: object) -> dict[str, tuple[str, ...]] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(row, list) and row for row in given):
        raise ValueError(f"its {OWN_LABELS} are {given!r}")
    return {str(name): tuple(map(str, means)) for name, *means in given}


def _is_known(label: str) -> bool:
    return to_emotion(label) is not None or label in EXTRA_LABELS
