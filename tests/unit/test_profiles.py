"""Profiles of sources and speakers: what is taken out, what stays, and what happens at the edges."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser.acoustic.head import ClassifierHead, load_head
from ser.acoustic.hidden import HiddenLayer
from ser.acoustic.places import KnownPlaces
from ser.checkpoints.folder import Meta
from ser.encoder.offsets import fit_prior
from ser.encoder.profiles import (
    MAX_CLIPS,
    MIN_CLIPS,
    NEUTRAL,
    SOURCE,
    SPEAKER,
    Profile,
    Profiles,
    combine,
    draw_profiles,
)
from ser.errors import SettingsError
from ser.evaluation.predictions import embedding_model
from ser.labels import EMOTIONS
from ser.testing import BandEnergyModel, fake_recognizer, synthetic_speech
from ser.training.head_calibration import fit_novelty
from ser.types import AppliedProfile, Recognition

SIZE, STRENGTH = 24, 1.6
ENCODER = "an encoder"


def clips_of(
    labels: np.ndarray, generator: np.random.Generator, offset: np.ndarray | None = None, noise: float = 0.7
) -> np.ndarray:
    """Embeddings whose first numbers show the label; `offset` moves them all."""
    rows = generator.normal(0.0, noise, (len(labels), SIZE))
    rows[np.arange(len(labels)), labels] += STRENGTH
    return (rows + (0.0 if offset is None else offset)).astype(np.float32)


def head_of(generator: np.random.Generator) -> ClassifierHead:
    """A head for such embeddings, with a prior from corpora and speakers that are moved at random."""
    weights = np.zeros((SIZE, len(EMOTIONS)), dtype=np.float32)
    weights[: len(EMOTIONS)] = 2.0 * np.eye(len(EMOTIONS))
    head = ClassifierHead(
        labels=EMOTIONS,
        mean=np.full(SIZE, 0.1, dtype=np.float32),
        scale=np.full(SIZE, 1.5, dtype=np.float32),
        weights=weights,
        bias=np.zeros(len(EMOTIONS), dtype=np.float32),
        temperature=1.3,
        encoder=ENCODER,
        encoder_sha256="0" * 64,
    )
    rows, labels, corpora, speakers = [], [], [], []
    for corpus in range(6):
        place = generator.normal(0.0, 0.8, SIZE)
        for speaker in range(5):
            mine = np.arange(70) % len(EMOTIONS)
            rows.append(clips_of(mine, generator, place + generator.normal(0.0, 0.4, SIZE)))
            labels.append(mine)
            corpora += [f"c{corpus}"] * 70
            speakers += [f"c{corpus}s{speaker}"] * 70
    targets = np.eye(len(EMOTIONS))[np.concatenate(labels)]
    return replace(head, prior=fit_prior(head.scores(np.concatenate(rows)), targets, corpora, speakers))


def accuracy(head: ClassifierHead, rows: np.ndarray, labels: np.ndarray, profiles: Profiles | None = None) -> float:
    center = None if profiles is None else combine(head, profiles)
    return float((head.probabilities(rows, center).argmax(axis=1) == labels).mean())


@pytest.fixture(scope="module")
def head() -> ClassifierHead:
    return head_of(np.random.default_rng(0))


def biased() -> np.ndarray:
    offset = np.zeros(SIZE)
    offset[5], offset[0], offset[12] = 1.8, -0.8, 3.0
    return offset


def test_a_moved_place_is_brought_back_by_unlabelled_clips(head: ClassifierHead) -> None:
    generator = np.random.default_rng(1)
    labels = np.arange(210) % len(EMOTIONS)
    rows = clips_of(labels, generator, biased())
    known = clips_of(generator.permutation(labels)[:64], generator, biased())
    profile = Profile.of(SOURCE, ENCODER, known)
    plain = accuracy(head, rows, labels)
    careful, even = (accuracy(head, rows, labels, Profiles(profile, even_labels=mix)) for mix in (None, EMOTIONS))
    unmoved = accuracy(head, clips_of(labels, generator), labels)
    assert plain < unmoved - 0.15
    assert plain + 0.04 < careful < even
    assert even > unmoved - 0.1


def test_an_unfamiliar_place_of_an_even_mix_is_centred_and_a_known_one_is_not(head: ClassifierHead) -> None:
    """So far away that standardised embeddings are cut, no offset of the logits brings a place back."""
    generator = np.random.default_rng(6)
    labels = np.arange(210) % len(EMOTIONS)
    near, basis = clips_of(labels, generator), np.eye(SIZE, 4, -10, dtype=np.float32)
    standard = head.standardise(near) @ basis
    center = standard.mean(axis=0, keepdims=True)
    spread = ((standard - center) ** 2).sum(axis=1).mean(keepdims=True)
    placed = replace(head, places=KnownPlaces(basis, center, spread))
    far = near + np.float32(20.0)
    assert placed.unfamiliarity(near) < 0.5 < 0.99 < placed.unfamiliarity(far) and head.unfamiliarity(far) == 0.0
    away, known = (Profiles(Profile.of(SOURCE, ENCODER, rows), even_labels=EMOTIONS) for rows in (far, near))
    assert accuracy(head, far, labels, away) < 0.5 < 0.9 * accuracy(head, near, labels)
    assert accuracy(placed, far, labels, away) > accuracy(head, near, labels) - 0.05
    assert accuracy(placed, near, labels, known) > accuracy(head, near, labels, known) - 0.05


@pytest.mark.parametrize("shares", [{4: 0.8, 5: 0.1, 0: 0.1}, {0: 0.5, 5: 0.5}, {1: 0.5, 2: 0.5}])
@pytest.mark.parametrize("moved", [False, True])
def test_a_skewed_mix_of_labels_costs_little(head: ClassifierHead, shares: dict[int, float], moved: bool) -> None:
    generator = np.random.default_rng(2)
    labels = generator.choice(list(shares), 240, p=list(shares.values()))
    rows = clips_of(labels, generator, biased() if moved else None)
    plain = accuracy(head, rows, labels)
    adapted = accuracy(head, rows, labels, Profiles(Profile.of(SOURCE, ENCODER, rows)))
    subtracted = float((head.probabilities(rows, rows.mean(axis=0)).argmax(axis=1) == labels).mean())
    assert adapted > plain - 0.04
    assert adapted > subtracted


@pytest.mark.parametrize("emotion", ["anger", "neutral", "sadness"])
def test_a_speaker_of_one_emotion_in_a_known_place_keeps_it(head: ClassifierHead, emotion: str) -> None:
    generator = np.random.default_rng(3)
    source = Profile.of(SOURCE, ENCODER, clips_of(np.arange(140) % len(EMOTIONS), generator, biased()))
    labels = np.full(40, EMOTIONS.index(emotion))
    rows = clips_of(labels, generator, biased())
    place = accuracy(head, rows, labels, Profiles(source))
    assert accuracy(head, rows, labels, Profiles(source, Profile.of(SPEAKER, ENCODER, rows))) > place - 0.04


def test_neutral_clips_of_a_speaker_bring_their_voice_back(head: ClassifierHead) -> None:
    generator = np.random.default_rng(5)
    labels, moved = np.arange(210) % len(EMOTIONS), np.zeros(SIZE)
    # This voice's neutral sounds sad.
    moved[EMOTIONS.index("sadness")], moved[EMOTIONS.index("neutral")] = 1.0, -0.6
    rows, neutral = clips_of(labels, generator, moved), np.full(4, EMOTIONS.index("neutral"))
    known = Profiles(neutral=Profile.of(NEUTRAL, ENCODER, clips_of(neutral, generator, moved)))
    assert known.applied == ("neutral", 4)
    assert accuracy(head, rows, labels, known) > accuracy(head, rows, labels) + 0.02
    usual = Profiles(neutral=Profile.of(NEUTRAL, ENCODER, clips_of(neutral, generator)))
    plain = clips_of(labels, generator)
    assert accuracy(head, plain, labels, usual) > accuracy(head, plain, labels) - 0.02, "a known voice is left alone"


def test_few_clips_of_a_source_are_no_profile(head: ClassifierHead) -> None:
    rows = clips_of(np.zeros(MIN_CLIPS, dtype=int), np.random.default_rng(4))
    assert combine(head, Profiles(Profile.of(SOURCE, ENCODER, rows[1:]))) is None
    assert combine(head, Profiles(Profile.of(SOURCE, ENCODER, rows))) is not None
    assert combine(head, Profiles()) is None
    assert combine(replace(head, prior=None), Profiles(Profile.of(SOURCE, ENCODER, rows))) is None


def test_a_speaker_is_shrunk_towards_the_place(head: ClassifierHead) -> None:
    generator = np.random.default_rng(5)
    mixed = np.arange(140) % len(EMOTIONS)
    source = Profile.of(SOURCE, ENCODER, clips_of(mixed, generator, biased()))
    one = Profile.of(SPEAKER, ENCODER, clips_of(mixed[:1], generator, -2.0 * biased()))
    place = combine(head, Profiles(source))
    both, alone = combine(head, Profiles(source, one)), combine(head, Profiles(speaker=one))
    assert place is not None and both is not None and alone is not None
    assert np.linalg.norm(both - place) < 0.5 * np.linalg.norm(alone - place)


def test_a_hidden_layer_does_not_bend_the_offset_of_a_place(head: ClassifierHead) -> None:
    generator = np.random.default_rng(8)
    layer = HiddenLayer.of(
        *(generator.normal(size=shape).astype(np.float32) for shape in ((SIZE, 12), (12, 20), (20,)))
    )
    outputs = generator.normal(0.0, 0.1, (20, len(EMOTIONS))).astype(np.float32)
    bent = replace(head, hidden=layer, weights=np.vstack([head.weights, outputs]))
    rows = clips_of(np.arange(140) % len(EMOTIONS), generator, biased())
    center = combine(bent, Profiles(Profile.of(SOURCE, ENCODER, rows)))
    assert center is not None and center.shape == (SIZE + 20,)
    np.testing.assert_array_equal(center[:SIZE], head.mean)
    moved = bent.scores(rows) - bent.scores(rows, center)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=2e-3)
    assert np.ptp(moved[0]) > 0.05


def test_profiles_grow_and_are_kept() -> None:
    rows = np.random.default_rng(6).normal(size=(MAX_CLIPS + 30, 8)).astype(np.float32)
    whole = Profile.of(SOURCE, ENCODER, rows)
    grown = Profile.of(SOURCE, ENCODER, rows[:20]).merge(Profile.of(SOURCE, ENCODER, rows[20:-1])).add(rows[-1])
    assert whole.clips == grown.clips == MAX_CLIPS + 30
    assert np.array_equal(whole.embeddings, grown.embeddings) and len(whole.embeddings) == MAX_CLIPS
    again = Profile.from_arrays(SOURCE, ENCODER, whole.arrays())
    assert again.clips == whole.clips
    np.testing.assert_allclose(again.embeddings, whole.embeddings, rtol=1e-3)
    with pytest.raises(ValueError, match="another cannot be merged|cannot be merged"):
        whole.merge(replace(whole, encoder="another"))


def test_draws_leave_out_the_clip_itself_and_a_seed_fixes_them() -> None:
    rows = np.arange(40.0, dtype=np.float32).reshape(20, 2)
    speakers = ["ann", "bob"] * 10
    drawn = draw_profiles(rows, ENCODER, sources=["here"] * 20, speakers=speakers, clips=4, seed=1)
    for place, profiles in enumerate(drawn):
        assert profiles.source is not None and profiles.source.clips == 20
        assert profiles.speaker is not None and profiles.speaker.clips == 4
        found = {rows.tolist().index(row) for row in profiles.speaker.embeddings.tolist()}
        assert place not in found and {n % 2 for n in found} == {place % 2}
    again = draw_profiles(rows, ENCODER, speakers=speakers, clips=4, seed=1)
    other = draw_profiles(rows, ENCODER, speakers=speakers, clips=4, seed=2)
    assert not np.array_equal(again[0].speaker.embeddings, other[0].speaker.embeddings)  # type: ignore[union-attr]


def test_a_head_without_a_prior_adapts_to_an_even_mix_alone() -> None:
    generator = np.random.default_rng(5)
    head = replace(head_of(generator), prior=None)
    labels = np.arange(70) % len(EMOTIONS)
    rows = clips_of(labels, generator, generator.normal(0.0, 0.8, SIZE))
    source = Profile.of(SOURCE, ENCODER, rows)
    assert combine(head, Profiles(source)) is None
    even = Profiles(source, even_labels=tuple(EMOTIONS))
    assert combine(head, even) is not None
    assert accuracy(head, rows, labels, even) >= accuracy(head, rows, labels)


def test_recognition_says_what_it_was_adapted_by() -> None:
    recognizer = fake_recognizer()
    audio = synthetic_speech(1.0, seed=9)
    model = embedding_model(recognizer.acoustic)
    others = model.embed_batch([synthetic_speech(0.6 + 0.05 * n, seed=n) for n in range(MIN_CLIPS)])
    plain = recognizer.recognize(audio)
    profiles = Profiles(Profile.of(SOURCE, model.encoder_sha256, others))
    adapted = recognizer.recognize(audio, profiles)
    assert plain.profile is None
    assert adapted.profile == AppliedProfile("source", MIN_CLIPS)
    assert f"Adapted to this microphone and room: {MIN_CLIPS} recordings." in adapted.notes
    assert adapted.acoustic != plain.acoustic
    later: Recognition = recognizer.adapt([plain], [profiles])[0]
    assert later.acoustic.probabilities == pytest.approx(adapted.acoustic.probabilities)
    assert later.fused.probabilities == pytest.approx(adapted.fused.probabilities)
    assert later.profile == adapted.profile


def test_a_model_without_embeddings_is_refused() -> None:
    class Plain:
        name, labels, sha256 = "plain", EMOTIONS, "0" * 64
        classify = BandEnergyModel.classify
        classify_batch = BandEnergyModel.classify_batch

    with pytest.raises(SettingsError, match="it has no embeddings"):
        embedding_model(Plain())  # type: ignore[arg-type]


def test_clips_far_from_training_are_novel() -> None:
    generator = np.random.default_rng(7)
    scales = np.linspace(3.0, 0.2, SIZE)
    basis = fit_novelty((generator.normal(size=(4000, SIZE)) * scales).astype(np.float32), seed=0)
    model_head = replace(
        head_of(generator), mean=np.zeros(SIZE, np.float32), scale=np.ones(SIZE, np.float32), novelty_basis=basis
    )
    near = model_head.novelties((generator.normal(size=(500, SIZE)) * scales).astype(np.float32))
    far = model_head.novelties((4.0 * generator.normal(size=(500, SIZE)) * scales).astype(np.float32))
    assert near is not None and far is not None
    assert (near > 1.0).mean() < 0.03 and (far > 1.0).mean() > 0.9


def test_heads_keep_prior_and_novelty(head: ClassifierHead, tmp_path: Path) -> None:
    known = replace(head, novelty_basis=np.ones((SIZE, 3), dtype=np.float32))
    known.save(tmp_path / "head", Meta("a head", EMOTIONS))
    again, _ = load_head(tmp_path / "head")
    assert head.prior is not None and again.prior is not None
    np.testing.assert_allclose(again.prior.means, head.prior.means, rtol=1e-5)
    rows = clips_of(np.zeros(20, dtype=int), np.random.default_rng(8))
    profiles = Profiles(Profile.of(SOURCE, ENCODER, rows))
    np.testing.assert_allclose(combine(again, profiles), combine(head, profiles), atol=1e-4)
    np.testing.assert_allclose(again.novelties(rows), known.novelties(rows))
