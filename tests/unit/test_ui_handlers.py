"""Each handler of the page as a plain function, on small stand-ins for the models and a real store."""

import os
import wave
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile

from annotations import queries
from annotations.feedback import label_counts
from annotations.run_status import TrainingStatus
from ser.config import Settings
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS
from ser.testing import fake_recognizer, synthetic_speech
from ui import identity, review_cards
from ui.errors import shows_errors
from ui.history import HistoryHandlers
from ui.recognize import UNCHANGED, Form, Heard, RecognizeHandlers
from ui.review import ReviewHandlers, Sitting
from ui.services import Services
from ui.startup import load_parts
from ui.train import FAST, TrainHandlers
from ui.votes import changed_transcript

ANN = gr.Request(session_hash="ann")
BOB = gr.Request(session_hash="bob")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def services(tmp_path: Path, cache: Path) -> Services:
    return load_parts(tmp_path / "data", Settings(), fake=True)


def upload(cache: Path, seed: int = 0) -> str:
    path = cache / f"hash{seed}" / "clip.wav"
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, synthetic_speech(1.0, seed=seed).signal, 16_000)
    return str(path)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def fill(services: Services, count: int) -> None:
    for seed in range(count):
        audio = synthetic_speech(0.6, seed=seed)
        clip = services.store.add_clip(audio, source="import", consent=("research", "training"))
        answer = fake_recognizer(seed=seed).recognize(audio)
        services.store.add_prediction(clip.id, answer, services.store.active_version().id)


def hear(services: Services, cache: Path, request: gr.Request = ANN, seed: int = 0) -> Heard:
    *_, last = RecognizeHandlers(services).on_audio(upload(cache, seed), request)
    assert isinstance(last.heard, Heard)
    return last.heard


def save(services: Services, heard: Heard | None, **changes: object) -> Form:
    given = {
        "vote": "fear",
        "transcript": "what a wonderful day",
        "intensity": 50.0,
        "rated": False,
        "speaker": "",
        "consent": ["research"],
        "rater": "ann",
        "request": ANN,
    }
    return RecognizeHandlers(services).on_save(heard, **{**given, **changes})  # type: ignore[arg-type]


def test_the_answer_grows_from_sound_to_words(services: Services, cache: Path) -> None:
    forms = list(RecognizeHandlers(services).on_audio(upload(cache), ANN))
    assert "Listening …" in str(forms[0].card)
    assert "Listening to the words" in str(forms[1].card)
    assert all(f">{word}</span>" in str(forms[2].card) for word in "what a wonderful day".split())
    assert forms[-1].save == gr.update(interactive=True)
    assert forms[-1].heard.recognition.timings.decode > 0  # type: ignore[attr-defined]
    assert forms[-1].answer_json["file"] == "clip.wav"  # type: ignore[index]
    assert forms[-1].answer_json["label"] == forms[-1].heard.recognition.fused.label  # type: ignore[index, attr-defined]
    assert [form.transcript for form in forms[1:]].count("what a wonderful day") == 1, "filled once, then the person's"


def test_no_clip_changes_nothing(services: Services) -> None:
    assert list(RecognizeHandlers(services).on_audio(None, ANN)) == [Form()]


@pytest.mark.parametrize("kind", ["silent", "short", "text"])
def test_a_refused_clip_says_why_and_is_gone(services: Services, cache: Path, kind: str) -> None:
    path = cache / "hash" / "bad.wav"
    path.parent.mkdir()
    if kind == "text":
        path.write_text("no sound in here")
    else:
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(np.zeros(16_000 if kind == "silent" else 1_000, np.int16).tobytes())
    *_, last = RecognizeHandlers(services).on_audio(str(path), ANN)
    assert 'role="alert"' in str(last.card)
    assert last.save == gr.update(interactive=False)
    assert files(cache) == []


def test_saving_stores_clip_answer_and_vote(services: Services, cache: Path) -> None:
    heard = hear(services, cache)
    form = save(
        services, heard, intensity=80.0, rated=True, speaker=" x ", transcript="what a day", consent=["training"]
    )
    assert form.audio is None and form.heard is None
    assert "Saved as clip 1: fear" in str(form.status)
    entry = queries.history(services.store)[0]
    assert entry.correction is not None and entry.clip is not None and entry.prediction is not None
    assert (entry.correction.label, entry.correction.intensity, entry.correction.transcript) == (
        "fear",
        80,
        "what a day",
    )
    assert (entry.clip.speaker, entry.clip.consent, entry.clip.session) == ("x", ("training",), "ann")
    assert entry.prediction.label == heard.recognition.fused.label


def test_agreeing_is_an_accept_and_unsure_has_no_label(services: Services, cache: Path) -> None:
    heard = hear(services, cache)
    save(services, heard, vote=heard.recognition.fused.label)
    save(services, hear(services, cache), vote="unsure")
    newest, older = (entry.correction for entry in queries.history(services.store))
    assert older is not None and older.verdict == "accept" and older.transcript is None and older.intensity is None
    assert newest is not None and (newest.verdict, newest.label) == ("unsure", None)


def test_without_consent_nothing_is_stored_and_the_page_says_so(services: Services, cache: Path) -> None:
    form = save(services, hear(services, cache), consent=[])
    assert "Nothing was stored" in str(form.status)
    assert form._replace(status=UNCHANGED) == Form(), "the clip stays, to be saved once a purpose is ticked"
    assert queries.list_clips(services.store) == []
    assert files(services.store.data_dir / "clips") == []


def test_saving_too_early_asks_for_what_is_missing(services: Services, cache: Path) -> None:
    assert "Record or choose a clip first" in str(save(services, None).status)
    assert "Choose an emotion first" in str(save(services, hear(services, cache), vote=None).status)
    assert queries.list_clips(services.store) == []


@pytest.mark.parametrize("way", ["saved", "cleared", "taken away", "replaced", "closed"])
def test_no_upload_outlives_its_use(services: Services, cache: Path, way: str) -> None:
    handlers = RecognizeHandlers(services)
    heard = hear(services, cache)
    assert len(files(cache)) == 1
    if way == "saved":
        save(services, heard)
    elif way == "cleared":
        assert handlers.on_clear(ANN).audio is None
    elif way == "taken away":
        assert handlers.on_change(None, heard, ANN).heard is None
    elif way == "replaced":
        hear(services, cache, seed=1)
        assert [path.parent.name for path in files(cache)] == ["hash1"]
        return
    else:
        services.uploads.release("ann")
    assert files(cache) == [] and list(cache.iterdir()) == []


def test_two_people_with_the_same_file_do_not_lose_it(services: Services, cache: Path) -> None:
    heard = hear(services, cache)
    hear(services, cache, BOB)
    RecognizeHandlers(services).on_clear(BOB)
    assert len(files(cache)) == 1
    save(services, heard)
    assert files(cache) == []


def test_files_outside_the_cache_are_never_deleted(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "mine.wav"
    path.write_bytes(b"x")
    with services.uploads.borrow(path):
        pass
    assert path.exists()


def test_a_server_side_clear_leaves_the_message(services: Services) -> None:
    assert RecognizeHandlers(services).on_change(None, None, ANN) == Form()
    assert RecognizeHandlers(services).on_change("clip.wav", None, ANN) == Form()


# Review


def review(services: Services) -> tuple[ReviewHandlers, Sitting]:
    handlers = ReviewHandlers(services)
    form = handlers.on_open(Sitting(), False, "ann", ANN)
    assert isinstance(form.sitting, Sitting)
    return handlers, form.sitting


def vote(handlers: ReviewHandlers, sitting: Sitting, label: str | None = "anger", **changes: object) -> object:
    given = {"transcript": "", "intensity": 50, "rated": False, "blind": False, "rater": "ann", "request": ANN}
    return handlers.on_save(sitting, label, **{**given, **changes})  # type: ignore[arg-type]


def test_review_goes_from_the_least_certain_to_the_end(services: Services) -> None:
    fill(services, 3)
    handlers, sitting = review(services)
    entropies = []
    for label in EMOTIONS[:3]:
        assert sitting.item is not None and sitting.item.prediction is not None
        entropies.append(sitting.item.prediction.entropy)
        form = vote(handlers, sitting, label)
        sitting = form.sitting  # type: ignore[attr-defined]
    assert entropies == sorted(entropies, reverse=True)
    assert sitting.item is None and sitting.done == 3
    assert "python -m annotations" in str(form.card)  # type: ignore[attr-defined]
    assert [label_counts(services.store)[label] for label in EMOTIONS[:3]] == [1, 1, 1]


def test_an_empty_queue_teaches_how_clips_come_in(services: Services) -> None:
    handlers, sitting = review(services)
    assert sitting.item is None
    assert "import" in review_cards.card(None, False)
    assert "queue is empty" in str(vote(handlers, sitting).status)  # type: ignore[attr-defined]
    assert "queue is empty" in str(handlers.on_skip(sitting, False, "ann", ANN).status)


def test_review_needs_a_choice(services: Services) -> None:
    fill(services, 1)
    handlers, sitting = review(services)
    assert "Choose first" in str(vote(handlers, sitting, None).status)  # type: ignore[attr-defined]


def test_skip_undo_and_change_of_mind(services: Services) -> None:
    fill(services, 2)
    handlers, sitting = review(services)
    first = sitting.item
    assert first is not None
    after = vote(handlers, sitting, "fear").sitting  # type: ignore[attr-defined]
    back = handlers.on_undo(after, False, "ann", ANN)
    assert back.sitting.item.clip.id == first.clip.id and back.vote == "fear"  # type: ignore[attr-defined]
    assert back.sitting.done == 0  # type: ignore[attr-defined]
    skipped = handlers.on_skip(back.sitting, False, "ann", ANN)  # type: ignore[arg-type]
    assert skipped.sitting.item.clip.id != first.clip.id  # type: ignore[attr-defined]
    assert [entry.correction.verdict for entry in queries.history(services.store) if entry.correction][0] == "skip"
    assert sum(label_counts(services.store).values()) == 0


def test_nothing_to_undo_is_said_and_changes_nothing(services: Services) -> None:
    fill(services, 1)
    handlers, sitting = review(services)
    form = handlers.on_undo(sitting, False, "ann", ANN)
    assert "no vote left to undo" in str(form.status)
    assert form.sitting == UNCHANGED


def test_blind_hides_the_answer(services: Services) -> None:
    fill(services, 1)
    handlers, sitting = review(services)
    assert "hidden" in str(handlers.on_blind(sitting, True).card)
    assert 'class="bars"' not in str(handlers.on_blind(sitting, True).card)
    assert 'class="bars"' in str(handlers.on_blind(sitting, False).card)


def test_one_key_saves_only_where_wanted(services: Services) -> None:
    fill(services, 2)
    handlers, sitting = review(services)
    fields = (sitting, "anger", "", 50, False, False, "ann", ANN)
    assert handlers.on_vote(False, *fields).sitting == UNCHANGED
    assert handlers.on_vote(True, *fields).sitting.done == 1  # type: ignore[attr-defined]


def test_a_missing_recording_does_not_stop_the_queue(services: Services) -> None:
    fill(services, 1)
    item = queries.next_clip(services.store, "ann")
    assert item is not None
    os.remove(item.audio_path)
    handlers, sitting = review(services)
    assert "is missing" in review_cards.card(sitting.item, False)
    assert handlers.on_skip(sitting, False, "ann", ANN).sitting.item is None  # type: ignore[attr-defined]


def test_opening_the_tab_again_keeps_the_clip(services: Services) -> None:
    fill(services, 2)
    handlers, sitting = review(services)
    assert handlers.on_open(sitting, False, "ann", ANN).card == UNCHANGED


# Training and history


@dataclass
class ScriptedRetrainer:
    """Says what it is told to say."""

    now: TrainingStatus = field(default_factory=TrainingStatus)
    lacking: str | None = None

    def start(self, by: str) -> None:
        if self.lacking:
            raise TrainingDataError(self.lacking)
        self.now = TrainingStatus(state="running", message=f"by {by}", progress=0.35, eta=48.0, epoch=7, epochs=20)

    def status(self) -> TrainingStatus:
        return self.now

    def cancel(self) -> None:
        self.now = TrainingStatus(state="cancelled")


@pytest.fixture
def scripted(services: Services) -> Services:
    return Services(services.active_model, ScriptedRetrainer())  # type: ignore[arg-type]


def test_training_tab_shows_what_is_missing(scripted: Services) -> None:
    form = TrainHandlers(scripted).on_tick({})
    assert "needed" in str(form.feedback)
    assert form.retrain == gr.update(interactive=False)
    assert "embedded" in str(form.versions) and "in use" in str(form.versions)


def test_a_run_is_followed_and_cancelled(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    seen = handlers.on_tick({}).seen
    running = handlers.on_retrain(seen, "ann", ANN)  # type: ignore[arg-type]
    assert "epoch 7 of 20" in str(running.run) and "0:48 left" in str(running.run)
    assert running.timer == gr.update(value=FAST) and running.cancel == gr.update(interactive=True)
    assert handlers.on_tick(running.seen) == handlers.on_tick(running.seen)._replace(seen=UNCHANGED)  # type: ignore[arg-type]
    ended = handlers.on_cancel(running.seen)  # type: ignore[arg-type]
    assert "Cancelled" in str(ended.run) and ended.cancel == gr.update(interactive=False)


def test_a_page_that_knows_everything_gets_nothing(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    from_scratch = handlers.on_tick({})
    assert all(part == UNCHANGED for part in handlers.on_tick(from_scratch.seen))  # type: ignore[arg-type]


def test_too_little_feedback_is_shown_as_an_error(services: Services) -> None:
    handlers = TrainHandlers(services)
    with pytest.raises(gr.Error, match="needed"):
        shows_errors(handlers.on_retrain)({}, "ann", ANN)


def test_another_version_is_put_to_use(scripted: Services) -> None:
    handlers = TrainHandlers(scripted)
    store = scripted.store
    other = store.add_model_version("v2", "0" * 64, "models/v2", None, {"after": {"uar": 0.63}})
    seen = handlers.on_tick({})
    assert seen.choice["choices"] == [("v2", other.id)] and "63\xa0%" in str(seen.versions)  # type: ignore[index]
    form = handlers.on_use(other.id, seen.seen, "ann", ANN)  # type: ignore[arg-type]
    assert store.active_version().name == "v2" and "v2" in str(form.header)
    assert scripted.recognizer.acoustic.name == "band energy, seed 1"
    with pytest.raises(gr.Error, match="Choose a version first"):
        handlers.on_use(None, {}, "ann", ANN)


def test_history_and_undo(services: Services) -> None:
    handlers = HistoryHandlers(services)
    assert "Nothing has happened yet" in handlers.on_open()[0]
    fill(services, 1)
    services.store.add_correction(1, rater="<ann>", verdict="correct", label="fear", transcript="<b>")
    table, _ = handlers.on_open()
    assert "&lt;ann&gt;" in table and "&lt;b&gt;" in table and "retracted" not in table
    table, said = handlers.on_undo("<ann>", ANN)
    assert "retracted" in table and "Taken back: fear on clip 1" in said
    with pytest.raises(gr.Error, match="no vote left"):
        shows_errors(handlers.on_undo)("<ann>", ANN)


# Names


def test_the_login_wins_over_what_is_typed() -> None:
    request = gr.Request(username="ann", session_hash="s")
    assert identity.rater_name(request, "bob") == "ann"
    assert identity.rater_name(ANN, "  bob   b ") == "bob b"
    assert identity.rater_name(ANN, " ") == "anonymous"
    box, stored = identity.on_load("bob", request)
    assert box["value"] == "ann" and box["interactive"] is False and stored == "bob"


def test_a_browser_keeps_its_pseudonym() -> None:
    box, stored = identity.on_load("", ANN)
    assert box["value"] == stored and len(stored.split("-")) == 3
    assert identity.on_load(stored, ANN)[1] == stored
    assert identity.on_rename("  Ann  ") == ("Ann", "Ann")
    assert identity.on_rename(" ")[0] != ""
    assert identity.on_load_preferences(identity.on_preference(True, False)) == (True, False)


def test_an_untouched_transcript_is_no_edit() -> None:
    assert changed_transcript(" a  b ", "a b") is None
    assert changed_transcript("", "a b") == ""
