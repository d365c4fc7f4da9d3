"""A picture of the face, added to a clip on request: shown next to voice and words."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from annotations.errors import ConsentRequiredError
from annotations.store.faces import NewFace
from ser.audio.decoding import decode_file
from ser.errors import SerError
from ser.face import FaceAnswer, can_read_faces
from ser.fusion.rule import with_face
from ser.serialization import recognition_to_dict
from ser.types import Recognition
from ui.backend.identity import charge, label_texts, person
from ui.backend.services import Services
from ui.backend.turns import last_step
from ui.clips.acts import erase_own_picture
from ui.parts import presentation
from ui.parts.calls import as_whole
from ui.parts.errors import shows_errors
from ui.parts.handlers import add_endpoint
from ui.parts.palette import icon
from ui.parts.presentation import as_written, escape, percent, status_line
from ui.recognize import cards
from ui.recognize.form import ASK_FACE, FACE_CONSENTS, AddedFace, Analysed, Form

LIMITS = (
    '<p class="quiet">A face in one moment says little of a feeling, and people differ in what they show. The picture '
    "counts in the answer only once votes have shown that it helps. It is read on this server and then deleted; "
    "without the tick nothing of it stays.</p>"
)


@dataclass(frozen=True)
class FacePart:
    """The components of the part.

    Attributes:
        picture: taken or chosen; emptied once it is read.
        said: what was read.
        keep: the consents to store it and to pass it on.
    """

    picture: gr.Image
    said: gr.HTML
    keep: gr.CheckboxGroup


class FaceHandlers:
    """The event and the endpoint."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_picture(self, path: str | None, analysed: Analysed | None, request: gr.Request) -> Form:
        """A picture was taken or chosen: read it, delete it, and show what it says with the answer."""
        if path is None:
            return Form()
        with self.services.uploads.borrow(path) as file:
            if analysed is None:
                return _said("Record or choose a clip first, then add the picture.")
            charge(self.services, request, "recognitions")
            recognizer = self.services.active_model.serving().recognizer
            try:
                answer, face = recognizer.face.look(file)
            except SerError as error:
                return _said(str(error))
        shown = with_face(analysed.recognition, recognizer.fusion, answer)
        jpeg = face.as_jpeg() if face else None
        analysed.face = AddedFace(shown, jpeg) if jpeg else None
        labels, texts = self.services.labels, label_texts(self.services.labels, request)
        return Form(
            analysed=analysed,
            card=presentation.answer_card(shown, labels, texts),
            live=answer.note,
            vote=labels.most_probable(shown.fused.as_dict()) if answer.weight else gr.skip(),
            details=cards.details_table(shown),
            answer_json=labels.answer(recognition_to_dict(shown, analysed.file)),
            picture=None,
            face=face_row(shown.face or answer, jpeg),
            keep_face=gr.update(value=[], visible=jpeg is not None and not analysed.example),
        )

    def recognize_with_face(
        self, audio: str | None = None, face: str | None = None, request: gr.Request | None = None
    ) -> dict[str, object]:
        """Recognise one recording with a picture of who speaks; nothing of the two is stored."""
        if audio is None or face is None:
            raise SerError("A recording and a picture are needed. Send files under `audio` and `face`.")
        with self.services.uploads.borrow(audio) as path, self.services.uploads.borrow(face) as picture:
            recognizer = self.services.active_model.serving().recognizer
            recording = decode_file(path, max_duration=recognizer.max_duration)
            charge(self.services, request, "recognitions")
            connection = str(request.session_hash) if request else ""
            steps = self.services.answers(
                connection, recording.duration, lambda: recognizer.recognize_steps(recording, face=picture)
            )
            return self.services.labels.answer(recognition_to_dict(last_step(steps), file=path.name))

    def forget_picture(
        self, clip_id: float | None = None, rater: str = "", request: gr.Request | None = None
    ) -> dict[str, object]:
        """Erase the picture of a face that is kept with a clip; the recording and its votes stay."""
        number = as_whole(clip_id, "clip_id")
        return erase_own_picture(self.services.store, person(self.services, request, rater), number).as_dict()


def _said(words: str) -> Form:
    return Form(picture=None, face=status_line(words, "gentle"), keep_face=gr.update(value=[], visible=False))


def face_row(answer: FaceAnswer, jpeg: bytes | None) -> str:
    """Draw the face, as it would be kept, with the emotions that it shows; or why it says nothing."""
    if answer.scores is None or jpeg is None:
        return status_line(answer.note, "gentle")
    picture = base64.b64encode(jpeg).decode()
    ranked = sorted(answer.scores.as_dict().items(), key=lambda pair: -pair[1])[:3]
    shares = " · ".join(f"{icon(label)} {escape(label)} {percent(share)}" for label, share in ranked)
    counts = f"weight {percent(answer.weight)}" if answer.weight else "not counted"
    return (
        f'<div class="face-row"><img src="data:image/jpeg;base64,{picture}" alt="The face that was read" width="72">'
        f"<p>{shares}</p><p><strong>{counts}</strong></p></div>"
        f'<p class="quiet">Read by {as_written(answer.model)}.</p>'
    )


def to_store(analysed: Analysed, consent: Sequence[str], given_by: str) -> tuple[Recognition, NewFace | None]:
    """The answer and the picture that may be stored: without a consent of its own nothing that the face has said."""
    if analysed.face is None or (face := _agreed(analysed.face.jpeg, consent, given_by)) is None:
        return analysed.recognition, None
    return analysed.face.recognition, face


def read_agreed(
    services: Services, answer: Recognition, picture: Path, consent: Sequence[str], given_by: str
) -> tuple[Recognition, NewFace | None]:
    """Read a picture that a program sends to be stored.

    Returns:
        The answer with what the face says, or why it says nothing; the face, if one was read.

    Raises:
        ConsentRequiredError: if it came without a consent of its own.
        PictureError: if it is no picture.
    """
    recognizer = services.active_model.serving().recognizer
    if not consent:
        raise ConsentRequiredError(
            "No picture is stored without a consent of its own. Send `face_consent` as well, or leave `face` out."
        )
    found, face = recognizer.face.look(picture)
    return with_face(answer, recognizer.fusion, found), _agreed(face.as_jpeg(), consent, given_by) if face else None


def _agreed(jpeg: bytes, consent: Sequence[str], given_by: str) -> NewFace | None:
    unknown = [name for name in consent if name not in FACE_CONSENTS]
    if unknown:
        raise SerError(f"A picture may be for {', '.join(FACE_CONSENTS)}; '{unknown[0]}' is none of these.")
    words = " · ".join(FACE_CONSENTS[name] for name in FACE_CONSENTS if name in consent)
    return NewFace(jpeg, words, given_by, may_export="export" in consent) if consent else None


def build_face(services: Services) -> FacePart:
    """Lay out the part; it is there if the packages for pictures are installed and `SER_FACE` names a model."""
    there = can_read_faces(services.recognizer.face)
    with gr.Accordion("Add a picture of the face", open=False, elem_id="recognize-face", visible=there):
        gr.HTML(LIMITS, apply_default_css=False)
        picture = gr.Image(
            label="Picture of the face",
            sources=["upload", "webcam"],
            type="filepath",
            image_mode=None,
            height=260,
            buttons=[],
            elem_id="face-picture",
        )
        said = gr.HTML(ASK_FACE, elem_id="face-said", apply_default_css=False)
        keep = gr.CheckboxGroup(
            [(words, name) for name, words in FACE_CONSENTS.items()],
            value=[],
            label="May we keep this picture? Nothing is kept unless you tick.",
            visible=False,
            elem_id="keep-face",
        )
    return FacePart(picture, said, keep)


def connect_face(services: Services, part: FacePart, form: Form) -> None:
    """Connect the event of the part, and add the endpoint; `form` has the components of the tab."""
    handlers = FaceHandlers(services)
    part.picture.input(
        shows_errors(handlers.on_picture),
        [part.picture, form.analysed],
        list(form),
        show_progress="hidden",
        trigger_mode="once",
        api_visibility="private",
    )
    with gr.Row(visible=False):
        trigger = gr.Button()
        recording = gr.Audio(label="a recording of speech, at most a minute", type="filepath")
        picture = gr.File(label="a picture of who speaks")
        answer = gr.JSON(label="the answer with `face`, as `python -m ser recognize --face PICTURE --json` prints it")
        clip_id = gr.Number(label="id of the clip that the picture is kept with", value=None, precision=0)
        rater = gr.Textbox(label="who agreed to keep it; a login takes precedence", value="")
        erased = gr.JSON(label="what was erased, as `python -m annotations erase --picture ID --json` prints it")
    add_endpoint(trigger, handlers.recognize_with_face, [recording, picture], [answer], heavy=True)
    add_endpoint(trigger, handlers.forget_picture, [clip_id, rater], [erased])
