"""Prototypes: made, saved, refused, and what they keep a network from forgetting."""

import copy
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from annotations.learning.all_layers import as_far_as_allowed
from annotations.learning.config import RetrainingConfig
from annotations.learning.presets import preset_of
from ser.acoustic.features import FEATURE_SIZE
from ser.acoustic.network import AcousticConfig, AcousticModelForAudioClassification, answer_with
from ser.config import TrainConfig
from ser.errors import ModelUnavailableError, TrainingCancelledError
from ser.labels import EMOTIONS
from ser.training.crossed_head import LEAST_CLIPS, best_of, try_crosswise
from ser.training.dataset import FeatureSet
from ser.training.head import HeadConfig, hear, tune_head
from ser.training.loop import predict_logits, uar_by_corpus
from ser.training.members import fit_members, heard_as, rounded
from ser.training.memory import (
    MIXED,
    PROTOTYPES_FILE,
    answer_pooled,
    load_prototypes,
    make_prototypes,
    pooled_statistics,
    uar_on_prototypes,
)
from ser.training.memory_sides import draw_sides
from ser.types import Example

TINY = {
    "mel_channels": (4, 4),
    "pitch_channels": (4, 4),
    "width": 16,
    "dilations": (1, 2),
    "attention_size": 8,
    "embedding_size": 16,
}


def network_of(labels=EMOTIONS, members=1):
    torch.manual_seed(0)
    names = {"num_labels": len(labels), "id2label": dict(enumerate(labels))}
    made = AcousticModelForAudioClassification(AcousticConfig(members=[{}] * members, **names, **TINY)).eval()
    return rounded(made)


def data_of(corpus, shift, seed, clips=8, labels=(0, 2)):
    """Clips whose label shows in the level of some bands, in a manner of the corpus's own."""
    draw = np.random.default_rng(seed)
    variants, truths = [], []
    for label in labels:
        for _ in range(clips):
            clip = draw.normal(size=(int(draw.integers(40, 80)), FEATURE_SIZE)).astype(np.float32)
            clip[:, 10 * label + shift : 10 * label + shift + 12] += 3.0
            variants.append([clip.astype(np.float16)])
            truths.append(label)
    targets = np.eye(len(EMOTIONS), dtype=np.float32)[truths]
    return FeatureSet(variants, targets, np.ones(len(truths), np.float32), ["s"] * len(truths), [corpus] * len(truths))


@pytest.mark.parametrize("members", [1, 2])
def test_judging_what_was_heard_is_the_networks_own_answer(members):
    network = network_of(members=members)
    clips = [variants[0] for variants in data_of("a", 0, 0).variants[:3]]
    heard = torch.from_numpy(pooled_statistics(network, clips))
    with torch.inference_mode():
        own = torch.cat([network(torch.from_numpy(clip.astype(np.float32))[None]).logits for clip in clips])
        assert torch.allclose(answer_pooled(network, heard), torch.log_softmax(own, 1), atol=1e-4)


def test_finer_labels_are_merged_as_in_the_networks_own_answer():
    labels = (*EMOTIONS, "calm")
    network = answer_with(network_of(labels), EMOTIONS, heard_as(labels)).eval()
    clip = data_of("a", 0, 0).variants[0][0]
    with torch.inference_mode():
        own = network(torch.from_numpy(clip.astype(np.float32))[None]).logits
        answer = answer_pooled(network, torch.from_numpy(pooled_statistics(network, [clip])))
    assert torch.allclose(answer, torch.log_softmax(own, 1), atol=1e-4)


def test_prototypes_come_back_nearly_as_they_were_and_are_small(tmp_path):
    network = network_of()
    made = make_prototypes(network, data_of("a", 0, 0), data_of("a", 0, 1), per_cell=4)
    path = made.save(tmp_path)
    back = load_prototypes(tmp_path, network)
    assert back is not None
    assert path.stat().st_size < 5000
    assert back.labels.tolist() == made.labels.tolist() and back.corpora == made.corpora
    assert back.judging.sum() == 8 and len(back.judges) == 8 and len(back.lessons) == 8
    spread = made.values.std(0) + 1e-3
    assert np.abs((back.values - made.values) / spread).max() < 0.5


def test_a_prototype_is_nobodys_clip():
    network = network_of()
    data = data_of("a", 0, 0, clips=MIXED)
    made = make_prototypes(network, data, per_cell=6)
    heard = pooled_statistics(network, [variants[0] for variants in data.variants])
    nearest = np.linalg.norm(made.values[:, None] - heard[None], axis=2).min(1)
    apart = np.linalg.norm(heard[:MIXED, None] - heard[None, :MIXED], axis=2)
    assert nearest.min() > 0.2 * apart[apart > 0].min()


def test_labels_with_few_clips_have_no_prototypes():
    with pytest.raises(ModelUnavailableError, match="No label has 5 clips of one corpus"):
        make_prototypes(network_of(), data_of("a", 0, 0, clips=MIXED - 1))


def test_prototypes_of_another_network_are_not_taken(tmp_path):
    network = network_of()
    make_prototypes(network, data_of("a", 0, 0)).save(tmp_path)
    with torch.no_grad():
        network.networks()[0].join.weight.add_(0.1)
    assert load_prototypes(tmp_path, network) is None


def test_no_clip_is_both_learnt_again_and_judged_by():
    examples = [Example(Path(f"{n}.wav"), "fear", f"s{n % 4}", "a") for n in range(80)]
    lessons, judging = draw_sides(examples, {"s0"}, 8)
    paths = [{example.path for example in side} for side in (lessons, judging)]
    assert not paths[0] & paths[1]
    assert len(judging) == 8 and {example.speaker for example in judging} == {"s0"}
    assert Counter(example.corpus for example in lessons) == {"a": 8, "a unheard": 8}
    assert all((example.corpus == "a unheard") == (example.speaker == "s0") for example in lessons)


def test_no_voice_is_both_learnt_again_and_judged_by_where_a_corpus_has_several():
    examples = [Example(Path(f"a{n}.wav"), ("fear", "anger")[n % 2], f"s{n % 5}", "a") for n in range(100)]
    examples += [Example(Path(f"b{n}.wav"), "fear", "alone" if n % 2 else "t1", "b") for n in range(40)]
    lessons, judging = draw_sides(examples, {"s0", "s1", "s2", "alone"}, 8)
    speakers = [{example.speaker for example in side if example.corpus.startswith("a")} for side in (lessons, judging)]
    assert speakers[0] == {"s1", "s3", "s4"} and speakers[1] == {"s0", "s2"}
    assert Counter(e.corpus for e in judging) == {"a": 16, "b": 8}
    assert Counter(e.corpus for e in lessons) == {"a": 16, "a unheard": 16, "b": 8, "b unheard": 8}
    assert {e.speaker for e in judging if e.corpus == "b"} == {"alone"}
    paths = [{example.path for example in side} for side in (lessons, judging)]
    assert not paths[0] & paths[1]


def test_the_speaker_with_most_clips_judges():
    examples = [Example(Path(f"{n}.wav"), "fear", "few" if n < 10 else "many", "a") for n in range(40)]
    lessons, judging = draw_sides(examples, {"few", "many"}, 50)
    assert {e.speaker for e in judging} == {"many"} and {e.speaker for e in lessons} == {"few"}


def test_a_damaged_file_is_told(tmp_path):
    (tmp_path / PROTOTYPES_FILE).write_bytes(b"nothing of the kind")
    with pytest.raises(ModelUnavailableError, match="is damaged"):
        load_prototypes(tmp_path, network_of())


def taught(network, data, prototypes, **changes):
    config = HeadConfig(**{"epochs": 6, "steps": 25, "learning_rate": 0.01, **changes})
    return tune_head(network, hear(network, data.variants), data.targets, data.weights, config, prototypes=prototypes)


def test_what_is_learnt_again_is_not_forgotten():
    network = network_of()
    base, new = data_of("base", 0, 0, clips=12), data_of("new", 40, 1, clips=12, labels=(1, 3))
    knowing = taught(network, base, None).network
    prototypes = make_prototypes(knowing, base, data_of("base", 0, 2, clips=12))
    before = uar_on_prototypes(knowing, prototypes.judges)
    assert before > 0.9
    bare = taught(knowing, new, None).network
    guarded = taught(knowing, new, prototypes)
    assert uar_on_prototypes(bare, prototypes.judges) < before - 0.1
    assert guarded.prototypes_after >= before - 0.005
    assert 0.0 < guarded.kept_share <= 1.0


def test_the_same_seed_gives_the_same_weights_and_hearing_stays():
    network, data = network_of(), data_of("a", 0, 0)
    one, two = (taught(network, data, None, epochs=1).network.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    old = network.state_dict()
    changed = {name for name in one if not torch.equal(one[name], old[name])}
    assert changed and all(any(part in name for part in ("pool_norm", "embedding", "classifier")) for name in changed)


def test_it_can_be_stopped():
    network, data = network_of(), data_of("a", 0, 0)
    heard = hear(network, data.variants)
    with pytest.raises(TrainingCancelledError, match="epoch 1 of 10"):
        tune_head(network, heard, data.targets, data.weights, HeadConfig(), should_stop=lambda: True)


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_weights(tmp_path):
    network, data = network_of(), data_of("a", 0, 0)
    heard, config = hear(network, data.variants), HeadConfig(epochs=4, steps=5)
    told = []

    def tune(stop_at=None, folder=tmp_path):
        told.clear()
        return tune_head(
            network,
            heard,
            data.targets,
            data.weights,
            config,
            checkpoint_dir=folder,
            on_progress=told.append,
            should_stop=lambda: stop_at is not None and len(told) == stop_at,
        )

    undisturbed = tune(folder=None)
    with pytest.raises(TrainingCancelledError, match="epoch 3 of 4"):
        tune(stop_at=12)
    resumed = tune()
    assert told[0].epoch == 3
    assert resumed.curve == undisturbed.curve
    ours, theirs = resumed.network.state_dict(), undisturbed.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_thorough_goes_deeper_where_the_base_is_at_hand():
    alone = preset_of(RetrainingConfig(preset="thorough"), {})
    assert alone.deep is None and alone.base == ()
    deep = preset_of(RetrainingConfig(preset="thorough"), {"SER_BASE_DATA": "a:b"})
    assert deep.deep is not None and [str(folder) for folder in deep.base] == ["a", "b"]
    assert deep.tried(50) == alone.tried(50) and len(alone.tried(50)) > 1


CROSSED = HeadConfig(epochs=3, steps=20, learning_rate=0.01)


def taught_of_four_speakers():
    network, data = network_of(), data_of("new", 40, 1, clips=12, labels=(0, 1, 3, 4))
    groups = [f"s{n % 4}" for n in range(len(data))]
    return network, hear(network, data.variants), data.targets, np.ones(len(data), np.float32), groups


def test_all_layers_go_as_far_as_every_corpus_allows():
    network, base = network_of(members=2), data_of("base", 0, 0, clips=20)
    in_use = fit_network(copy.deepcopy(network), base)
    watching = data_of("base", 0, 1, clips=20).beside(data_of("other", 0, 2, clips=20))
    assert as_far_as_allowed(in_use, in_use, fit_network(copy.deepcopy(in_use), base), watching)[1] == 1.0
    # One that has learnt the labels the wrong way round is gone back from, by as much as it takes and no further.
    turned = replace(base, targets=base.targets[:, [2, 1, 0, *range(3, len(EMOTIONS))]])
    lost = fit_network(copy.deepcopy(in_use), turned)
    network, share = as_far_as_allowed(in_use, in_use, lost, watching)
    assert share < 1.0
    before, after = (uar_by_corpus(predict_logits(each, watching), watching) for each in (in_use, network))
    assert all(after[corpus] >= before[corpus] - 0.05 for corpus in before)
    # A corpus that loses is not made good by another one that gains.
    apart = data_of("base", 0, 1, clips=20).beside(replace(turned, corpora=["other"] * len(turned)))
    assert as_far_as_allowed(in_use, in_use, lost, apart)[1] < 1.0


def fit_network(network, data):
    config = TrainConfig.tiny(epochs=8, learning_rate=0.01, mixup=0.0, augment=False, freeze_norms=True)
    return fit_members(network, data, config).network


def test_confidence_is_found_on_voices_that_were_not_learnt():
    network, heard, targets, weights, groups = taught_of_four_speakers()
    drawn = np.random.default_rng(0).permutation(targets)
    (knowing,) = try_crosswise(network, heard, targets, weights, groups, [CROSSED])
    (guessing,) = try_crosswise(network, heard, drawn, weights, groups, [CROSSED])
    assert 0.4 <= knowing.temperature < guessing.temperature
    assert guessing.log_probability < knowing.log_probability < 0
    assert try_crosswise(network, heard, targets, weights, ["one"] * len(heard), [CROSSED]) == []
    few = slice(0, LEAST_CLIPS - 1)
    assert try_crosswise(network, heard[few], targets[few], weights[few], groups[few], [CROSSED]) == []


def test_longer_is_tried_for_as_long_as_it_gets_better(tmp_path):
    network, heard, targets, weights, groups = taught_of_four_speakers()
    lengths = [replace(CROSSED, steps=steps) for steps in (1, 10, 20)]
    told = []
    trials = try_crosswise(
        network, heard, targets, weights, groups, lengths, checkpoint_dir=tmp_path, on_progress=told.append
    )
    assert [trial.config for trial in trials] == lengths[: len(trials)]
    worths = [trial.log_probability for trial in trials]
    # All but the last were better than those before them; the last was tried because of that.
    assert worths[:-1] == sorted(worths[:-1]) and len(trials) >= 2
    assert best_of(trials).log_probability == max(worths) > worths[0]
    assert {progress.stage for progress in told} == {"choosing"}
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions) and fractions[-1] <= 0.7
    # Of labels that say nothing, no more is to be learnt than how common each is.
    drawn, longer = np.random.default_rng(1).permutation(targets), [replace(CROSSED, steps=n) for n in (10, 40, 160)]
    assert len(try_crosswise(network, heard, drawn, weights, groups, longer)) < len(longer)
    # What was tried is not done again after a kill.
    again = []
    resumed = try_crosswise(
        network, heard, targets, weights, groups, lengths, checkpoint_dir=tmp_path, on_progress=again.append
    )
    assert resumed == trials and again == []
