"""Heads with labels of a store's own: carried over from the seven, trained, promoted, answering."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotations.labels.files import parse_labels
from annotations.labels.label_set import DEFAULT, LabelSet
from annotations.labels.stored import change_label_set
from annotations.learning.config import RetrainingConfig
from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.runs.status import TrainingStatus
from annotations.learning.targets.base_clips import distilled
from annotations.learning.targets.own_labels import base_clips_for, head_for
from annotations.learning.versions.active import ActiveModel
from annotations.learning.versions.card import card_text
from annotations.learning.versions.diff import diff_versions
from annotations.learning.versions.registry import list_entries
from annotations.raters.votes import effective_corrections
from annotations.store import NewVote, queries
from ser.acoustic.head import load_head
from ser.acoustic.model import require_seven
from ser.checkpoints.folder import Meta
from ser.commands.recognize import describe
from ser.errors import ExportError, ModelUnavailableError, TrainingDataError
from ser.export.models import export_model
from ser.fusion.remarks import remark
from ser.fusion.rule import FusionRule
from ser.labels import EMOTIONS
from ser.training.heads import FineTuneConfig, fine_tune_head
from ser.training.rehearsal import draw_rehearsal
from ser.types import EmotionScores, Transcript
from tests.unit.forked_workers import forking
from tests.unit.labelled_store import PITCH, SPEAKERS, active_on, speech, write_base
from tests.unit.test_heads import LABELS, clips, fitted


def labels_of(**means: list[str] | None) -> LabelSet:
    """Labels by name; None leaves the meaning to the name."""
    rows = [{"name": name} | ({} if meant is None else {"means": meant}) for name, meant in means.items()]
    return parse_labels({"labels": rows})


SERVICE = labels_of(satisfied=["happiness"], annoyed=["anger", "disgust"], confused=[], distress=["fear", "sadness"])
FOUR = labels_of(anger=None, happiness=None, neutral=None, sadness=None)
EXTENDED = labels_of(**dict.fromkeys(EMOTIONS), calm=[], boredom=[])
NOTHING = labels_of(calling=[], resting=[])


# Carrying over


@pytest.mark.parametrize("labels", [SERVICE, FOUR])
def test_a_head_starts_from_what_the_set_means(labels: LabelSet) -> None:
    data = clips("one", LABELS, 80)
    head = replace(fitted(data), temperature=1.7)
    own = head_for(head, labels)
    trained = [name for name in own.classes if name in _trained(labels)]
    rows = own.probabilities(data.plain)[:, [own.classes.index(name) for name in trained]]
    for before, after in zip(head.probabilities(data.plain), rows / rows.sum(axis=1, keepdims=True), strict=True):
        mapped = labels.scores(dict(zip(EMOTIONS, before.tolist(), strict=True)))
        assert after.tolist() == pytest.approx([mapped[name] for name in trained], abs=1e-5)


def _trained(labels: LabelSet) -> set[str]:
    known = {"anger", "neutral", "surprise"}
    return {own.name for own in labels if known & set(own.means)}


def test_outputs_beyond_the_seven_are_taken_by_name() -> None:
    data = clips("one", LABELS, 120)
    own = head_for(fitted(data), EXTENDED)
    calm = data.targets.argmax(axis=1) == LABELS.index("calm")
    said = own.probabilities(data.plain)
    assert (said[calm].argmax(axis=1) == own.classes.index("calm")).mean() > 0.8
    assert not own.weights[:, own.labels.index("boredom")].any()


def test_the_seven_stay_the_head_that_it_was() -> None:
    head = fitted(clips("one", LABELS, 60))
    assert head_for(head, DEFAULT) is head
    kept = draw_rehearsal(clips("one", LABELS, 60), None, seed=0)
    assert base_clips_for(kept, DEFAULT) is kept
    assert base_clips_for(kept, NOTHING) is None


def test_a_head_of_an_earlier_set_is_carried_over_by_mapping() -> None:
    own = head_for(fitted(clips("one", LABELS, 60)), SERVICE)
    renamed = parse_labels({"labels": [{"name": "cross"}, {"name": "satisfied"}], "mapping": {"annoyed": "cross"}})
    again = head_for(own, renamed)
    assert again.classes == ("cross", "satisfied") and again.labels.count("cross") == own.labels.count("annoyed")
    assert head_for(own, SERVICE) is own


@pytest.mark.parametrize("labels", [SERVICE, FOUR, EXTENDED, NOTHING])
def test_own_heads_are_saved_and_fine_tuned(tmp_path: Path, labels: LabelSet) -> None:
    base, new = clips("one", LABELS, 200), clips("two", LABELS, 80)
    head = head_for(fitted(base), labels)
    # Four kinds of clips are four labels of the set, or its two.
    truth = new.targets.argmax(axis=1) % len(labels)
    targets = np.eye(len(labels), dtype=np.float32)[truth]
    kept = base_clips_for(draw_rehearsal(base, None, seed=0), labels)
    weights = np.ones(len(new), dtype=np.float32)
    tuned = fine_tune_head(
        head,
        new.plain,
        targets,
        weights,
        rehearsal=kept and distilled(kept, head),
        config=FineTuneConfig(penalty=1e-3, rehearsal=0.1),
    )
    assert (tuned.probabilities(new.plain).argmax(axis=1) == truth).mean() > 0.85
    tuned.save(tmp_path / "head", Meta("own", tuned.labels))
    read, meta = load_head(tmp_path / "head")
    assert read.means == {own.name: own.means for own in labels} and set(meta.labels) == set(labels.names)
    assert np.allclose(read.probabilities(new.plain), tuned.probabilities(new.plain))


def test_the_base_does_not_teach_that_new_labels_never_occur() -> None:
    base, new = clips("one", LABELS, 200), clips("two", LABELS, 40)
    head = head_for(fitted(base), SERVICE)
    kept = base_clips_for(draw_rehearsal(base, None, seed=0), SERVICE)
    assert kept is not None
    replayed = distilled(kept, head)
    confused = SERVICE.names.index("confused")
    assert not replayed.targets[:, confused].any()
    targets = np.zeros((len(new), len(SERVICE)), dtype=np.float32)
    targets[:, confused] = 1.0
    tuned = fine_tune_head(
        head,
        new.plain,
        targets,
        np.ones(40, np.float32),
        rehearsal=replayed,
        config=FineTuneConfig(),
    )
    assert tuned.probabilities(new.plain).argmax(axis=1).tolist() == [confused] * 40


# Words


def own_scores(means: Mapping[str, tuple[str, ...]]) -> EmotionScores:
    return EmotionScores((0.5, 0.3, 0.2), labels=tuple(means), means=means)


def test_words_count_through_what_labels_mean() -> None:
    voice = own_scores({"low": ("sadness",), "high": ("anger", "fear"), "other": ()})
    words = EmotionScores.from_dict({"anger": 0.9, "neutral": 0.1})
    sure = Transcript("i hate you", "en", (), "a person")
    fused, weight = FusionRule().join(voice, words, sure)
    assert fused.labels == voice.labels and fused.as_dict()["high"] > voice.as_dict()["high"] and 0 < weight < 1
    assert fused.as_dict()["other"] > 0, "words know nothing of it, which is no veto"
    assert remark(voice, words, weight) is None


def test_words_that_no_label_means_leave_the_voice_alone() -> None:
    voice = own_scores({"yes": (), "no": (), "maybe": ()})
    words = EmotionScores.from_dict({"anger": 1.0})
    assert FusionRule().join(voice, words, Transcript("i hate you", "en", (), "a person")) == (voice, 0.0)
    assert remark(voice, words, 0.0) == "No label of this model means what words tell: only the voice was used."


# From an empty folder to a promoted model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "model")


def vote_on_clips(active: ActiveModel, labels: LabelSet, names: Mapping[str, str], count: int = 48) -> None:
    """One vote on each of some clips of six speakers; `names` are labels of the set for the two kinds of speech."""
    for number in range(count):
        kind = sorted(PITCH)[number % 2]
        clip = active.store.add_clip(
            speech(kind, number), source="test", speaker=f"speaker {number % SPEAKERS}", consent=("training",)
        )
        active.store.add_correction(clip.id, NewVote("ann", "correct", names[kind], label_set=labels.names))


def retrained(active: ActiveModel, config: RetrainingConfig | None = None) -> TrainingStatus:
    retrainer = Retrainer(active, config, spawn=forking())
    return retrainer.wait(lambda status: None, 0.1, retrainer.start("ann").id)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        pytest.param(NOTHING, {"sadness": "resting", "happiness": "calling"}, marks=pytest.mark.slow),
        pytest.param(SERVICE, {"sadness": "confused", "happiness": "satisfied"}, marks=pytest.mark.slow),
        pytest.param(FOUR, {"sadness": "sadness", "happiness": "happiness"}, marks=pytest.mark.slow),
        (EXTENDED, {"sadness": "boredom", "happiness": "calm"}),
    ],
    ids=["nothing mapped", "partly mapped", "four classes", "extended"],
)
def test_from_an_empty_folder_to_a_promoted_model(
    base: Path, tmp_path: Path, labels: LabelSet, names: dict[str, str]
) -> None:
    active = active_on(base, tmp_path / "data")
    change_label_set(active.store, labels, by="mia")
    vote_on_clips(active, labels, names)
    end = retrained(active)
    assert end.state == "promoted", end.message
    version = active.refresh()
    head, meta = load_head(active.store.data_dir / version.path)
    assert head.classes == labels.names and set(meta.labels) >= set(names.values())
    answers = {kind: active.recognizer.recognize(speech(kind, 500)) for kind in PITCH}
    assert {kind: answer.label for kind, answer in answers.items()} == names
    assert answers["sadness"].fused.labels == labels.names
    entry = next(entry for entry in list_entries(active.store) if entry.version.id == version.id)
    assert f"- labels: {labels.names[0]} (" in card_text(entry, "embedded", None)
    timeline = active.recognizer.timeline(speech("sadness", 500))
    assert set(timeline.summary) == {names["sadness"]} and timeline.regions[0].scores.labels == labels.names
    with pytest.raises(ModelUnavailableError, match="here the seven emotions are counted"):
        require_seven(active.recognizer.acoustic)
    assert names["sadness"].upper() in describe(answers["sadness"], "a.wav")
    with pytest.raises(ExportError, match="has labels of its own"):
        export_model(active.store.data_dir / version.path, tmp_path / "exported")
    clip = active.store.get_clip(1)
    stored = active.store.add_prediction(clip.id, answers["sadness"], version.id)
    assert labels.prediction(stored).label == names["sadness"]
    assert None not in labels.scores(stored.scores["fused"] or {}).values(), "all labels are trained now"
    diff = diff_versions(active, active.base_version, version)
    assert diff.after["uar"] > 0.9  # type: ignore[operator]

    change_label_set(active.store, DEFAULT, by="mia")
    given = {vote.label for vote in effective_corrections(active.store)}
    assert given == (set(names.values()) & set(EMOTIONS) or {None})
    active.use(active.base_version.id, by="mia", reason="the seven again")
    assert active.recognizer.recognize(speech("sadness", 500)).fused.labels == EMOTIONS
    assert queries.list_versions(active.store)


def test_only_the_head_is_trained_on_own_labels(base: Path, tmp_path: Path) -> None:
    active = active_on(base, tmp_path / "data")
    change_label_set(active.store, NOTHING, by="mia")
    vote_on_clips(active, NOTHING, {"sadness": "resting", "happiness": "calling"}, 30)
    with pytest.raises(TrainingDataError, match="only the classifier head of the acoustic model is trained"):
        Retrainer(active).start("ann", target="fusion")


def test_shuffled_votes_on_own_labels_are_refused(base: Path, tmp_path: Path) -> None:
    active = active_on(base, tmp_path / "data")
    change_label_set(active.store, NOTHING, by="mia")
    draw = np.random.default_rng(3)
    for number in range(48):
        audio = speech(sorted(PITCH)[number % 2], number)
        clip = active.store.add_clip(audio, source="test", speaker=f"s {number % SPEAKERS}", consent=("training",))
        voted = str(draw.choice(NOTHING.names))
        active.store.add_correction(clip.id, NewVote("ann", "correct", voted, label_set=NOTHING.names))
    assert retrained(active).state == "refused"
