"""Each endpoint by way of gradio_client against a page that is really served."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from annotations.raters.people import Access, NotAllowedError
from annotations.raters.votes import effective_corrections
from annotations.store import queries
from annotations.store.embeddings import read_embeddings
from annotations.store.settings import AnnotationSettings, change_settings
from ser.config import Settings
from ser.labels import EMOTIONS
from ser.testing import fake_recognizer, synthetic_speech
from tests.unit.stored import list_clips
from ui.api.training import TrainingHandlers
from ui.api.votes import Correction, VoteHandlers
from ui.app import build_app, launch_options
from ui.backend.logins import HASHER, Logins
from ui.backend.services import Services
from ui.backend.startup import load_parts


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["GRADIO_TEMP_DIR"]
    else:
        os.environ["GRADIO_TEMP_DIR"] = before


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Services:
    return load_parts(tmp_path_factory.mktemp("data"), Settings(), fake=True)


@pytest.fixture(scope="module")
def client(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    demo = build_app(services)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(services))
    yield Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))
    demo.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    soundfile.write(path, synthetic_speech(1.0, seed=3).signal, 16_000)
    return path


def in_cache(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_many_at_once_may_send_the_same_recording(client: Client, clip: Path, cache: Path) -> None:
    """Gradio keeps one file for all of them: who is answered first must not take it from the others."""
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.predict(handle_file(clip), api_name="/recognize"), range(24)))
    assert len({answer["label"] for answer in answers}) == 1
    assert in_cache(cache) == []


def test_only_the_named_endpoints_are_public_and_described(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    named = {"/register", "/recognize", "/timeline", "/explain", "/correct", "/next_clip", "/labels"}
    named |= {"/retrain", "/training_status", "/control_training", "/converse", "/recognize_with_face"}
    named |= {"/reply", "/rate_reply", "/forget_reply", "/forget_picture"}
    assert set(endpoints) == named
    assert all(endpoint["description"] for endpoint in endpoints.values())
    names = {name: [p["parameter_name"] for p in endpoint["parameters"]] for name, endpoint in endpoints.items()}
    assert names["/recognize"] == ["audio", "denoise"] and names["/timeline"] == ["audio", "channels", "speakers"]
    vote = ["audio", "clip_id", "label", "rater", "transcript", "intensity", "consent", "speaker"]
    assert names["/correct"] == [*vote, "face", "face_consent"] and names["/forget_picture"] == ["clip_id", "rater"]
    assert names["/next_clip"] == ["rater"] and names["/retrain"] == ["rater", "preset", "target", "tune"]


def test_a_timeline_is_answered_and_keeps_nothing(client: Client, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    soundfile.write(path, synthetic_speech(70.0, seed=1).signal, 16_000)
    before = in_cache(cache)
    answer = client.predict(audio=handle_file(path), api_name="/timeline")
    assert answer["duration"] == pytest.approx(70.0) and answer["regions"] and answer["channels"] == 1
    assert in_cache(cache) == before
    with pytest.raises(AppError, match="expected one of split, mix, auto"):
        client.predict(audio=handle_file(path), channels="left", api_name="/timeline")


def test_an_answer_is_explained_and_nothing_kept(client: Client, cache: Path, clip: Path) -> None:
    answer = client.predict(audio=handle_file(clip), api_name="/recognize")
    why = client.predict(audio=handle_file(clip), api_name="/explain")
    assert (why["label"], why["confidence"]) == (answer["label"], answer["confidence"])
    assert len(why["moments"]) == 4 and len(why["bands"]) == 8 and why["words"] and len(why["cues"]) == 5
    other = next(label for label in EMOTIONS if label != answer["label"])
    assert client.predict(audio=handle_file(clip), label=other, api_name="/explain")["label"] == other
    with pytest.raises(AppError, match="expected one of anger"):
        client.predict(audio=handle_file(clip), label="joy", api_name="/explain")
    assert in_cache(cache) == []


def test_recognize_answers_and_keeps_nothing(client: Client, services: Services, cache: Path, clip: Path) -> None:
    answer = client.predict(audio=handle_file(clip), api_name="/recognize")
    assert {"file", "duration", "label", "confidence", "fused", "acoustic", "text", "transcript", "timings"} <= set(
        answer
    )
    assert answer["file"] == "clip.wav" and set(answer["fused"]) == set(EMOTIONS)
    assert sum(answer["fused"].values()) == pytest.approx(1, abs=0.01)
    assert list_clips(services.store) == [] and in_cache(cache) == []


def test_a_bad_file_is_refused_with_a_sentence(client: Client, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("no sound")
    with pytest.raises(AppError, match="notes.wav|audio"):
        client.predict(audio=handle_file(path), api_name="/recognize")
    with pytest.raises(AppError, match="No audio was given"):
        client.predict(audio=None, api_name="/recognize")
    assert in_cache(cache) == []


def test_correct_needs_consent_then_stores_then_takes_a_second_vote(
    client: Client, services: Services, cache: Path, clip: Path
) -> None:
    with pytest.raises(AppError, match="consent"):
        client.predict(audio=handle_file(clip), label="fear", rater="ann", consent=[], api_name="/correct")
    assert list_clips(services.store) == []
    stored = client.predict(
        audio=handle_file(clip), label="fear", rater="ann", intensity=70, consent=["research"], api_name="/correct"
    )
    again = client.predict(
        audio=None, clip_id=stored["clip_id"], label="unsure", rater="bob", transcript="so", api_name="/correct"
    )
    assert again["clip_id"] == stored["clip_id"] and again["correction_id"] > stored["correction_id"]
    newest, oldest = (entry.correction for entry in queries.history(services.store))
    assert newest is not None and (newest.rater, newest.verdict, newest.transcript) == ("bob", "unsure", "so")
    assert oldest is not None and (oldest.rater, oldest.label, oldest.intensity) == ("ann", "fear", 70)
    with services.store.reading() as connection:
        assert read_embeddings(connection, [stored["clip_id"]])
    assert in_cache(cache) == []


def test_a_refused_vote_leaves_no_upload(client: Client, services: Services, cache: Path, clip: Path) -> None:
    for label, intensity, message in (("joy", 50, "expected one of anger"), ("fear", 700, "700")):
        with pytest.raises(AppError, match=message):
            client.predict(
                audio=handle_file(clip), label=label, intensity=intensity, consent=["research"], api_name="/correct"
            )
        assert in_cache(cache) == []


def test_a_vote_says_who_speaks(client: Client, services: Services, tmp_path: Path) -> None:
    path = tmp_path / "other.wav"
    soundfile.write(path, synthetic_speech(1.1, seed=77).signal, 16_000)
    saved = client.predict(
        audio=handle_file(path), label="fear", consent=["training"], speaker=" s7 ", api_name="/correct"
    )
    clip = services.store.get_clip(saved["clip_id"])
    assert clip.speaker == "s7" and clip.session and clip.consent == ("training",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clip_id": 999, "label": "fear"}, "999"),
        ({"clip_id": None, "label": "fear"}, "Neither audio nor clip_id"),
        ({"label": "boredom"}, "expected one of anger"),
        ({"label": "fear", "intensity": 700}, "700"),
    ],
)
def test_wrong_votes_are_refused_with_a_sentence(
    client: Client, services: Services, given: dict[str, object], message: str
) -> None:
    given = {"clip_id": services.store.add_clip(synthetic_speech(0.5, seed=8), source="import").id, **given}
    with pytest.raises(AppError, match=message):
        client.predict(audio=None, rater="eve", **given, api_name="/correct")


def test_next_clip_gives_the_recording(client: Client, services: Services) -> None:
    audio = synthetic_speech(0.8, seed=9)
    services.store.add_clip(audio, source="import")
    seen = []
    while True:
        clip, path = client.predict(rater="dan", api_name="/next_clip")
        if clip is None:
            break
        signal, rate = soundfile.read(path, dtype="float32")
        assert rate == 16_000 and len(signal) / rate == pytest.approx(clip["duration"], abs=0.01)
        seen.append(clip["clip_id"])
        client.predict(audio=None, clip_id=clip["clip_id"], label="neutral", rater="dan", api_name="/correct")
    assert seen and len(seen) == len(set(seen)) == len(list_clips(services.store))
    assert path is None


def test_what_programs_may_not(services: Services) -> None:
    shared = replace(services, access=Access(role_without_login="visitor"))
    votes, training = VoteHandlers(shared), TrainingHandlers(shared)
    for forbidden in (
        votes.next_clip,
        training.retrain,
        lambda: training.control_training("cancel"),
        lambda: votes.correct(Correction(clip_id=1, label="fear")),
    ):
        with pytest.raises(NotAllowedError, match="sign in first"):
            forbidden()


def test_blind_holds_for_programs(services: Services, cache: Path) -> None:
    handlers = VoteHandlers(services)
    audio = synthetic_speech(0.9, seed=21)
    clip = services.store.add_clip(audio, source="import")
    services.store.add_prediction(clip.id, fake_recognizer().recognize(audio), services.store.active_version().id)
    seen = {}
    for blind in (False, True):
        change_settings(services.store, AnnotationSettings(blind=blind), by="mia")
        item, path = handlers.next_clip("gus")
        assert item is not None and path is not None
        seen[blind] = item["prediction"]
        os.remove(path)
    change_settings(services.store, AnnotationSettings(), by="mia")
    assert seen[False] is not None and seen[True] is None


def test_training_endpoints(client: Client) -> None:
    status = client.predict(api_name="/training_status")
    assert status["state"] == "idle" and "pid" not in status
    with pytest.raises(AppError, match="needed"):
        client.predict(rater="ann", api_name="/retrain")
    with pytest.raises(AppError, match="preset is 'hasty'; expected one of quick, thorough"):
        client.predict(rater="ann", preset="hasty", api_name="/retrain")
    with pytest.raises(AppError, match="The action is 'stop'; expected one of pause, resume, cancel"):
        client.predict(action="stop", rater="ann", api_name="/control_training")
    with pytest.raises(AppError, match="No training run can be resumed"):
        client.predict(action="resume", rater="ann", api_name="/control_training")
    assert client.predict(action="pause", rater="ann", api_name="/control_training")["state"] == "idle"


def test_the_login_is_the_rater(services: Services, clip: Path) -> None:
    demo = build_app(services)
    _, url, _ = demo.launch(
        prevent_thread_lock=True,
        quiet=True,
        auth=Logins({"ann": HASHER.hash("secret")}).check,
        **launch_options(services),
    )
    try:
        client = Client(url, auth=("ann", "secret"), verbose=False)
        client.predict(
            audio=handle_file(clip), label="fear", rater="somebody else", consent=["research"], api_name="/correct"
        )
    finally:
        demo.close()
    correction = queries.history(services.store)[0].correction
    assert correction is not None and correction.rater == "ann"


def test_a_served_clip_is_one_file_that_the_page_will_sweep_away(services: Services, cache: Path) -> None:
    services.store.add_clip(synthetic_speech(0.7, seed=11), source="import")
    demo = build_app(services)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(services))
    try:
        before = set(in_cache(cache))
        Client(url, verbose=False).predict(rater="fay", api_name="/next_clip")
        (served,) = set(in_cache(cache)) - before
        swept = {Path(path) for files in demo.temp_file_sets for path in files}
        assert served in swept
    finally:
        demo.close()


def test_a_key_makes_votes_ones_own(services: Services, clip: Path) -> None:
    shared = replace(services, access=Access(role_without_login="annotator"))
    demo = build_app(shared)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(shared))
    try:
        stranger = Client(url, verbose=False)
        issued = stranger.predict(rater="Gil", api_name="/register")
        gil = Client(url, headers={"X-Rater-Key": issued["key"]}, verbose=False)
        saved = gil.predict(audio=handle_file(clip), label="fear", consent=["research"], api_name="/correct")
        for name in ("gil", "GIL"):
            with pytest.raises(AppError, match="belongs to somebody else"):
                stranger.predict(audio=None, clip_id=saved["clip_id"], label="anger", rater=name, api_name="/correct")
        for label, message in (("fear", None), ("anger", "lea has voted on clip")):
            vote = {"audio": None, "clip_id": saved["clip_id"], "label": label, "rater": "lea", "api_name": "/correct"}
            if message is None:
                stranger.predict(**vote)
                continue
            with pytest.raises(AppError, match=message):
                stranger.predict(**vote)
        gil.predict(audio=None, clip_id=saved["clip_id"], label="sadness", api_name="/correct")
        with pytest.raises(AppError, match="belongs to somebody else"):
            stranger.predict(rater="gil", api_name="/register")
    finally:
        demo.close()
    given = {
        vote.rater: vote.label for vote in effective_corrections(services.store) if vote.clip_id == saved["clip_id"]
    }
    assert (given["Gil"], given["lea"]) == ("sadness", "fear")
