"""A picture that is kept with a clip: erased alone, passed on only where that was agreed to, sent by a program."""

import json
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from annotations.cli import main as run_annotations
from annotations.errors import ConsentRequiredError
from annotations.exchange.exports.exporting import export_store
from annotations.exchange.imports.importing import import_sources
from annotations.maintenance.erasure.erase import erase_rater
from annotations.store import AnnotationStore, NewClip, NewVote, grant
from annotations.store.faces import NewFace, read_face
from ser.errors import SerError
from ser.face import FaceAnswer, FaceReader, Picture
from ser.face.picture import Face, read_picture
from ser.fusion.rule import FusionRule, with_face
from ser.labels import EMOTIONS
from ser.types import EmotionScores
from tests.unit.stored import answer, list_clips, recording, write_wav
from tests.unit.test_ui_clips import ANN, asking, settled
from ui.api.votes import Correction, VoteHandlers
from ui.backend.services import Services
from ui.recognize.face import FaceHandlers

pytestmark = pytest.mark.usefixtures("base_version")

HAPPY = EmotionScores(tuple(0.7 if label == "happiness" else 0.05 for label in EMOTIONS))


def stored_face(store: AnnotationStore, clip_id: int) -> NewFace | None:
    with store.reading() as connection:
        return read_face(connection, clip_id)


def is_nowhere(store: AnnotationStore, face: NewFace) -> bool:
    """No file of the store, nor of a copy of it, holds the picture."""
    files = [file for file in store.data_dir.rglob("*") if file.is_file()]
    return bool(files) and not any(face.jpeg[100:164] in file.read_bytes() for file in files)


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)


def keep_picture(store: AnnotationStore, seed: int = 0, *, may_export: bool = False, by: str = "ann") -> int:
    """Store a clip with an answer that a face was read for, a vote, and the picture."""
    jpeg = Face(noise(), (0, 0, 9, 9)).as_jpeg()
    found = with_face(answer(), FusionRule(), FaceAnswer("tiny", HAPPY))
    clip, _ = store.save_feedback(
        recording(seed),
        found,
        NewVote(by, "correct", label="fear"),
        NewClip(
            "page", grants=grant(["research"], by), face=NewFace(jpeg, "Keep this picture", by, may_export=may_export)
        ),
    )
    return clip.id


def said_by_faces(store: AnnotationStore) -> list[object]:
    rows = store.fetch("SELECT details FROM predictions ORDER BY id")
    return [json.loads(row["details"]).get("face", {}).get("label") for row in rows]


def test_a_picture_is_erased_and_its_clip_stays(
    store: AnnotationStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip_id, other = keep_picture(store, may_export=True), keep_picture(store, 1)
    export_store(store, "jsonl", tmp_path / "out.jsonl")
    pictures = list((tmp_path / "out_audio").glob("*.jpg"))
    kept = stored_face(store, clip_id)
    assert kept is not None and [file.read_bytes() for file in pictures] == [kept.jpeg]
    assert said_by_faces(store) == ["happiness", "happiness"]
    command = ["--data-dir", str(store.data_dir), "erase", "--picture", str(clip_id), "--by", "ann"]
    assert run_annotations([*command, "--dry-run"]) == 0
    assert "would be erased; the recording and its votes would stay" in capsys.readouterr().out
    assert stored_face(store, clip_id) == kept
    assert run_annotations(command) == 0
    said = capsys.readouterr().out
    assert f"The picture of clip {clip_id} is erased" in said and str(tmp_path / "out.jsonl") in said
    assert stored_face(store, clip_id) is None and stored_face(store, other) is not None
    assert said_by_faces(store) == [None, "happiness"] and len(list_clips(store)) == 2
    assert not list((tmp_path / "out_audio").glob("*.jpg")) and len(list((tmp_path / "out_audio").iterdir())) == 2
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert "face" not in first and "face" not in first["predictions"][0]["details"]
    assert run_annotations(command) == 2 and "No picture is kept with clip" in capsys.readouterr().err


def test_pictures_leave_the_store_only_where_that_was_agreed_to(store: AnnotationStore, tmp_path: Path) -> None:
    allowed, private = keep_picture(store, may_export=True), keep_picture(store, 1)
    kept = stored_face(store, allowed)
    assert kept is not None and stored_face(store, private) is not None
    assert export_store(store, "audiofolder", tmp_path / "folder").pictures == 1
    for form, out in (("jsonl", "lines.jsonl"), ("parquet", "rows.parquet"), ("csv", "table.csv")):
        export_store(store, form, tmp_path / out)
    assert export_store(store, "jsonl", tmp_path / "none.jsonl", "training").pictures == 0, "the clips are for research"
    first, second = map(json.loads, (tmp_path / "folder" / "annotations.jsonl").read_text().splitlines())
    assert (tmp_path / "folder" / first["face"]["file_name"]).read_bytes() == kept.jpeg
    assert first["face"]["given_by"] == "ann" and first["predictions"][0]["details"]["face"]["label"] == "happiness"
    assert "face" not in second and "face" not in second["predictions"][0]["details"]
    assert len(list(tmp_path.rglob("*.jpg"))) == 2 and kept.jpeg not in (tmp_path / "rows.parquet").read_bytes()
    assert '"face"' not in str(pq.read_table(tmp_path / "rows.parquet")["record"].to_pylist())
    for source in ("folder", "lines.jsonl"):
        with AnnotationStore(tmp_path / f"again-{source}") as again:
            assert not import_sources(again, [tmp_path / source]).failed
            (restored,) = [face for clip in list_clips(again) if (face := stored_face(again, clip.id))]
            assert replace(restored, created_at=None) == replace(kept, created_at=None)
            assert restored.created_at == kept.created_at


def test_a_picture_goes_with_its_rater_out_of_exports(store: AnnotationStore, tmp_path: Path) -> None:
    clip_id = keep_picture(store, may_export=True, by="bo")
    store.add_correction(clip_id, NewVote("ann", "correct", label="fear"))
    kept = stored_face(store, clip_id)
    export_store(store, "jsonl", tmp_path / "out.jsonl")
    erase_rater(store, "bo", by="ann")
    assert kept is not None and is_nowhere(store, kept) and said_by_faces(store) == [None]
    assert not list(tmp_path.rglob("*.jpg"))


def test_who_agreed_to_a_picture_erases_it_on_the_page(page_services: Services) -> None:
    store, ask = page_services.store, asking(page_services, "annotator")
    mine, other = keep_picture(store), keep_picture(store, 1, by="bob")
    assert "The picture kept with this clip" in str(ask("clip", clip=mine)["html"])
    assert "The picture kept with this clip" not in str(ask("clip", clip=other)["html"])
    assert "no picture that you may erase" in str(ask("clips_ask", act="picture", clips=[other])["error"])
    asked = ask("clips_ask", act="picture", clips=[mine])
    assert "error" not in asked, asked
    assert "would be erased; the recording" in str(asked["body"]) and stored_face(store, mine) is not None
    assert "is erased; the recording and its votes stay" in str(settled(ask, asked)["message"])
    assert stored_face(store, mine) is None and stored_face(store, other) is not None and len(list_clips(store)) == 2
    maintainer = asking(page_services, "maintainer")
    assert "The picture kept with this clip" in str(maintainer("clip", clip=other)["html"])
    asked = maintainer("clips_ask", act="picture", clips=[other])
    assert "error" not in asked, asked
    settled(maintainer, asked)
    assert stored_face(store, other) is None


class HappyReader(FaceReader):
    """Finds a happy face in every picture but a black one."""

    def look(self, picture: Picture) -> tuple[FaceAnswer, Face | None]:
        pixels = read_picture(picture)
        if not pixels.any():
            return FaceAnswer("stand-in", None, "No face was found."), None
        return FaceAnswer("stand-in", HAPPY), Face(pixels, (0, 0, 9, 9))


def test_a_program_sends_a_picture_with_a_consent_of_its_own_and_erases_it(
    page_services: Services, page_cache: Path
) -> None:
    page_services.recognizer.face = HappyReader()
    store, api = page_services.store, VoteHandlers(page_services)

    def send(pixels: np.ndarray, face_consent: list[str], seed: int = 0) -> dict[str, object]:
        sound, picture = page_cache / "sent" / "clip.wav", page_cache / "sent" / "me.png"
        picture.parent.mkdir(exist_ok=True)
        write_wav(sound, seed)
        Image.fromarray(pixels).save(picture)
        try:
            given = {"consent": ["research"], "face": str(picture), "face_consent": face_consent}
            return api.correct(Correction(str(sound), None, "fear", "ann", **given), ANN)
        finally:
            assert not sound.exists() and not picture.exists()

    with pytest.raises(ConsentRequiredError, match="Send `face_consent` as well"):
        send(noise(), [])
    with pytest.raises(SerError, match="'sell' is none of these"):
        send(noise(), ["sell"])
    assert not list_clips(store)
    sent = send(noise(), ["keep"])
    assert sent["face"] == "The face shows happiness 70 %: not counted."
    clip_id = int(str(sent["clip_id"]))
    kept = stored_face(store, clip_id)
    assert kept is not None and kept.given_by == "ann" and not kept.may_export and said_by_faces(store) == ["happiness"]
    empty = send(np.zeros((80, 80, 3), np.uint8), ["keep", "export"], 1)
    assert empty["face"] == "The face is left out: No face was found."
    assert stored_face(store, int(str(empty["clip_id"]))) is None
    alone = page_cache / "alone.png"
    Image.fromarray(noise()).save(alone)
    with pytest.raises(SerError, match="A picture belongs to a new recording"):
        api.correct(Correction(None, 1, "fear", "ann", face=str(alone)), ANN)
    assert not alone.exists()
    report = FaceHandlers(page_services).forget_picture(clip_id, "ann", ANN)
    assert report["rows"] == {"faces": 1} and is_nowhere(store, kept) and len(list_clips(store)) == 2
    with pytest.raises(SerError, match="expected a whole number"):
        FaceHandlers(page_services).forget_picture(None, "ann", gr.Request(session_hash="x"))
