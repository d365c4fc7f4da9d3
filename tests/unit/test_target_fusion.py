import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from annotations.learning.promotion.comparison import compare_rates
from annotations.learning.targets.fusion import FusionTrainer, answered
from annotations.learning.trainer import TrainingJob, trainer_of
from annotations.store import AnnotationStore, NewVote
from ser.checkpoints.folder import Meta, save_checkpoint
from ser.errors import ModelUnavailableError, TrainingCancelledError, TrainingDataError
from ser.fusion.fitting import AnsweredClip, fit_fusion_rule, log_losses
from ser.fusion.rule import TEXT_TEMPERATURE, FusionRule, fuse, load_fusion_rule, save_fusion_rule, temper, text_weight
from ser.labels import EMOTIONS
from ser.language_model.client import Usage
from ser.language_model.opinion import Opinion
from ser.testing import synthetic_speech
from ser.types import EmotionScores, Recognition, Segment, SpeechRegion, Timings, Transcript
from tests.unit.training_jobs import job_of

WORDS = Transcript("so it is then", "en", (Segment(0.1, 0.4, "so it is then", 0.95),), "test")
CANDIDATES = ("anger", "sadness", "fear", "happiness")


def leaning(label: str, share: float) -> EmotionScores:
    rest = (1 - share) / (len(EMOTIONS) - 1)
    return EmotionScores(tuple(share if name == label else rest for name in EMOTIONS))


def clips(count: int, *, sound: float, words: float, seed: int = 0) -> list[AnsweredClip]:
    """Clips whose sound and words are right in the given share of cases, and always sound as sure."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        truth = CANDIDATES[number % len(CANDIDATES)]
        said = [truth if rng.random() < share else str(rng.choice(EMOTIONS)) for share in (sound, words)]
        made.append(AnsweredClip(leaning(said[0], 0.8), leaning(said[1], 0.8), WORDS, {truth: 1.0}))
    return made


def fill(
    store: AnnotationStore, *, sound: float, words: float, shuffled: bool = False, answers: int = 1000, told: str = ""
) -> None:
    """Clips of twelve speakers with a stored answer each, and a vote for what was truly meant.

    A language model of the name `told` knows the truth in nine of ten clips; another was wrong in the first ones.
    """
    rng = np.random.default_rng(1)
    version = store.ensure_base_version("embedded", "a" * 64)
    for number, drawn in enumerate(clips(96, sound=sound, words=words)):
        assert drawn.text is not None
        audio = synthetic_speech(0.3, seed=number)
        clip = store.add_clip(audio, source="test", speaker=f"s{number % 12}", consent=("training",))
        if number < answers:
            answer = Recognition(
                0.3, (SpeechRegion(0, 0.3),), drawn.acoustic, WORDS, drawn.text, drawn.acoustic, 0.0, (), Timings(), {}
            )
            if told:
                known = next(iter(drawn.truth)) if number % 10 else "disgust"
                opinion = Opinion(
                    leaning("surprise" if number < 30 else known, 0.8), told if number >= 30 else "old", Usage()
                )
                answer = dataclasses.replace(answer, opinion=opinion)
            store.add_prediction(clip.id, answer, version.id)
        truth = str(rng.choice(CANDIDATES)) if shuffled else next(iter(drawn.truth))
        store.add_correction(clip.id, NewVote("ann", "correct", label=truth))


@pytest.fixture
def store(tmp_path: Path) -> AnnotationStore:
    return AnnotationStore(tmp_path / "data")


def test_the_shipped_rule_gives_what_the_arithmetic_gives() -> None:
    sound, words = leaning("anger", 0.7), leaning("sadness", 0.6)
    softened = temper(words, TEXT_TEMPERATURE)
    weight = text_weight(WORDS, softened)
    assert FusionRule().join(sound, words, WORDS) == (fuse(sound, softened, weight), weight)
    assert FusionRule().temper_acoustic(sound) is sound


def test_a_temperature_keeps_the_order_and_the_zeros() -> None:
    scores = EmotionScores.from_dict({"anger": 0.7, "fear": 0.3})
    for temperature in (0.4, 2.0, 4.0):
        changed = temper(scores, temperature)
        assert changed.label == "anger" and changed.as_dict()["sadness"] == 0
        assert sum(changed.probabilities) == pytest.approx(1.0)
    assert temper(scores, 3.0).entropy > scores.entropy > temper(scores, 0.5).entropy


def test_words_that_are_right_get_more_weight_and_words_that_are_wrong_less() -> None:
    trusted = fit_fusion_rule(clips(200, sound=0.2, words=0.95), FusionRule())
    distrusted = fit_fusion_rule(clips(200, sound=0.95, words=0.0), FusionRule())
    assert distrusted.max_weight < FusionRule().max_weight < trusted.max_weight
    assert trusted.text_temperature < FusionRule().text_temperature < distrusted.text_temperature
    assert distrusted.acoustic_temperature < 1.0 < trusted.acoustic_temperature


def test_few_clips_move_the_rule_little() -> None:
    few = fit_fusion_rule(clips(20, sound=0.2, words=0.9), FusionRule())
    many = fit_fusion_rule(clips(400, sound=0.2, words=0.9), FusionRule())
    assert 0 < few.max_weight - FusionRule().max_weight < many.max_weight - FusionRule().max_weight


def test_without_words_their_part_of_the_rule_stays() -> None:
    silent = [dataclasses.replace(clip, text=None, transcript=None) for clip in clips(60, sound=0.3, words=0.0)]
    rule = fit_fusion_rule(silent, FusionRule(max_weight=0.3, text_temperature=2.0))
    assert (rule.max_weight, rule.text_temperature) == (0.3, 2.0) and rule.acoustic_temperature > 1.2
    assert log_losses(rule, silent).mean() < log_losses(FusionRule(), silent).mean()


def test_too_little_is_refused_with_the_numbers_needed() -> None:
    with pytest.raises(TrainingDataError, match="to: 12, of different labels: 4; 20 clips of 2 labels are needed"):
        fit_fusion_rule(clips(12, sound=0.5, words=0.5), FusionRule())


def test_a_saved_rule_is_the_same_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    rule = FusionRule(0.25, 1.5, 0.75, "v3")
    save_fusion_rule(rule, tmp_path / "v3", name="v3", data={}, metrics={})
    assert load_fusion_rule(tmp_path / "v3") == rule
    assert load_fusion_rule("embedded") == FusionRule()
    weights = tmp_path / "v3" / "fusion.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ModelUnavailableError, match="damaged or was replaced"):
        load_fusion_rule(tmp_path / "v3")
    with pytest.raises(ModelUnavailableError, match="could not be read"):
        load_fusion_rule(tmp_path / "nothing")


def run(job: TrainingJob) -> tuple[FusionRule, object]:
    trainer = trainer_of("fusion")
    assert isinstance(trainer, FusionTrainer)
    version = trainer.train(job)
    return load_fusion_rule(job.store.data_dir / version.path), trainer.compare(job, version)


def test_answers_of_the_store_make_a_better_rule(store: AnnotationStore, tmp_path: Path) -> None:
    fill(store, sound=0.3, words=0.95)
    rule, decision = run(job_of(store, "fusion", "embedded", tmp_path / "run"))
    assert rule.max_weight > FusionRule().max_weight
    assert decision.promoted and decision.after["uar"] > decision.before["uar"], decision.reason  # type: ignore[attr-defined]


def test_a_language_models_say_is_fitted_on_votes(store: AnnotationStore, tmp_path: Path) -> None:
    fill(store, sound=0.3, words=0.3, told="new")
    job = job_of(store, "fusion", "embedded", tmp_path / "run")
    rule, decision = run(job)
    assert rule.opinion_weight > 0.3 > FusionRule().opinion_weight == 0.0
    assert decision.promoted and decision.after["uar"] > decision.before["uar"] + 0.2, decision.reason  # type: ignore[attr-defined]
    # The model that was asked before is another one, and counts for nothing.
    known = answered(store, job.holdout.training, None)
    assert 0 < known.with_opinions < len(known.clips)
    assert all(clip.opinion is None or clip.opinion.label != "surprise" for clip in known.clips)


def test_rules_that_were_saved_before_there_were_opinions_can_be_loaded(tmp_path: Path) -> None:
    values = {"max_weight": 0.3, "acoustic_temperature": 1.2, "text_temperature": 0.9}

    def write(place: Path) -> None:
        save_file({name: np.array([value]) for name, value in values.items()}, place / "fusion.safetensors")

    save_checkpoint(tmp_path / "v2", write, Meta("v2", EMOTIONS), "fusion.safetensors")
    assert load_fusion_rule(tmp_path / "v2") == FusionRule(0.3, 1.2, 0.9, "v2")


def test_honester_confidence_alone_is_promoted(store: AnnotationStore, tmp_path: Path) -> None:
    fill(store, sound=0.5, words=0.5)
    _, decision = run(job_of(store, "fusion", "embedded", tmp_path / "run"))
    assert decision.promoted, decision.reason  # type: ignore[attr-defined]
    assert decision.after["cross_entropy"] < decision.before["cross_entropy"]  # type: ignore[attr-defined]


def test_votes_that_have_nothing_to_do_with_the_clips_promote_nothing(store: AnnotationStore, tmp_path: Path) -> None:
    fill(store, sound=0.5, words=0.5, shuffled=True)
    _, decision = run(job_of(store, "fusion", "embedded", tmp_path / "run"))
    assert not decision.promoted  # type: ignore[attr-defined]
    assert "no more of these votes than the labels' frequency" in decision.reason  # type: ignore[attr-defined]


def test_clips_without_an_answer_are_counted_and_too_few_answers_are_refused(
    store: AnnotationStore, tmp_path: Path
) -> None:
    fill(store, sound=0.5, words=0.5, answers=5)
    job = job_of(store, "fusion", "embedded", tmp_path / "run")
    with pytest.raises(TrainingDataError, match="Clips with an answer to fit the fusion to: "):
        FusionTrainer().train(job)
    with pytest.raises(TrainingCancelledError):
        FusionTrainer().train(dataclasses.replace(job, should_stop=lambda: True))


def test_an_interval_of_a_few_speakers_is_drawn_by_clips() -> None:
    gains = np.array([0.0, 1.0] * 20)
    found = compare_rates(gains, np.zeros(40), np.ones(40), ["a", "b"] * 20, 0.05)
    assert found.drawn == "clips" and 0.3 < found.low < 0.5 < found.high < 0.7
