"""Versions that answer while others are promoted."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from annotations.errors import VersionNotFoundError
from annotations.learning.versions.active import ActiveModel
from annotations.store import AnnotationStore
from annotations.store.records import ModelVersion
from ser.errors import ModelUnavailableError
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, EnergyDetector, FixedTranscriber, WordListModel, synthetic_speech
from ser.types import Audio, EmotionScores, Recognition
from tests.unit.stored import add_version, promote


class SlowModel(BandEnergyModel):
    """Takes its time, so that promotions come while it is at it."""

    def classify(self, audio: Audio) -> EmotionScores:
        time.sleep(0.005)
        return super().classify(audio)


def load(location: str) -> BandEnergyModel:
    """The version's name is the seed: v3 answers as `BandEnergyModel(3)`."""
    name = Path(location).name
    if name == "gone":
        raise ModelUnavailableError("There is no folder 'gone'.")
    return SlowModel(int(name.removeprefix("v")), name)


@pytest.fixture
def active(tmp_path: Path) -> ActiveModel:
    recognizer = Recognizer(EnergyDetector(), SlowModel(0, "v0"), None, None)
    return ActiveModel(AnnotationStore(tmp_path), recognizer, load, base="v0")


def add(active: ActiveModel, name: str) -> ModelVersion:
    (active.store.data_dir / "models" / name).mkdir(parents=True)
    return add_version(active.store, name, name * 32)


def test_under_load_every_answer_is_wholly_from_one_version_and_names_it(active: ActiveModel) -> None:
    versions = [active.base_version, *(add(active, f"v{n}") for n in range(1, 4))]
    audio = synthetic_speech(0.6)
    expected = {v.id: SlowModel(int(v.name[1:])).classify(audio) for v in versions}
    seen: list[tuple[int, Recognition]] = []
    failures: list[BaseException] = []
    stopping = threading.Event()

    def answer() -> None:
        try:
            while not stopping.is_set():
                serving = active.serving()
                seen.append((serving.version.id, serving.recognizer.recognize(audio)))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=answer) for _ in range(6)]
    for thread in threads:
        thread.start()
    for round_ in range(24):
        version = versions[round_ % len(versions)]
        if round_ % 2:
            active.use(version.id, by="ann")
        else:
            promote(active.store, version.id, by="ann", reason="from another process")
        time.sleep(0.02)
    stopping.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert {number for number, _ in seen} == set(expected)
    for number, answered in seen:
        assert answered.acoustic == expected[number]
        assert answered.models["acoustic"] == active.store.get_model_version(number).name


def test_a_request_under_way_finishes_on_the_version_it_began_with(active: ActiveModel) -> None:
    audio = synthetic_speech(0.6)
    serving = active.serving()
    steps = serving.recognizer.recognize_steps(audio)
    active.use(add(active, "v1").id, by="ann")
    assert next(steps).models["acoustic"] == "v0" and serving.version.name == "v0"
    assert active.serving().recognizer.recognize(audio).models["acoustic"] == "v1"


def test_who_finds_another_loading_answers_with_the_one_before(active: ActiveModel) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def slowly(location: str) -> BandEnergyModel:
        loading.set()
        assert go_on.wait(30)
        return load(location)

    active._parts["acoustic"] = type(active._parts["acoustic"])(
        slowly, Recognizer.replace_acoustic, "v0", active.base_version
    )
    promote(active.store, add(active, "v1").id, by="ann", reason="better")
    first = threading.Thread(target=active.serving)
    first.start()
    assert loading.wait(30)
    assert active.serving().version.name == "v0"
    go_on.set()
    first.join()
    assert active.serving().version.name == "v1"


def test_the_way_back_takes_no_loading(active: ActiveModel) -> None:
    loaded: list[str] = []

    def counting(location: str) -> BandEnergyModel:
        loaded.append(Path(location).name)
        return load(location)

    part = active._parts["acoustic"]
    active._parts["acoustic"] = type(part)(counting, part.put, part.base, part.base_version)
    one, two = add(active, "v1"), add(active, "v2")
    active.use(one.id, by="ann")
    active.use(two.id, by="ann")
    start = time.perf_counter()
    assert active.roll_back(by="ann", reason="worse after all").name == "v1"
    assert time.perf_counter() - start < 2.0 and loaded == ["v1", "v2"]
    assert active.store.active_version().id == one.id and active.recognizer.acoustic.name == "v1"
    assert active.roll_back(by="ann").name == "v0"
    with pytest.raises(VersionNotFoundError, match="no acoustic version to go back to from v0"):
        active.roll_back(by="ann")


def test_a_version_that_cannot_be_loaded_keeps_nobody_from_an_answer(active: ActiveModel) -> None:
    gone = add(active, "gone")
    promote(active.store, gone.id, by="ann", reason="it was there yesterday")
    assert active.serving().version.name == "v0"
    assert active.remark == "There is no folder 'gone'."
    with pytest.raises(ModelUnavailableError):
        active.refresh()
    remark = active.settle()
    assert remark is not None and remark.endswith("Going back to the model 'v0'.")
    assert active.store.active_version().name == "v0"


def test_weights_that_were_removed_are_said_to_be(active: ActiveModel) -> None:
    version = add(active, "v1")
    with active.store.database.writing() as connection:
        connection.execute("UPDATE model_versions SET weights_removed_at = 't' WHERE id = ?", (version.id,))
    with pytest.raises(ModelUnavailableError, match="were removed to save space"):
        active.use(version.id, by="ann")


def test_every_target_follows_its_own_versions(tmp_path: Path) -> None:
    store = AnnotationStore(tmp_path)
    recognizer = Recognizer(EnergyDetector(), BandEnergyModel(0, "v0"), WordListModel(), FixedTranscriber("I hate it"))
    active = ActiveModel(store, recognizer, load, base="v0")
    base = store.ensure_base_version("word list", "0" * 64, "text")

    def put(changed: Recognizer, model: WordListModel) -> None:
        changed.text = model

    class Renamed(WordListModel):
        name = "other words"

    put_text: Callable[[Recognizer, WordListModel], None] = put
    active.follow("text", lambda location: Renamed(), put_text, "word list", base)
    assert active.targets == ("acoustic", "text") and active.serving().versions["text"].id == base.id
    with store.database.writing() as connection:
        connection.execute(
            "INSERT INTO model_versions (name, sha256, path, target, created_at, metrics) "
            "VALUES ('t1', 'a', 'models/t1', 'text', 't', '{}')"
        )
    version = next(v for v in (store.get_model_version(n) for n in (3,)) if v.target == "text")
    active.use(version.id, by="ann")
    serving = active.serving()
    assert serving.versions["text"].name == "t1" and serving.version.name == "v0"
    assert serving.recognizer.recognize(synthetic_speech(0.8)).models["text"] == "other words"
    assert recognizer.text is not None and recognizer.text.name == "word list"
    assert active.roll_back(by="ann", target="text").id == base.id
