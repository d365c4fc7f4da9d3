"""Endpoints of votes: a name with its key, the next clip to label, a vote on it or on a new recording."""

import contextlib
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from annotations.labels.files import to_plain
from annotations.review.queue import next_clip
from annotations.store import NewClip, NewVote, grant
from annotations.store.records import CONSENT_PURPOSES
from annotations.store.settings import read_settings
from ser.audio.decoding import decode_file
from ser.errors import SerError
from ui.api.answers import answer_in_turn
from ui.backend.identity import person, signed_in, voter
from ui.backend.services import Services
from ui.parts.handlers import add_endpoint, from_fields
from ui.parts.palette import UNSURE
from ui.recognize.face import read_agreed
from ui.recognize.form import FACE_CONSENTS
from ui.recognize.votes import verdict_of, vote_on_stored


@dataclass(frozen=True)
class Correction:
    """A vote as a program sends it: on a stored clip, or on a new recording.

    Attributes:
        audio: path of a new recording; None for a stored clip.
        clip_id: of the stored clip; None for a new recording.
        label: of the store's labels, or unsure.
        rater: who votes; a login takes precedence.
        transcript: what was said; empty if the recognised words are right.
        intensity: 0 to 100; None if it was not rated.
        consent: what a new recording may be stored for.
        speaker: a pseudonym of who speaks; may be empty.
        face: path of a picture of who speaks.
        face_consent: what the picture may be stored for.
    """

    audio: str | None = None
    clip_id: float | None = None
    label: str = ""
    rater: str = ""
    transcript: str = ""
    intensity: float | None = None
    consent: Sequence[str] = ()
    speaker: str = ""
    face: str | None = None
    face_consent: Sequence[str] = ()


class VoteHandlers:
    """The endpoints; the names of the arguments are the names of their parameters."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def register(self, rater: str = "", request: gr.Request | None = None) -> dict[str, object]:
        """Return a new key for a name that nobody has; with it as the header X-Rater-Key, votes are the name's own."""
        if not rater.strip():
            raise SerError("No name was given. Send the name to vote under as `rater`.")
        if signed_in(request):
            raise SerError("You are logged in: the login is your name, and needs no key.")
        key = secrets.token_urlsafe(24)
        owner = voter(self.services, request, {"name": rater, "key": key})
        return {"rater": owner.name, "key": key}

    def correct(self, sent: Correction, request: gr.Request | None = None) -> dict[str, object]:
        """Store a vote: on a stored clip by its id, or on a new recording given with consent, perhaps with a picture.

        A picture has a consent of its own.
        """
        labels, picture = self.services.labels, None
        uploads = self.services.uploads
        # Everything that can go wrong goes wrong in here, so that no upload is left behind.
        with contextlib.ExitStack() as stack:
            path, seen = (
                stack.enter_context(uploads.borrow(file)) if file else None for file in (sent.audio, sent.face)
            )
            if sent.label not in (*labels.names, UNSURE):
                raise SerError(f"The label is '{sent.label}'; expected one of {', '.join(labels.names)} or {UNSURE}.")
            if path is None:
                if seen is not None:
                    raise SerError("A picture belongs to a new recording. Send `audio` as well, or leave `face` out.")
                person(self.services, request, sent.rater).require("review stored clips")
                reviewer = voter(self.services, request, sent.rater)
                return vote_on_stored(
                    self.services, sent.clip_id, sent.label, reviewer, sent.transcript or None, sent.intensity
                )
            reviewer = voter(self.services, request, sent.rater)
            serving = self.services.active_model.serving()
            recording = decode_file(path, max_duration=serving.recognizer.max_duration)
            recognition = (
                answer_in_turn(self.services, serving.recognizer, recording, request) if sent.consent else None
            )
            if recognition and seen:
                recognition, picture = read_agreed(self.services, recognition, seen, sent.face_consent, reviewer.name)
        verdict, vote = verdict_of(
            sent.label, labels.most_probable(recognition.fused.as_dict()) if recognition else None
        )
        clip, correction = self.services.store.save_feedback(
            recording,
            recognition,
            NewVote(
                reviewer.name,
                verdict,
                label=vote,
                intensity=sent.intensity,
                transcript=sent.transcript or None,
                may_replace=reviewer.proved,
                label_set=labels.names,
            ),
            NewClip(
                "api",
                speaker=sent.speaker.strip() or None,
                session=str(request.session_hash) if request else None,
                grants=grant(sent.consent, reviewer.name),
                face=picture,
            ),
            model_version_id=serving.version.id,
        )
        said = {"face": recognition.face.note} if recognition and recognition.face else {}
        return {"clip_id": clip.id, "correction_id": correction.id, **said}

    def next_clip(
        self, rater: str = "", request: gr.Request | None = None
    ) -> tuple[dict[str, object] | None, str | None]:
        """Return the next clip for a rater, with its recording; null if none waits."""
        reviewer = person(self.services, request, rater).require("review stored clips")
        item = next_clip(self.services.store, reviewer.name)
        if item is None:
            return None, None
        # In blind mode nobody sees the model's answer before they vote, programs included.
        prediction = None if read_settings(self.services.store).blind else item.prediction
        prediction = prediction and self.services.labels.prediction(prediction)
        clip: dict[str, object] = {
            "clip_id": item.clip.id,
            "duration": item.clip.duration,
            "speaker": item.clip.speaker,
            "source": item.clip.source,
            "raters": item.raters,
            "prediction": None
            if prediction is None
            else {
                "label": prediction.label or None,
                "scores": dict(prediction.scores),
                "transcript": prediction.transcript,
            },
        }
        return clip, str(served_copy(self.services.store.clip_path(item.clip), item.clip.id))

    def labels(self) -> dict[str, object]:
        """List the labels of the store: names, keys, colours, meaning in the seven, names in other languages."""
        return to_plain(self.services.labels)


def served_copy(path: Path, clip_id: int) -> Path:
    """Copy the store's FLAC file of a clip to where Gradio may serve it, named after the clip; returns the copy."""
    folder = Path(get_upload_folder()) / secrets.token_hex(32)
    folder.mkdir(parents=True)
    return Path(shutil.copyfile(path, folder / f"clip-{clip_id}.flac"))


def build_vote_endpoints(services: Services) -> None:
    """Add the endpoints; their components are never drawn."""
    handlers = VoteHandlers(services)
    with gr.Row(visible=False):
        trigger = gr.Button()
        wanted = gr.Textbox(label="the name to vote under")
        issued = gr.JSON(label="{rater, key}; keep the key, it is shown once")
        sent = [
            gr.Audio(label="a new recording, or null for a stored clip", type="filepath", value=None),
            gr.Number(label="id of a stored clip, or null for a new recording", value=None, precision=0),
            gr.Textbox(label=f"one of the labels that /labels lists, or {UNSURE}"),
            gr.Textbox(label="rater; a login takes precedence", value=""),
            gr.Textbox(label="what was said, if the transcript needs correcting", value=""),
            gr.Number(label="0 to 100, or null", value=None),
            gr.CheckboxGroup(
                list(CONSENT_PURPOSES),
                value=[],
                label="what a new recording may be stored for; nothing is stored without",
            ),
            gr.Textbox(label="a pseudonym of who speaks; training keeps speakers apart", value=""),
            gr.File(label="a picture of who speaks, kept with a new recording, or null", value=None),
            gr.CheckboxGroup(
                list(FACE_CONSENTS), value=[], label="what the picture may be stored for; it is not stored without"
            ),
        ]
        stored = gr.JSON(label="{clip_id, correction_id}, and what the `face` says if a picture came")
        reviewer = gr.Textbox(label="rater; each rater gets each clip once", value="")
        clip = gr.JSON(label="clip_id, duration, speaker, source, raters, prediction; null if no clip waits")
        clip_audio = gr.Audio(label="the recording as FLAC", type="filepath")
        label_list = gr.JSON(label="labels and mapping")
    add_endpoint(trigger, handlers.register, [wanted], [issued])
    add_endpoint(trigger, from_fields(handlers.correct), sent, [stored], heavy=True)
    add_endpoint(trigger, handlers.next_clip, [reviewer], [clip, clip_audio])
    add_endpoint(trigger, handlers.labels, [], [label_list])
