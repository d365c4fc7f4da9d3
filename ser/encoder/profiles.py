"""Profiles of a source and of a speaker: unlabelled clips that a classifier head's answers are adapted by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ser.encoder.offsets import Matrix, Offset, ProfilePrior, estimate_offset, even_shares, known_offset

SOURCE, SPEAKER, NEUTRAL = "source", "speaker", "neutral"

MIN_CLIPS = 16
"""Clips of a source from which it is adapted to."""

MAX_CLIPS = 128
"""Newest clips that a profile keeps: 2 MB of embeddings, and more clips hardly move the offset."""

SOURCE_SHARE = 0.2
"""Of the offset of a source that is taken out where its label mix is not known. More gains more where the mix is even,
and costs more than 2 points of UAR where a source has two labels only that the offset is taken for."""

SPEAKER_SHARE = 0.5
"""The same of a speaker, whose clips are alike in more."""

SOURCE_VARIETY = (1.5, 3.5)
"""Labels that seem to be in a source's clips (exponential of their entropy), at which the share begins to count, and
counts in full."""

SPEAKER_VARIETY = (3.0, 5.0)
"""The same of a speaker; one whose clips are all alike is left to the source's profile."""

EVEN_SHRINKAGE = 2.0
"""Clips that count as much as not knowing the source, where the label mix is known to be even.

Source: shrinkage of a group's mean towards the whole, as in Efron & Morris 1975, "Data analysis using Stein's estimator
and its generalizations", https://doi.org/10.1080/01621459.1975.10479864; chosen on RAVDESS's folds 2 to 6."""

CENTER_SHRINKAGE = 20.0
"""Clips that count as much as the training clips' mean, where the label mix is known to be even and the place is
unfamiliar: there the mean of clips says more of the place than of their labels."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Profile:
    """Unlabelled clips of one source or of one speaker; `combine` makes an offset of them.

    Attributes:
        kind: `source` (a place: a store, a session of the page, a corpus), `speaker`, or `neutral`: of the speaker, and
            known to be neutral.
        encoder: names the encoder, as `ser.types.Embedding.encoder`; embeddings of other encoders are not comparable.
        embeddings: of the newest clips, shape (at most `MAX_CLIPS`, size).
        clips: added in all.
    """

    kind: str
    encoder: str
    embeddings: Array
    clips: int

    @classmethod
    def of(cls, kind: str, encoder: str, embeddings: npt.ArrayLike) -> "Profile":
        """A profile of clips in order of time.

        >>> Profile.of(SOURCE, "whisper", np.zeros((300, 8))).clips
        300
        """
        rows = np.atleast_2d(np.asarray(embeddings, dtype=np.float32))
        return cls(kind, encoder, rows[-MAX_CLIPS:], len(rows))

    def add(self, embeddings: npt.ArrayLike) -> "Profile":
        """The profile with one clip more, or several; this one stays as it is."""
        return self.merge(Profile.of(self.kind, self.encoder, embeddings))

    def merge(self, newer: "Profile") -> "Profile":
        """The profile of both.

        Raises:
            ValueError: where the embeddings are of different encoders.
        """
        if newer.encoder != self.encoder:
            raise ValueError(f"a profile on {self.encoder} cannot be merged with one on {newer.encoder}")
        rows = np.concatenate([self.embeddings, newer.embeddings])[-MAX_CLIPS:]
        return replace(self, embeddings=rows, clips=self.clips + newer.clips)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return what a store keeps apart from kind and encoder: embeddings in half precision, and the count."""
        return {"embeddings": self.embeddings.astype(np.float16), "clips": np.array(self.clips)}

    @classmethod
    def from_arrays(cls, kind: str, encoder: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> "Profile":
        """The profile that `arrays` came from."""
        return cls(kind, encoder, arrays["embeddings"].astype(np.float32), int(arrays["clips"]))


@dataclass(frozen=True, eq=False)
class Profiles:
    """The profiles that an answer is adapted by.

    Attributes:
        source: of the place; of no account below `MIN_CLIPS` clips.
        speaker: of the person.
        even_labels: labels of which the clips are known to be an even mix, as in most corpora of acted speech; None
            where the mix is not known, and adaptation has to be careful.
        neutral: clips of the person that are known to be neutral; they take the place of `speaker`.
    """

    source: Profile | None = None
    speaker: Profile | None = None
    even_labels: tuple[str, ...] | None = None
    neutral: Profile | None = None

    @property
    def known_source(self) -> Profile | None:
        """The source, if it has enough clips."""
        return self.source if self.source is not None and self.source.clips >= MIN_CLIPS else None

    @property
    def known_speaker(self) -> Profile | None:
        """The speaker, if there is any clip of theirs."""
        return self.speaker if self.speaker is not None and self.speaker.clips else None

    @property
    def known_neutral(self) -> Profile | None:
        """The speaker's neutral voice, if there is any clip of it."""
        return self.neutral if self.neutral is not None and self.neutral.clips else None

    @property
    def applied(self) -> tuple[str, int]:
        """Kind and clips of the narrower profile that is known."""
        profile = self.known_neutral or self.known_speaker or self.known_source
        return (profile.kind, profile.clips) if profile is not None else ("", 0)


PLAIN = Profiles()
"""No adaptation."""


class Head(Protocol):
    """The part of `ser.acoustic.head.ClassifierHead` that a profile needs."""

    @property
    def mean(self) -> Array:
        """The mean that is subtracted from embeddings, shape (size,)."""

    @property
    def scale(self) -> Array:
        """The scale that centred embeddings are divided by, shape (size,)."""

    @property
    def weights(self) -> Array:
        """The linear map, shape (size + width of a hidden layer, outputs)."""

    @property
    def temperature(self) -> float:
        """The logits are divided by it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the outputs."""

    @property
    def output_emotions(self) -> tuple[str, ...]:
        """The emotions that the outputs count as."""

    @property
    def prior(self) -> ProfilePrior | None:
        """The prior of logits; None if the head can be adapted to an even mix of labels only."""

    def scores(self, embeddings: Array, center: Array | None = None) -> Array:
        """Logits before the temperature, shape (clips, outputs), with this mean in place of the head's."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of answers."""

    def probabilities(self, embeddings: Array, center: Array | None = None) -> npt.NDArray[np.float64]:
        """Probabilities of `classes`, shape (clips, classes)."""

    def unfamiliarity(self, embeddings: Array) -> float:
        """Share of clips whose place is not known, 0..1."""

    def __hash__(self) -> int:
        """Hash by identity."""


def combine(head: Head, profiles: Profiles) -> Array | None:
    """The mean to subtract from embeddings in place of the head's own.

    Args:
        head: whose answers are adapted.
        profiles: of the source, and of the speaker; the latter is shrunk towards the former by its number of clips.

    Returns:
        Shape (size,), or (size + width,) for a head with a hidden layer; None where there is nothing to adapt by, or
        the head has no prior and the label mix is unknown.
    """
    if profiles.known_source is None and profiles.known_speaker is None and profiles.known_neutral is None:
        return None
    center = head.mean
    if profiles.even_labels is not None:
        center, offset = _even_offset(head, profiles)
    elif head.prior is not None:
        offset = _careful_offset(head, head.prior, profiles)
    else:
        return None
    # Of all shifts of the embedding that move the logits by the offset, the shortest one; of the hidden layer's
    # features if there is one, as the layer would bend a shift of what goes into it.
    size, weights = len(head.mean), head.weights.astype(np.float64)
    if len(weights) > size:
        return np.concatenate([center, np.linalg.pinv(weights[size:].T, rcond=1e-6) @ offset]).astype(np.float32)
    return np.asarray(center + head.scale * (np.linalg.pinv(weights.T, rcond=1e-6) @ offset), dtype=np.float32)


def _even_offset(head: Head, profiles: Profiles) -> tuple[Array, Matrix]:
    """The clips' mean as far as their place is unfamiliar, and the offset from there that makes labels' shares even.

    Both are shrunk towards none, and those of the speaker towards the source's.
    """
    known = profiles.even_labels or ()
    counted = [
        label if label in known else emotion for label, emotion in zip(head.labels, head.output_emotions, strict=True)
    ]
    groups = [[place for place, name in enumerate(counted) if name == label] for label in known]
    center, offset = head.mean, np.zeros(len(head.labels))
    for profile in (profiles.known_source, profiles.known_speaker):
        if profile is not None:
            clips = len(profile.embeddings)
            trust = head.unfamiliarity(profile.embeddings) * clips / (clips + CENTER_SHRINKAGE)
            center = center + np.float32(trust) * (profile.embeddings.mean(axis=0) - center)
            # At the temperature of the answers: the hotter it is, the more a label of several outputs gets.
            scores = (head.scores(profile.embeddings, center) - offset) / head.temperature
            apart = head.temperature * even_shares(scores, [group for group in groups if group])
            offset = offset + apart * clips / (clips + EVEN_SHRINKAGE)
    return center, offset


def _careful_offset(head: Head, prior: ProfilePrior, profiles: Profiles) -> Matrix:
    """A share of the likeliest offset, the smaller the fewer labels there seem to be."""
    offset = np.zeros(len(prior.center))
    if profiles.known_source is not None:
        found = _source_offset(head, profiles.known_source)
        # The variety that is left without any offset, and the one with it, are each deceived now and then.
        offset = SOURCE_SHARE * _ramp(math.sqrt(found.variety * found.plain_variety), SOURCE_VARIETY) * found.offset
    if profiles.known_neutral is not None:
        return offset + _neutral_offset(head, prior, profiles.known_neutral, offset)
    if profiles.known_speaker is not None:
        scores = head.scores(profiles.known_speaker.embeddings)
        found = estimate_offset(scores, prior, prior.within)
        trust = _ramp(found.variety, SPEAKER_VARIETY)
        offset = offset + trust * (SPEAKER_SHARE * found.offset - offset)
    return np.asarray(offset)


def _neutral_offset(head: Head, prior: ProfilePrior, neutral: Profile, source: Matrix) -> Matrix:
    """The offset of a speaker whose neutral voice is known, in the measure in which the head does not know it."""
    outputs = [place for place, emotion in enumerate(head.output_emotions) if emotion == "neutral"]
    if not outputs:
        return np.zeros(len(prior.center))
    plain = [place for place in outputs if head.labels[place] == "neutral"]
    known = head.probabilities(neutral.embeddings)[:, head.classes.index("neutral")].mean()
    return (1.0 - float(known)) * known_offset(head.scores(neutral.embeddings) - source, (plain or outputs)[0], prior)


def _ramp(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return min(max((value - low) / (high - low), 0.0), 1.0)


@lru_cache(maxsize=4)
def _source_offset(head: Head, source: Profile) -> Offset:
    """Compute a source's offset; cached, as many recordings of a source and its speakers are answered in a row."""
    prior = head.prior
    assert prior is not None
    # Clips of a source are of several speakers.
    return estimate_offset(head.scores(source.embeddings), prior, prior.within + prior.speaker)


def draw_profiles(
    embeddings: Array,
    encoder: str,
    *,
    sources: Sequence[str] | None = None,
    speakers: Sequence[str] | None = None,
    clips: int = MAX_CLIPS,
    even_labels: tuple[str, ...] | None = None,
    seed: int = 0,
) -> list[Profiles]:
    """Profiles for each of many clips: of all clips of its source, and of drawn other clips of its speaker.

    Args:
        embeddings: of the clips, shape (clips, size).
        encoder: names the encoder.
        sources: of each clip; no profile of the source where left out.
        speakers: of each clip; no profile of the speaker where left out.
        clips: how many others of the speaker to draw for each.
        even_labels: see `Profiles`.
        seed: of the draws.

    >>> rows = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    >>> drawn = draw_profiles(rows, "whisper", speakers=["ann", "ann", "bob"])
    >>> [profile.speaker and profile.speaker.embeddings.tolist() for profile in drawn]
    [[[2.0, 3.0]], [[0.0, 1.0]], None]
    """
    generator = np.random.default_rng(seed)
    places, people = np.asarray(sources), np.asarray(speakers)
    known: dict[str, Profile] = {}
    for source in sorted(set(sources or ())):
        rows = np.flatnonzero(places == source)
        chosen = np.sort(generator.choice(rows, min(len(rows), MAX_CLIPS), replace=False))
        known[source] = Profile(SOURCE, encoder, embeddings[chosen], len(rows))
    drawn = []
    for place in range(len(embeddings)):
        speaker = None
        if speakers is not None:
            others = np.flatnonzero(people == speakers[place])
            others = others[others != place]
            if len(others):
                chosen = generator.choice(others, min(clips, len(others), MAX_CLIPS), replace=False)
                speaker = Profile(SPEAKER, encoder, embeddings[chosen], min(clips, len(others)))
        drawn.append(Profiles(known[sources[place]] if sources is not None else None, speaker, even_labels))
    return drawn
