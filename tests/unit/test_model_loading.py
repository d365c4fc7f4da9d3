"""Every part of the recogniser follows its own version in use."""

from pathlib import Path

import pytest

from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.versions.active import ActiveModel
from annotations.learning.versions.loading import VotedTexts, follow_parts
from annotations.raters.votes import mark_gold
from annotations.store import AnnotationStore, NewVote
from annotations.store.new_records import NewVersion
from ser.config import Settings
from ser.fusion.rule import FusionRule, save_fusion_rule
from ser.language_model.opinion import AnsweredText
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, EnergyDetector, FixedTranscriber, WordListModel, synthetic_speech
from tests.unit.speech_checkpoints import write_wav2vec2
from tests.unit.stored import begin_run


@pytest.fixture
def active(tmp_path: Path) -> ActiveModel:
    recognizer = Recognizer(EnergyDetector(), BandEnergyModel(), WordListModel(), FixedTranscriber())
    made = ActiveModel(AnnotationStore(tmp_path / "data"), recognizer, lambda location: BandEnergyModel())
    follow_parts(made, recognizer, Settings(), "cpu")
    return made


def promote(active: ActiveModel, target: str, folder: str, sha256: str) -> None:
    store = active.store
    run = begin_run(store, store.active_version(target).id, "ann", target=target)
    store.finish_training_run(run.id, "promoted", {}, "better", NewVersion(folder, sha256, f"models/{folder}"))


def test_a_promoted_rule_of_fusion_answers_next_and_the_way_back_is_the_shipped_one(active: ActiveModel) -> None:
    rule = FusionRule(0.2, 1.5, 1.0, name="v2")
    sha256 = save_fusion_rule(rule, active.store.data_dir / "models" / "v2", name="v2", data={}, metrics={})
    assert active.recognizer.fusion == FusionRule()
    promote(active, "fusion", "v2", sha256)
    assert active.serving().recognizer.fusion == rule
    active.roll_back(by="ann", target="fusion")
    assert active.serving().recognizer.fusion == FusionRule()


def test_a_promoted_recogniser_writes_the_next_transcript(active: ActiveModel) -> None:
    first = active.recognizer.transcriber
    write_wav2vec2(active.store.data_dir / "models" / "v2")
    promote(active, "transcriber", "v2", "b" * 64)
    transcriber = active.serving().recognizer.transcriber
    assert transcriber is not None and transcriber.name == "v2"
    active.roll_back(by="ann", target="transcriber")
    assert active.serving().recognizer.transcriber is first


def test_the_versions_are_those_that_training_starts_from(active: ActiveModel) -> None:
    before = {target: active.store.active_version(target).id for target in ("text", "fusion", "transcriber")}
    retrainer = Retrainer(active)
    for target, version in before.items():
        assert retrainer._base(target)[0].id == version


def test_a_version_is_called_by_what_answers_not_by_what_the_settings_hope_for(active: ActiveModel) -> None:
    assert Settings().transcriber_model == "embedded"
    assert active.store.active_version("transcriber").name == f"transcriber {FixedTranscriber().name}"


def test_a_part_that_is_left_out_has_no_versions(tmp_path: Path) -> None:
    recognizer = Recognizer(EnergyDetector(), BandEnergyModel(), None, None)
    made = ActiveModel(AnnotationStore(tmp_path / "data"), recognizer, lambda location: BandEnergyModel())
    follow_parts(made, recognizer, Settings(transcriber="none", text_model="none"), "cpu")
    assert set(made.targets) == {"acoustic", "fusion"}


def test_examples_for_a_language_model_are_texts_that_people_agree_on(active: ActiveModel) -> None:
    store = active.store
    shown = VotedTexts(store)
    assert shown.examples() == ()

    def voted(number: int, votes: dict[str, str], text: str | None, consent: tuple[str, ...] = ("training",)) -> int:
        clip = store.add_clip(synthetic_speech(0.3, seed=number), source="test", consent=consent)
        for rater, label in votes.items():
            store.add_correction(clip.id, NewVote(rater, "correct", label=label, transcript=text))
        return clip.id

    voted(1, {"ann": "fear"}, "Who is there?")
    voted(2, {"ann": "anger", "bob": "fear"}, "They disagree.")
    voted(3, {"ann": "sadness"}, "It may not train.", consent=("research",))
    gold = voted(4, {"ann": "happiness"}, "It measures raters.")
    mark_gold(store, gold, "happiness", by="ann")
    spoken = voted(5, {"ann": "anger", "bob": "anger"}, None)
    store.add_prediction(spoken, active.recognizer.recognize(synthetic_speech(0.3, seed=5)), active.version.id)
    assert shown.examples() == (
        AnsweredText("kids are talking by the door", "anger"),
        AnsweredText("Who is there?", "fear"),
    )
    voted(6, {"ann": "fear"}, "Did you hear that?")
    assert shown.examples()[1] == AnsweredText("Did you hear that?", "fear"), "newer, and as many votes"
