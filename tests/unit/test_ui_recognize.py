"""The handlers of the recognise tab as plain functions, on small stand-ins for the models and a real store."""

import os
import time
import wave
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile

from annotations.errors import ClipNotFoundError
from annotations.maintenance.erasure.erase import erase_rater, erase_speaker
from annotations.raters.voices import find_voice, list_voices
from annotations.store import queries
from annotations.store.embeddings import read_embeddings
from ser.encoder.profiles import MIN_CLIPS
from ser.testing import synthetic_speech
from ser.types import AppliedProfile
from tests.unit.stored import list_clips
from ui.backend.services import Services
from ui.parts.errors import shows_errors
from ui.parts.handlers import from_fields
from ui.recognize.form import UNCHANGED, Form
from ui.recognize.neutral import NeutralHandlers
from ui.recognize.tab import Analysed, RecognizeHandlers
from ui.recognize.votes import changed_transcript

ANN = gr.Request(session_hash="ann")
BOB = gr.Request(session_hash="bob")


def upload(cache: Path, seed: int = 0) -> str:
    path = cache / f"hash{seed}" / "clip.wav"
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, synthetic_speech(1.0, seed=seed).signal, 16_000)
    return str(path)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def analyse(services: Services, cache: Path, request: gr.Request = ANN, seed: int = 0) -> Analysed:
    *_, last = RecognizeHandlers(services).on_audio(upload(cache, seed), True, request)
    assert isinstance(last.analysed, Analysed)
    return last.analysed


def save(services: Services, analysed: Analysed | None, **changes: object) -> Form:
    given = {
        "vote": "fear",
        "transcript": "what a wonderful day",
        "intensity": 50.0,
        "rated": False,
        "speaker": "",
        "consent": ["research"],
        "keep_face": [],
        "who": "ann",
        "request": ANN,
    }
    return from_fields(RecognizeHandlers(services).on_save)(analysed, **{**given, **changes})


def test_the_answer_grows_from_sound_to_words(page_services: Services, page_cache: Path) -> None:
    forms = list(RecognizeHandlers(page_services).on_audio(upload(page_cache), True, ANN))
    assert "Listening …" in str(forms[0].card)
    assert "Listening to the words" in str(forms[1].card)
    assert forms[1].vote == forms[-1].analysed.recognition.fused.label, "a browser may drop a value sent with choices"  # type: ignore[attr-defined]
    assert all(f">{word}</span>" in str(forms[2].card) for word in "what a wonderful day".split())
    assert forms[-1].save == gr.update(interactive=True)
    assert forms[-1].analysed.recognition.timings.decode > 0  # type: ignore[attr-defined]
    assert forms[-1].answer_json["file"] == "clip.wav"  # type: ignore[index]
    assert forms[-1].answer_json["label"] == forms[-1].analysed.recognition.fused.label  # type: ignore[index, attr-defined]
    assert [form.transcript for form in forms[1:]].count("what a wonderful day") == 1, "filled once, then the person's"


def test_no_clip_changes_nothing(page_services: Services) -> None:
    assert list(RecognizeHandlers(page_services).on_audio(None, True, ANN)) == [Form()]


def test_answers_adapt_to_the_place_from_sixteen_clips_on(page_services: Services, page_cache: Path) -> None:
    plain = [analyse(page_services, page_cache, seed=seed).recognition for seed in range(MIN_CLIPS)]
    assert all(answer.profile is None for answer in plain)
    adapted = analyse(page_services, page_cache).recognition
    assert adapted.profile == AppliedProfile("source", MIN_CLIPS) and adapted.profile.note in adapted.notes
    *_, last = RecognizeHandlers(page_services).on_audio(upload(page_cache), False, ANN)
    assert last.analysed.recognition.profile is None  # type: ignore[attr-defined]
    page_services.profiles.release(str(ANN.session_hash))
    assert analyse(page_services, page_cache).recognition.profile is None


@pytest.mark.parametrize("kind", ["silent", "short", "text"])
def test_a_refused_clip_says_why_and_is_gone(page_services: Services, page_cache: Path, kind: str) -> None:
    path = page_cache / "hash" / "bad.wav"
    path.parent.mkdir()
    if kind == "text":
        path.write_text("no sound in here")
    else:
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(np.zeros(16_000 if kind == "silent" else 1_000, np.int16).tobytes())
    *_, last = RecognizeHandlers(page_services).on_audio(str(path), True, ANN)
    assert 'role="alert"' in str(last.card)
    assert last.save == gr.update(interactive=False)
    assert files(page_cache) == []


def test_saving_stores_clip_answer_and_vote(page_services: Services, page_cache: Path) -> None:
    analysed = analyse(page_services, page_cache)
    form = save(
        page_services,
        analysed,
        intensity=80.0,
        rated=True,
        speaker=" x ",
        transcript="what a day",
        consent=["training"],
    )
    assert form.audio is None and form.analysed is None
    assert "Saved as clip 1: fear" in str(form.status)
    entry = queries.history(page_services.store)[0]
    assert entry.correction is not None and entry.clip is not None and entry.prediction is not None
    assert (entry.correction.label, entry.correction.intensity, entry.correction.transcript) == (
        "fear",
        80,
        "what a day",
    )
    assert (entry.clip.speaker, entry.clip.consent, entry.clip.session) == ("x", ("training",), "ann")
    assert entry.prediction.label == analysed.recognition.fused.label
    with page_services.store.reading() as connection:
        (embedding,) = read_embeddings(connection, [entry.clip.id]).values()
    assert analysed.recognition.embedding is not None
    assert embedding == pytest.approx(analysed.recognition.embedding.vector, rel=2e-3, abs=1e-3)


def test_agreeing_is_an_accept_and_unsure_has_no_label(page_services: Services, page_cache: Path) -> None:
    analysed = analyse(page_services, page_cache)
    save(page_services, analysed, vote=analysed.recognition.fused.label)
    save(page_services, analyse(page_services, page_cache), vote="unsure")
    newest, older = (entry.correction for entry in queries.history(page_services.store))
    assert older is not None and older.verdict == "accept" and older.transcript is None and older.intensity is None
    assert newest is not None and (newest.verdict, newest.label) == ("unsure", None)


def test_without_consent_nothing_is_stored_and_the_page_says_so(page_services: Services, page_cache: Path) -> None:
    form = save(page_services, analyse(page_services, page_cache), consent=[])
    assert "Nothing was stored" in str(form.status)
    assert form._replace(status=UNCHANGED) == Form(), "the clip stays, to be saved once a purpose is ticked"
    assert list_clips(page_services.store) == []
    assert files(page_services.store.data_dir / "clips") == []


def test_saving_too_early_asks_for_what_is_missing(page_services: Services, page_cache: Path) -> None:
    assert "Record or choose a clip first" in str(save(page_services, None).status)
    assert "Choose an emotion first" in str(save(page_services, analyse(page_services, page_cache), vote=None).status)
    assert list_clips(page_services.store) == []


@pytest.mark.parametrize("way", ["saved", "cleared", "taken away", "replaced", "closed"])
def test_no_upload_outlives_its_use(page_services: Services, page_cache: Path, way: str) -> None:
    handlers = RecognizeHandlers(page_services)
    analysed = analyse(page_services, page_cache)
    assert len(files(page_cache)) == 1
    if way == "saved":
        save(page_services, analysed)
    elif way == "cleared":
        assert handlers.on_clear(ANN).audio is None
    elif way == "taken away":
        assert handlers.on_change(None, analysed, ANN).analysed is None
    elif way == "replaced":
        analyse(page_services, page_cache, seed=1)
        assert [path.parent.name for path in files(page_cache)] == ["hash1"]
        return
    else:
        page_services.uploads.release("ann")
    assert files(page_cache) == [] and list(page_cache.iterdir()) == []


def test_two_people_with_the_same_file_do_not_lose_it(page_services: Services, page_cache: Path) -> None:
    analysed = analyse(page_services, page_cache)
    analyse(page_services, page_cache, BOB)
    RecognizeHandlers(page_services).on_clear(BOB)
    assert len(files(page_cache)) == 1
    save(page_services, analysed)
    assert files(page_cache) == []


def test_files_outside_the_cache_are_never_deleted(page_services: Services, tmp_path: Path) -> None:
    path = tmp_path / "mine.wav"
    path.write_bytes(b"x")
    with page_services.uploads.borrow(path):
        pass
    assert path.exists()


def test_a_server_side_clear_leaves_the_message(page_services: Services) -> None:
    assert RecognizeHandlers(page_services).on_change(None, None, ANN) == Form()
    assert RecognizeHandlers(page_services).on_change("clip.wav", None, ANN) == Form()


def test_an_upload_that_nobody_came_for_is_swept_away(page_services: Services, page_cache: Path) -> None:
    held, left, fresh = (Path(upload(page_cache, seed)) for seed in range(3))
    old = time.time() - 400
    for path in (held, left):
        os.utime(path, (old, old))
    page_services.uploads.hold("ann", held)
    assert page_services.uploads.sweep() == 1
    assert files(page_cache) == [held, fresh] or set(files(page_cache)) == {held, fresh}
    assert not left.parent.exists()


def test_a_clip_just_saved_can_be_withdrawn_by_who_saved_it(page_services: Services, page_cache: Path) -> None:
    handlers = RecognizeHandlers(page_services)
    form = save(page_services, analyse(page_services, page_cache))
    assert form.saved == 1 and form.withdraw == gr.update(visible=True, value="Erase clip 1")
    with pytest.raises(gr.Error, match="only who consented"):
        shows_errors(handlers.on_withdraw)(1, "bob", True, BOB)
    assert handlers.on_withdraw(1, "ann", False, ANN) == Form(), "not confirmed"
    gone = handlers.on_withdraw(1, "ann", True, ANN)
    assert gone.saved is None and "erased" in str(gone.status)
    with pytest.raises(ClipNotFoundError):
        page_services.store.get_clip(1)
    assert files(page_services.store.data_dir / "clips") == []


def test_an_untouched_transcript_is_no_edit() -> None:
    assert changed_transcript(" a  b ", "a b") is None
    assert changed_transcript("", "a b") == ""


def test_a_neutral_voice_is_taken_from_a_clip_and_adapts_the_next_answers(
    page_services: Services, page_cache: Path
) -> None:
    handlers = NeutralHandlers(page_services)
    assert "Record the sentences first" in handlers.on_neutral(None, "", False, "ann", ANN)[0]
    analysed = analyse(page_services, page_cache)
    assert "adapted to 1 neutral sentence." in handlers.on_neutral(analysed, "", False, "ann", ANN)[0]
    assert list_voices(page_services.store, "ann") == []
    profiles = page_services.profiles.of("ann")
    assert profiles.applied == ("neutral", 1) and page_services.profiles.of("bob").neutral is None
    assert "Forgotten" in handlers.on_forget(ANN) and page_services.profiles.of("ann").neutral is None
    page_services.profiles.set_neutral("ann", profiles.neutral)
    page_services.profiles.release("ann")
    assert page_services.profiles.of("ann").neutral is None


def test_a_neutral_voice_is_kept_with_consent_used_by_name_and_erased_with_its_person(
    page_services: Services, page_cache: Path
) -> None:
    handlers, store = NeutralHandlers(page_services), page_services.store
    analysed = analyse(page_services, page_cache)
    assert "Say whose voice it is" in handlers.on_neutral(analysed, " ", True, "ann", ANN)[0]
    assert "Say who you are" in handlers.on_neutral(analysed, "Mia", True, None, ANN)[0]
    for rater in ("ann", "bob", "cem"):
        said, listed, shelf = handlers.on_neutral(analysed, "Mia", True, rater, ANN)
        assert "Kept as the voice of Mia" in said and isinstance(listed, dict) and listed["value"] == "Mia"
        assert isinstance(shelf, dict) and shelf["visible"]
    kept, made = find_voice(store, "Mia", "ann"), page_services.profiles.of("ann").neutral
    assert kept is not None and made is not None and kept.encoder == made.encoder and kept.clips == 1
    assert np.allclose(kept.embeddings, made.embeddings, atol=1e-2, rtol=1e-3)
    # Another session of the same person adapts to it as soon as the speaker is named; nobody else's does.
    tab = RecognizeHandlers(page_services)

    def adapted(speaker: str, who: str) -> bool:
        *_, last = tab.on_audio(upload(page_cache, 7), False, BOB, False, speaker, who)
        assert isinstance(last.analysed, Analysed)
        return last.analysed.profiles.neutral is not None

    assert adapted(" Mia ", "ann")
    assert not adapted("Mia", "dan") and not adapted("Tom", "ann") and not adapted("", "ann")
    assert "Choose a voice" in handlers.on_use("Mia", "dan", BOB)
    assert "adapted to 1" in handlers.on_use("Mia", "ann", BOB)
    assert page_services.profiles.of("bob").neutral is not None
    said, listed, shelf = handlers.on_delete("Mia", "ann", BOB)
    assert "was deleted" in said and isinstance(listed, dict) and listed["choices"] == []
    assert isinstance(shelf, dict) and not shelf["visible"]
    assert "deleted already" in handlers.on_delete("Mia", "ann", BOB)[0]
    assert page_services.profiles.of("bob").neutral is None
    # An anonymous vote may stay; a voice never does.
    erase_rater(store, "bob", by="boss", keep_votes=True)
    assert (
        store.fetch("SELECT rater FROM voices")[0]["rater"] == "cem" and len(store.fetch("SELECT 1 FROM voices")) == 1
    )
    report = erase_speaker(store, "Mia", by="boss")
    assert report.rows == {"voices": 1} and store.fetch("SELECT 1 FROM voices") == []
    with pytest.raises(ClipNotFoundError):
        erase_speaker(store, "Mia", by="boss")
