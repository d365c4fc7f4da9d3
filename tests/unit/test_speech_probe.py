"""The probe that refuses noise which the speech detector let pass, on made-up embeddings and a real encoder."""

from dataclasses import replace

import numpy as np

from ser.acoustic.head import load_head
from ser.audio.augmentation import coloured_noise
from ser.checkpoints.folder import Meta
from ser.encoder.loading import load_encoder
from ser.testing import synthetic_speech
from ser.training.speech_probe import PARTS, embed_noises, fit_probe, fit_speech_probe
from tests.unit.test_heads import LABELS, SIZE, clips, fitted


def test_noise_is_refused_and_speech_passes(tmp_path) -> None:
    data = clips("one", LABELS, 200)
    generator = np.random.default_rng(0)
    noise = data.plain.mean(axis=0) + 2.0 + generator.standard_normal((80, SIZE)).astype(np.float32)
    head = fit_probe(fitted(data), data.plain, noise[:40])
    assert not head.speech(noise[40:]).any(), "noise that the fit has not seen"
    assert head.speech(clips("one", LABELS, 100, seed=1).plain).all()
    head.save(tmp_path / "head", Meta("made up", LABELS))
    read, _ = load_head(tmp_path / "head")
    assert np.array_equal(read.speech(noise), head.speech(noise))


def test_a_head_that_knows_no_noise_refuses_nothing() -> None:
    data = clips("one", LABELS)
    head = fit_speech_probe(fitted(data), data, (), load_encoder(), seed=0)
    assert head.speech_weights is None and head.speech(data.plain).all()


def test_noises_are_embedded_as_a_whole_and_in_parts() -> None:
    noise = coloured_noise(32_000, 1.0, np.random.default_rng(0)) * 0.1
    rows = embed_noises([noise], load_encoder(), seed=0)
    assert len(rows) == 1 + PARTS and len({row.tobytes() for row in rows}) == 1 + PARTS
    again = embed_noises([noise, synthetic_speech(0.5).signal], load_encoder(), seed=0)
    np.testing.assert_array_equal(again[: len(rows)], rows)


def test_a_probe_stays_with_a_head_that_is_changed() -> None:
    data = clips("one", LABELS, 200)
    head = fit_probe(fitted(data), data.plain, data.plain[:40] + 4.0)
    assert replace(head, temperature=2.0).speech_weights is head.speech_weights
