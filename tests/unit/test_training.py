from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.acoustic.classifier import load_acoustic_model, load_network
from ser.audio import decode_file
from ser.calibration import fit_temperature
from ser.config import TrainConfig
from ser.errors import ModelUnavailableError, SettingsError, TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from ser.training import TrainProgress, train
from ser.training.dataset import BatchDrawer
from ser.training.loop import freeze, predict_logits, soft_cross_entropy
from ser.training.preparation import Preparation, prepare
from ser.training.weight_average import WeightAverage
from ser.types import Example
from tests.unit.voices import four_voices


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    return four_voices(tmp_path_factory.mktemp("clips"))


def of(examples: Sequence[Example], *speakers: str) -> list[Example]:
    return [example for example in examples if example.speaker in speakers]


@pytest.fixture(scope="module")
def base(clips: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    config = TrainConfig.tiny(epochs=40, learning_rate=5e-3, mixup=0.0)
    train(of(clips, "s0", "s1"), config, dev=of(clips, "s2")).save(folder)
    return folder


def test_it_learns_and_hears_a_speaker_it_never_met(clips: list[Example], base: Path) -> None:
    model = load_acoustic_model(base)
    answers = [model.classify(decode_file(e.path)).label for e in of(clips, "s3")]
    right = [answer == e.label for answer, e in zip(answers, of(clips, "s3"), strict=True)]
    assert np.mean(right) > 0.8


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(clips: list[Example]) -> None:
    def weights(seed: int) -> torch.Tensor:
        network = train(of(clips, "s0", "s1"), TrainConfig.tiny(seed=seed, threads=1, epochs=2)).network
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_fine_tuning_learns_new_clips_and_leaves_frozen_parts_alone(clips: list[Example], base: Path) -> None:
    # What was neutral is happiness to this speaker: the base cannot know.
    relabelled = [Example(e.path, "happiness" if e.label == "neutral" else e.label, e.speaker) for e in of(clips, "s3")]
    config = TrainConfig.tiny(epochs=40, learning_rate=5e-3, frozen_blocks=1, freeze_norms=True, mixup=0.0)
    tuned = train(relabelled, config, init=base)
    data = prepare(relabelled, Preparation())
    untuned = load_network(base)
    before = soft_cross_entropy(predict_logits(untuned, data), data.targets)
    after = soft_cross_entropy(predict_logits(tuned.network, data), data.targets)
    assert after < 0.7 * before
    ours, theirs = tuned.network.members[0], untuned.members[0]
    assert torch.equal(ours.mel_front.convolutions[0].weight, theirs.mel_front.convolutions[0].weight)
    assert torch.equal(ours.mel_front.norms[0].running_mean, theirs.mel_front.norms[0].running_mean)
    assert not torch.equal(ours.classifier.weight, theirs.classifier.weight)


def test_an_anchor_keeps_the_weights_closer(clips: list[Example], base: Path) -> None:
    start = load_network(base).members[0].classifier.weight

    def distance(anchor: float) -> float:
        config = TrainConfig.tiny(epochs=4, learning_rate=5e-3, anchor=anchor)
        return float(
            (train(of(clips, "s3"), config, init=base).network.members[0].classifier.weight - start).detach().norm()
        )

    assert distance(30.0) < 0.8 * distance(0.0)


def test_saved_and_loaded_it_answers_the_same(clips: list[Example], tmp_path: Path) -> None:
    trained = train(of(clips, "s0"), TrainConfig.tiny(epochs=1), dev=of(clips, "s1"))
    meta = trained.save(tmp_path / "v2", name="v2", metrics={"note": 1}, data={"run": 7})
    loaded = load_acoustic_model(tmp_path / "v2")
    audio = synthetic_speech(0.8)
    assert loaded.classify(audio) == trained.as_acoustic_model().classify(audio)
    assert loaded.name == meta.name == "v2" and loaded.sha256 == meta.sha256
    assert meta.data["run"] == 7 and meta.metrics["note"] == 1
    assert meta.data["speakers"] == ["s0"] and meta.data["dev_speakers"] == ["s1"]
    assert meta.config["epochs"] == 1
    with pytest.raises(ModelUnavailableError, match="exists already"):
        trained.save(tmp_path / "v2")


def test_progress_counts_up_and_ends_at_the_end(clips: list[Example]) -> None:
    seen: list[TrainProgress] = []
    train(of(clips, "s0", "s1"), TrainConfig.tiny(epochs=2), dev=of(clips, "s2"), on_progress=seen.append)
    training = [p for p in seen if p.stage == "training"]
    assert [p.stage for p in seen][0] == "preparing"
    assert training[-1].step == training[-1].steps and training[-1].fraction == pytest.approx(1.0)
    assert [p.epoch for p in training if p.epoch_done] == [1, 2]
    assert all(p.uar is not None and 0.0 <= p.uar <= 1.0 for p in training if p.epoch_done)
    fractions = [p.fraction for p in training]
    assert fractions == sorted(fractions)
    assert training[-1].eta == pytest.approx(0.0)


@pytest.mark.parametrize("calls", [0, 3, 30])
def test_it_stops_when_asked(clips: list[Example], calls: int) -> None:
    asked = iter(range(10_000))
    with pytest.raises(TrainingCancelledError, match="Training was stopped"):
        train(of(clips, "s0", "s1"), TrainConfig.tiny(epochs=50), should_stop=lambda: next(asked) >= calls)


def test_patience_ends_a_run_that_gains_nothing(clips: list[Example]) -> None:
    config = TrainConfig.tiny(epochs=40, learning_rate=1e-9, patience=2, ema_decay=0.0)
    trained = train(of(clips, "s0"), config, dev=of(clips, "s1"))
    assert len(trained.curve) < 40


def test_soft_labels_and_weights_count(clips: list[Example]) -> None:
    """Every clip is claimed twice, with opposite labels: the weight decides who is believed."""
    one = of(clips, "s0")
    both = [Example(e.path, "fear", e.speaker, weight=10.0) for e in one]
    both += [Example(e.path, {"anger": 0.5, "disgust": 0.5}, e.speaker, weight=0.1) for e in one]
    trained = train(both, TrainConfig.tiny(epochs=12, learning_rate=1e-2, class_weight_power=0.0, mixup=0.0))
    answers = predict_logits(trained.network, prepare(one, Preparation())).argmax(1)
    assert set(answers.tolist()) == {EMOTIONS.index("fear")}


def test_too_few_labels_are_refused(clips: list[Example]) -> None:
    with pytest.raises(TrainingDataError, match=r"0 examples with 0 label\(s\) \(none\)"):
        train([])
    same = [e for e in clips if e.label == "anger"]
    with pytest.raises(TrainingDataError, match=r"8 examples with 1 label\(s\) \(only anger\)"):
        train(same)


def test_unreadable_recordings_are_named(clips: list[Example], tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no sound at all")
    broken = [*of(clips, "s0"), Example(tmp_path / "bad.wav", "fear", "s9")]
    with pytest.raises(TrainingDataError, match=r"1 of 7 recordings cannot be used. First: .*bad.wav"):
        train(broken, TrainConfig.tiny())


def test_features_are_cached_by_content(clips: list[Example], tmp_path: Path) -> None:
    how = Preparation(variants=2, seed=3, cache_dir=tmp_path)
    first = prepare(of(clips, "s0"), how)
    files = sorted(tmp_path.rglob("*.npz"))
    times = [f.stat().st_mtime_ns for f in files]
    again = prepare(list(reversed(of(clips, "s0"))), how)
    assert len(files) == len(of(clips, "s0")) and [f.stat().st_mtime_ns for f in files] == times
    for ours, theirs in zip(first.variants, reversed(again.variants), strict=True):
        assert len(ours) == 3
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_worker_processes_make_what_one_process_makes(clips: list[Example], tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no sound at all")
    some = [*of(clips, "s0"), Example(tmp_path / "bad.wav", "fear", "s9")]
    how = Preparation(variants=2, seed=3, noises=[synthetic_speech(0.5).signal], tolerated=0.5, workers=2)
    together, alone = prepare(some, how), prepare(some, replace(how, workers=1))
    assert together.skipped == alone.skipped and len(together.skipped) == 1
    for ours, theirs in zip(together.variants, alone.variants, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_is_known_of_a_clip_reaches_its_batch(clips: list[Example]) -> None:
    some = [replace(e, intensity=1.0 if e.label == "anger" else None) for e in of(clips, "s0", "s1")]
    data = prepare(some, Preparation(labels=("anger", "neutral", "sadness", "calm")))
    assert data.targets.shape == (12, 4) and data.intensities is not None
    (batch,) = BatchDrawer(data, TrainConfig.tiny(batch_size=12, mixup=0.0)).epoch()
    anger = batch.targets.argmax(1) == 0
    assert torch.equal(batch.intensities[anger], torch.ones(4)) and batch.intensities[~anger].isnan().all()
    assert sorted(batch.speakers.tolist()) == [0] * 6 + [1] * 6


def test_the_average_of_weights_moves_towards_the_network() -> None:
    network = torch.nn.BatchNorm1d(1)
    average = WeightAverage(network, 0.9)
    torch.nn.init.constant_(network.weight, 2.0)
    network.num_batches_tracked += 5
    average.update(0.9)
    assert average.network.weight.item() == pytest.approx(1.1)
    assert average.network.num_batches_tracked.item() == 5
    assert network.weight.item() == 2.0


def test_freezing_all_blocks_leaves_the_head(base: Path) -> None:
    network = load_network(base)
    freeze(network, len(network.members[0].blocks) + 1)
    trained = {name.split(".")[2] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {"pooling", "pool_norm", "embedding", "classifier", "intensity"}


def test_a_temperature_makes_over_confident_answers_honest() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 7, 4000)
    logits = generator.standard_normal((4000, 7)).astype(np.float32)
    logits[np.arange(4000), truth] += 1.0
    targets = np.eye(7, dtype=np.float32)[truth]
    # With these logits the posterior is softmax(logits): three times as sharp needs a temperature of three.
    assert fit_temperature(3.0 * logits, targets) == pytest.approx(3.0, rel=0.1)
    assert fit_temperature(logits, targets) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be above 0"),
        ({"label_smoothing": 2.0}, "must lie in 0..1"),
        ({"codec_probability": -0.1}, "codec_probability is -0.1; it must lie in 0..1"),
        ({"snr": (30.0, 0.0)}, "snr is from 30.0 to 0.0; the lower end must come first"),
        ({"speed": (0.0, 1.0)}, "speed begins at 0.0; it must be above 0"),
        ({"warp": -1.0}, "warp is -1.0; it must not be negative"),
        ({"crossed": 1}, "crossed is 1; it must be 0, or 2 or more parts"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TrainConfig(**changes)
