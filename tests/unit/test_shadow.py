"""Versions that answer on the side, off the path of the request, until they take over."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from annotations.cli import main
from annotations.errors import StoreError
from annotations.learning.active_model import ActiveModel
from annotations.learning.shadow import ShadowAnswers
from annotations.learning.shadow_records import end_shadow, open_shadows, shadow_report, start_shadow
from annotations.learning.version_upkeep import look_after_versions
from annotations.records import ModelVersion
from annotations.settings import AnnotationSettings, change_settings, read_settings
from annotations.store import AnnotationStore
from annotations.training_records import NewVersion
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, EnergyDetector, synthetic_speech
from ser.types import Audio, EmotionScores


def load(location: str) -> BandEnergyModel:
    return BandEnergyModel(int(Path(location).name.removeprefix("v")))


@pytest.fixture
def active(tmp_path: Path) -> ActiveModel:
    recognizer = Recognizer(EnergyDetector(), BandEnergyModel(0), None, None)
    return ActiveModel(AnnotationStore(tmp_path), recognizer, load, base="v0")


def add(active: ActiveModel, name: str = "v1") -> ModelVersion:
    (active.store.data_dir / "models" / name).mkdir(parents=True)
    return active.store.add_model_version(name, name * 32, f"models/{name}", None, {})


def answer(active: ActiveModel, seed: int, *, stored: bool = True) -> tuple[Audio, str]:
    audio = synthetic_speech(0.6, pitch=100.0 + 10 * seed, seed=seed)
    serving = active.serving()
    said = serving.recognizer.recognize(audio)
    if stored:
        active.store.add_clip(audio, source="page", consent=("research",))
    active.answered(audio, said, serving.version)
    return audio, said.acoustic.label


def test_nothing_happens_without_a_shadow(active: ActiveModel) -> None:
    side = ShadowAnswers(active)
    answer(active, 0)
    side.wait()
    assert side._thread is None
    with active.store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM shadow_answers").fetchone()[0] == 0


def test_both_answers_and_later_votes_are_compared(active: ActiveModel) -> None:
    store, version = active.store, add(active)
    start_shadow(store, version, by="ann")
    side = ShadowAnswers(active)
    own = {}
    for seed in range(12):
        audio, main_label = answer(active, seed)
        own[seed] = (main_label, load("v1").classify(audio).label)
        side.wait()
    differing = [seed for seed, (a, b) in own.items() if a != b]
    assert differing, "the two stand-ins must differ somewhere"
    for seed in differing:
        clip = seed + 1
        store.add_correction(clip, rater="ann", verdict="correct", label=own[seed][1])
    report = shadow_report(store, version)
    assert report is not None
    assert report.answers == 12 and report.agreement == pytest.approx(1 - len(differing) / 12)
    assert sum(report.differing.values()) == len(differing)
    assert (report.votes, report.right, report.right_in_use) == (len(differing), 1.0, 0.0)
    assert active.serving().version.name == "v0", "a shadow is not in use"
    end_shadow(store, version)
    assert open_shadows(store) == []
    side.stop()


def test_an_unstored_recording_leaves_two_labels_and_is_found_when_it_is_stored(active: ActiveModel) -> None:
    start_shadow(active.store, add(active), by="ann")
    side = ShadowAnswers(active)
    audio, _ = answer(active, 3, stored=False)
    side.wait()

    def clip_ids() -> list[int | None]:
        with active.store.reading() as connection:
            return [row["clip_id"] for row in connection.execute("SELECT clip_id FROM shadow_answers")]

    assert clip_ids() == [None]
    clip = active.store.add_clip(audio, source="page", consent=("research",))
    side.link_stored()
    assert clip_ids() == [clip.id]
    side.stop()


def test_the_request_never_waits_and_too_many_are_left_out(active: ActiveModel) -> None:
    holding = threading.Event()

    class Stuck(BandEnergyModel):
        def classify(self, audio: Audio) -> EmotionScores:
            assert holding.wait(30)
            return super().classify(audio)

    part = active._parts["acoustic"]
    active._parts["acoustic"] = replace(part, load=lambda location: Stuck(1))
    start_shadow(active.store, add(active), by="ann")
    side = ShadowAnswers(active, capacity=2)
    for seed in range(6):
        answer(active, seed, stored=False)
    assert side.left_out >= 3
    holding.set()
    side.wait()
    report = shadow_report(active.store, active.store.get_model_version(2))
    assert report is not None and report.answers == 6 - side.left_out
    side.stop()


def test_a_promotion_waits_for_the_shadow_and_votes_can_stop_it(active: ActiveModel) -> None:
    store = active.store
    change_settings(store, AnnotationSettings(shadow_hours=24.0), by="ann")
    run = store.start_training_run({}, None, active.base_version.id, "ann", [])
    (store.data_dir / "models" / "v1").mkdir(parents=True)
    made = NewVersion("v1", "a" * 64, "models/v1")
    hours = read_settings(store).shadow_hours
    store.finish_training_run(run.id, "promoted", {}, "Promoted: +5.0 points.", made, shadow_hours=hours)
    assert store.active_version().name == "v0" and len(open_shadows(store)) == 1
    assert look_after_versions(store) == []
    with store.database.writing() as connection:
        connection.execute("UPDATE shadows SET takes_over_at = '2026-01-01T00:00:00.000000+00:00'")
    done = look_after_versions(store)
    assert len(done) == 1 and done[0].startswith("v1 is in use: It has answered beside the model in use since ")
    assert store.active_version().name == "v1" and active.serving().version.name == "v1"
    assert look_after_versions(store) == [] and open_shadows(store) == []


def test_a_shadow_that_people_contradict_is_not_put_to_use(active: ActiveModel) -> None:
    store, version = active.store, add(active)
    start_shadow(store, version, by="ann", hours=0.0)
    side = ShadowAnswers(active)
    seed = voted = 0
    while voted < 10:
        audio, main_label = answer(active, seed)
        if load("v1").classify(audio).label != main_label:
            voted += 1
            store.add_correction(
                store.add_clip(audio, source="page", consent=("research",)).id,
                rater="ann",
                verdict="accept",
                label=main_label,
            )
        seed += 1
        side.wait()
    assert look_after_versions(store) == [] and store.active_version().name == "v0"
    report = shadow_report(store, version)
    assert report is not None and str(report.shadow.outcome).startswith("Not put to use: The two agree on ")
    side.stop()


def test_what_is_in_use_is_no_shadow(active: ActiveModel) -> None:
    with pytest.raises(StoreError, match="v0 is in use"):
        start_shadow(active.store, active.base_version, by="ann")


def test_erasing_a_clip_takes_its_answer_along(active: ActiveModel, capsys: pytest.CaptureFixture[str]) -> None:
    version = add(active)
    start_shadow(active.store, version, by="ann")
    side = ShadowAnswers(active)
    answer(active, 1)
    side.wait()
    side.stop()
    folder = str(active.store.data_dir)
    assert main(["--data-dir", folder, "versions", "shadow", "v1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"] == 1
    assert main(["--data-dir", folder, "erase", "--clip", "1", "--json"]) == 0
    report = shadow_report(active.store, version)
    assert report is not None and report.answers == 0
