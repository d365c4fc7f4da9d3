"""Heads on made-up embeddings: fitted, fine-tuned, calibrated, rehearsed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ser.acoustic.head import ClassifierHead, load_head
from ser.checkpoints.folder import Meta
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.training.embeddings import EmbeddingSet
from ser.training.head_calibration import calibrate_head
from ser.training.heads import FineTuneConfig, HeadConfig, HiddenConfig, fine_tune_head, fit_head
from ser.training.logistic import minimise
from ser.training.rehearsal import REHEARSAL_FILE, KeptRehearsal, Rehearsal, draw_rehearsal, load_rehearsal

SIZE = 40
LABELS = ("anger", "calm", "neutral", "surprise")
CENTERS = np.random.default_rng(7).standard_normal((len(LABELS), SIZE)).astype(np.float32)


def clips(corpus: str, labels: tuple[str, ...], count: int = 60, seed: int = 0, noise: float = 1.0) -> EmbeddingSet:
    """Clips of one corpus: a Gaussian around each label's centre, with an offset of the corpus's own."""
    generator = np.random.default_rng([seed, *corpus.encode()])
    places = [LABELS.index(labels[number % len(labels)]) for number in range(count)]
    offset = 0.5 * generator.standard_normal(SIZE)
    plain = CENTERS[places] + noise * generator.standard_normal((count, SIZE)) + offset
    copies = plain + 0.1 * generator.standard_normal((count, SIZE))
    return EmbeddingSet(
        np.stack([plain, copies], axis=1).astype(np.float16),
        np.eye(len(LABELS), dtype=np.float32)[places],
        np.ones(count, dtype=np.float32),
        [f"{corpus}_{number % 6}" for number in range(count)],
        [corpus] * count,
        LABELS,
        [f"{corpus}/{number}" for number in range(count)],
        np.array([float(number % 2) for number in range(count)], dtype=np.float32),
    )


def joined(*parts: EmbeddingSet) -> EmbeddingSet:
    return EmbeddingSet(
        np.concatenate([part.embeddings for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.weights for part in parts]),
        [speaker for part in parts for speaker in part.speakers],
        [corpus for part in parts for corpus in part.corpora],
        LABELS,
        [path for part in parts for path in part.paths],
        np.concatenate([part.intensities for part in parts]),
    )


def fitted(data: EmbeddingSet, config: HeadConfig | None = None) -> ClassifierHead:
    return fit_head(data, config or HeadConfig(), encoder="embedded", encoder_sha256="made up")


def recall(head: ClassifierHead, data: EmbeddingSet) -> float:
    return float((head.scores(data.plain).argmax(axis=1) == data.targets.argmax(axis=1)).mean())


def test_a_head_is_fitted_the_same_each_time_and_predicts_other_clips() -> None:
    data = clips("one", LABELS)
    head, again = fitted(data), fitted(data)
    assert all(np.array_equal(head.tensors()[name], again.tensors()[name]) for name in head.tensors())
    assert recall(head, clips("one", LABELS, seed=1)) > 0.9
    assert head.intensity_weights is not None and head.labels == LABELS


def test_few_components_and_all_of_them_answer_alike() -> None:
    """More clips than numbers, or fewer, go through different decompositions of the same matrix."""
    data = clips("one", LABELS, 30)
    wide, narrow = (fitted(clips("one", LABELS, count), HeadConfig(dimensions=10)) for count in (30, 200))
    assert min(recall(wide, data), recall(narrow, data)) > 0.9


def test_a_label_that_a_corpus_lacks_is_not_given_to_its_clips() -> None:
    """With a full mask nothing keeps surprise away from the corpus that has none."""
    data = joined(clips("one", ("anger", "calm", "neutral")), clips("two", LABELS))
    lacking = clips("one", ("anger", "calm", "neutral"), seed=1, noise=2.0)
    shares = [
        float((fitted(data, HeadConfig(absent=absent)).scores(lacking.plain).argmax(axis=1) == 3).mean())
        for absent in (-30.0, -2.0)
    ]
    assert shares[1] <= shares[0] and shares[1] < 0.1


def test_the_temperature_is_for_strangers() -> None:
    data = joined(*(clips(name, LABELS, noise=2.0) for name in ("one", "two", "three")))
    head = fitted(data, HeadConfig(penalty=1e-6))
    calibrated = calibrate_head(head, data, None, HeadConfig(penalty=1e-6))
    assert calibrated.temperature > 1.0 and calibrated.prior is not None
    assert np.array_equal(calibrated.weights, head.weights)
    alone = clips("one", LABELS)
    assert calibrate_head(head, alone, None, HeadConfig()).temperature == 1.0, "nothing is known of strangers"


def test_answers_are_surer_in_known_places_only() -> None:
    data = joined(*(clips(name, LABELS, 120, noise=2.0) for name in ("one", "two", "three")))
    development = joined(*(clips(name, LABELS, 60, seed=1, noise=2.0) for name in ("one", "two", "three")))
    config = HeadConfig(penalty=1e-4)
    head = calibrate_head(fitted(data, config), data, development, config)
    assert head.places is not None and head.places.sharpening >= 1.0
    far = replace(development, embeddings=development.embeddings + np.float16(3.0))
    near, away = (head.places.familiarity(head.standardise(part.plain)) for part in (development, far))
    assert np.median(near) > 0.5 and np.median(away) < 0.1
    sharp = replace(head, places=replace(head.places, sharpening=2.0))
    scores = sharp.scores(far.plain) / sharp.temperature
    assert np.allclose(sharp.logits(far.plain)[away < 1e-3], scores[away < 1e-3], rtol=1e-3)
    assert (np.abs(sharp.logits(development.plain)) >= np.abs(sharp.scores(development.plain)) / head.temperature).all()


def test_known_places_survive_the_file_of_a_head(tmp_path: Path) -> None:
    data = joined(clips("one", LABELS), clips("two", LABELS))
    head = calibrate_head(fitted(data), data, clips("one", LABELS, seed=1), HeadConfig())
    head.save(tmp_path / "head", Meta("made up", LABELS))
    read, _ = load_head(tmp_path / "head")
    assert read.places is not None
    assert np.allclose(read.logits(data.plain), head.logits(data.plain), atol=1e-6)


def test_fewer_clips_than_values_are_fitted_to_the_same_optimum() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 100)).astype(np.float32)
    values = np.concatenate([values, values[:10]])
    targets, weights = np.eye(3)[rng.integers(3, size=60)], rng.uniform(0.5, 1.0, 60)
    offsets, start = rng.normal(size=(60, 3)), rng.normal(size=(101, 3))
    config = HeadConfig(penalty=0.01, iterations=300)
    # 240 zeros more are nothing to the optimum, but a reason to look for it among mixes of the clips.
    padded, more = np.pad(values, ((0, 0), (0, 240))), np.insert(start, [100] * 240, 0.0, axis=0)
    direct = minimise(values, targets, weights, offsets, start, config)
    by_clips = minimise(padded, targets, weights, offsets, more, config)
    assert np.abs(direct - start).max() > 0.1
    assert np.allclose(by_clips[:100], direct[:100], atol=0.005) and np.allclose(by_clips[-1], direct[-1], atol=0.005)
    assert not by_clips[100:340].any()


def test_fine_tuning_learns_a_new_corpus_and_rehearsal_keeps_the_base() -> None:
    base, new = clips("one", LABELS, 200), clips("two", LABELS, 40)
    moved = replace(new, embeddings=new.embeddings[:, :, ::-1])
    head = fitted(base)
    kept = draw_rehearsal(base, None, seed=0)
    columns = np.zeros((len(LABELS), len(EMOTIONS)), dtype=np.float32)
    for row, emotion in enumerate(("anger", "neutral", "neutral", "surprise")):
        columns[row, EMOTIONS.index(emotion)] = 1.0
    targets, weights = moved.targets @ columns, np.ones(len(moved), dtype=np.float32)

    def tuned(rehearsal: Rehearsal | None) -> ClassifierHead:
        config = FineTuneConfig(penalty=1e-3)
        return fine_tune_head(head, moved.plain, targets, weights, rehearsal=rehearsal, config=config)

    def emotions_right(of: ClassifierHead, data: EmbeddingSet) -> float:
        return float((of.probabilities(data.plain).argmax(axis=1) == (data.targets @ columns).argmax(axis=1)).mean())

    test = clips("one", LABELS, 100, seed=1)
    with_base, without = tuned(kept), tuned(None)
    assert emotions_right(with_base, moved) > emotions_right(head, moved) + 0.2
    assert emotions_right(with_base, test) > emotions_right(head, test) - 0.05
    assert emotions_right(with_base, test) > emotions_right(without, test)
    assert np.array_equal(head.weights, fitted(base).weights), "the head before is not changed"


def test_rehearsal_clips_survive_their_file_within_four_bits(tmp_path: Path) -> None:
    drawn = draw_rehearsal(clips("one", LABELS, 40), clips("two", LABELS, 8), seed=0)
    # An odd number of numbers leaves half a byte.
    kept = replace(drawn, embeddings=drawn.embeddings[:, :-1])
    kept.save(tmp_path)
    read = load_rehearsal(tmp_path)
    assert read is not None and read.speakers == kept.speakers and read.corpora == kept.corpora
    apart, spread = kept.embeddings - kept.embeddings.mean(axis=0), kept.embeddings.std(axis=0)
    limited = np.clip(apart, -3.5 * spread, 3.5 * spread)
    assert (np.abs(read.embeddings - kept.embeddings.mean(axis=0) - limited) <= 0.2501 * spread).all()
    assert np.array_equal(read.targets, kept.targets)
    assert set(kept.take(np.array(kept.corpora) == "two").speakers) <= {f"two_{number}" for number in range(6)}
    (tmp_path / "next").mkdir()
    laid = KeptRehearsal.of(tmp_path)
    assert laid is not None and KeptRehearsal.of(tmp_path / "next") is None
    laid.save(tmp_path / "next")
    assert np.array_equal(load_rehearsal(tmp_path / "next").embeddings, read.embeddings)  # type: ignore[union-attr]


def test_rehearsal_clips_of_earlier_versions_are_read(tmp_path: Path) -> None:
    whole = np.array([[-127, 0], [127, 5]], dtype=np.int8)
    tensors = {
        "embeddings": whole,
        "mean": np.array([1.0, 2.0], np.float32),
        "steps": np.array([0.01, 0.1], np.float32),
        "targets": np.eye(7, dtype=np.float16)[:2],
        "names": np.frombuffer(b"one\tann\ntwo\tbob", dtype=np.uint8),
    }
    save_file(tensors, tmp_path / REHEARSAL_FILE)
    read = load_rehearsal(tmp_path)
    assert read is not None and read.speakers == ["ann", "bob"] and read.corpora == ["one", "two"]
    np.testing.assert_allclose(read.embeddings, [[-0.27, 2.0], [2.27, 2.5]], atol=1e-6)


def crossed(count: int, seed: int) -> EmbeddingSet:
    """Clips of one corpus, anger where two directions have the same sign and calm where not: no line parts them."""
    data, generator = clips("crossed", LABELS, count, seed), np.random.default_rng(seed)
    signs = generator.choice([-1.0, 1.0], (count, 2))
    plain = np.repeat(signs, SIZE // 2, axis=1) + generator.normal(0.0, 1.0, (count, SIZE))
    values = np.stack([plain, plain + 0.1], axis=1).astype(np.float16)
    targets = np.eye(len(LABELS), dtype=np.float32)[(signs.prod(axis=1) < 0).astype(int)]
    return replace(data, embeddings=values, targets=targets)


HIDDEN = HeadConfig(hidden=HiddenConfig(dimensions=SIZE, width=64, epochs=40, dropout=0.1, mixup=0.0, moved=0.2))


def test_a_hidden_layer_learns_what_no_linear_head_can(tmp_path: Path) -> None:
    data, strangers = crossed(800, 0), crossed(400, 1)
    linear, head, again = fitted(data), fitted(data, HIDDEN), fitted(data, HIDDEN)
    assert recall(linear, strangers) < 0.65 and recall(head, strangers) > 0.85
    assert all(np.array_equal(head.tensors()[name], again.tensors()[name]) for name in head.tensors())
    assert head.features(data.plain).shape == (800, SIZE + 64) and head.standardise(data.plain).shape == (800, SIZE)
    head.save(tmp_path / "head", Meta("made up", LABELS))
    read, _ = load_head(tmp_path / "head")
    np.testing.assert_allclose(read.scores(strangers.plain), head.scores(strangers.plain), atol=1e-5)


def test_a_head_with_a_hidden_layer_is_fine_tuned_in_its_features() -> None:
    data, strangers = crossed(800, 0), crossed(400, 1)
    head = fitted(data, HIDDEN)
    turned = np.zeros((len(data), len(EMOTIONS)), dtype=np.float32)
    turned[:, EMOTIONS.index("neutral")], turned[:, EMOTIONS.index("anger")] = data.targets[:, 0], data.targets[:, 1]
    weights, config = np.ones(len(data), dtype=np.float32), FineTuneConfig(penalty=1e-3)
    tuned = fine_tune_head(head, data.plain, turned, weights, rehearsal=None, config=config)
    said = np.array([LABELS[place] in ("calm", "neutral") for place in tuned.scores(strangers.plain).argmax(axis=1)])
    assert (said == (strangers.targets[:, 0] > 0)).mean() > 0.85
    assert tuned.hidden is head.hidden, "the layer itself stays as it is"


def test_a_hidden_layer_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    head = fitted(crossed(100, 0), replace(HIDDEN, hidden=HiddenConfig(dimensions=SIZE, width=8, epochs=1)))
    assert head.hidden is not None
    odd = replace(head, hidden=replace(head.hidden, weight_steps=head.hidden.weight_steps[1:]))
    odd.save(tmp_path / "head", Meta("made up", LABELS))
    with pytest.raises(ModelUnavailableError, match="hidden layer"):
        load_head(tmp_path / "head")


def test_a_damaged_rehearsal_file_is_refused(tmp_path: Path) -> None:
    assert load_rehearsal(tmp_path) is None
    (tmp_path / REHEARSAL_FILE).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ModelUnavailableError, match="is damaged"):
        load_rehearsal(tmp_path)
