"""The endpoints that programs use, each under its own name; the page itself uses none of them."""

import contextlib
import dataclasses
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from annotations.labels.files import to_plain
from annotations.labels.label_set import DEFAULT, LabelSet
from annotations.learning.config import PRESETS
from annotations.review.queue import next_clip
from annotations.store import NewClip, NewVote, grant
from annotations.store.records import CONSENT_PURPOSES, TARGETS
from annotations.store.settings import read_settings
from ser.audio import denoising
from ser.audio.decoding import decode_file
from ser.audio.long_recordings import read_long
from ser.errors import SerError
from ser.recognizer import Recognizer
from ser.serialization import recognition_to_dict
from ser.timeline.speakers import OFF
from ser.timeline.timeline import AUTO, CHANNEL_MODES
from ser.types import Audio, Recognition
from ui.backend.identity import charge, person, signed_in, voter
from ui.backend.services import Services
from ui.backend.turns import RECOGNITION, Waiting
from ui.parts.calls import as_whole
from ui.parts.errors import shows_errors
from ui.parts.palette import UNSURE
from ui.recognize.face import read_agreed
from ui.recognize.form import FACE_CONSENTS
from ui.recognize.votes import verdict_of, vote_on_stored

MAX_TIMELINE_DURATION = 15 * 60.0
"""Seconds of a recording that a request may have answered over time; longer ones are for the command line."""

TIMELINE_BUDGET = 5 * 60.0
"""Seconds that its answer may take: three times what a quarter of an hour takes on one busy core."""

EXPLANATION_COST = 4.0
"""Answers that an explanation counts as."""


class ApiHandlers:
    """The endpoints; the names of the arguments are the names of their parameters."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def recognize(
        self, audio: str | None = None, denoise: bool = False, request: gr.Request | None = None
    ) -> dict[str, object]:
        """Recognise one recording; nothing of it is stored."""
        if audio is None:
            raise SerError("No audio was given. Send a file under `audio`.")
        with self.services.uploads.borrow(audio) as path:
            serving = self.services.active_model.serving()
            start = time.perf_counter()
            with self.services.measures.timed("decode"):
                recording = decode_file(path, max_duration=serving.recognizer.max_duration)
                recording = denoising.denoise(recording) if denoise else recording
            decoding = time.perf_counter() - start
            answer = self._answer(serving.recognizer, recording, request)
            timings = dataclasses.replace(answer.timings, decode=decoding, total=answer.timings.total + decoding)
            answer = dataclasses.replace(answer, timings=timings)
            return self.services.labels.answer(recognition_to_dict(answer, file=path.name))

    def timeline(
        self, audio: str | None = None, channels: str = AUTO, speakers: str = OFF, request: gr.Request | None = None
    ) -> dict[str, object]:
        """Find which feeling is when in a long recording; nothing of it is stored."""
        if audio is None:
            raise SerError("No audio was given. Send a file under `audio`.")
        with self.services.uploads.borrow(audio) as path:
            recognizer = self.services.active_model.serving().recognizer
            recording = read_long(path, MAX_TIMELINE_DURATION)
            charge(self.services, request, "recognitions", amount=max(1.0, recording.duration / 60.0))
            turns = self.services.answers(
                str(request.session_hash) if request else "",
                recording.duration,
                lambda: iter([recognizer.timeline(recording, channels or AUTO, speakers=speakers or OFF)]),
                budget=TIMELINE_BUDGET,
            )
            (found,) = (step for step in turns if not isinstance(step, Waiting))
            return found.as_dict(file=path.name)

    def explain(
        self, audio: str | None = None, label: str = "", request: gr.Request | None = None
    ) -> dict[str, object]:
        """Explain the answer to a recording: which moments, bands and words moved it; nothing of it is stored."""
        if audio is None:
            raise SerError("No audio was given. Send a file under `audio`.")
        with self.services.uploads.borrow(audio) as path:
            recognizer = self.services.active_model.serving().recognizer
            recording = decode_file(path, max_duration=recognizer.max_duration)
            # It takes several times as long as an answer.
            charge(self.services, request, "recognitions", amount=EXPLANATION_COST)
            connection = str(request.session_hash) if request else ""
            steps = self.services.answers(
                connection, recording.duration, lambda: iter([recognizer.explain(recording, label=label or None)])
            )
            (found,) = (step for step in steps if not isinstance(step, Waiting))
            return found.as_dict(file=path.name)

    def correct(
        self,
        audio: str | None = None,
        clip_id: float | None = None,
        label: str = "",
        rater: str = "",
        transcript: str = "",
        intensity: float | None = None,
        consent: Sequence[str] = (),
        speaker: str = "",
        face: str | None = None,
        face_consent: Sequence[str] = (),
        request: gr.Request | None = None,
    ) -> dict[str, object]:
        """Store a vote: on a stored clip by its id, or on a new recording given with consent, perhaps with a picture.

        A picture has a consent of its own.
        """
        labels, picture = self.services.labels, None
        uploads = self.services.uploads
        # Everything that can go wrong goes wrong in here, so that no upload is left behind.
        with contextlib.ExitStack() as stack:
            path, seen = (stack.enter_context(uploads.borrow(file)) if file else None for file in (audio, face))
            check_label(label, labels)
            if path is None:
                if seen is not None:
                    raise SerError("A picture belongs to a new recording. Send `audio` as well, or leave `face` out.")
                person(self.services, request, rater).require("review stored clips")
                reviewer = voter(self.services, request, rater)
                return vote_on_stored(self.services, clip_id, label, reviewer, transcript or None, intensity)
            reviewer = voter(self.services, request, rater)
            serving = self.services.active_model.serving()
            recording = decode_file(path, max_duration=serving.recognizer.max_duration)
            recognition = self._answer(serving.recognizer, recording, request) if consent else None
            if recognition and seen:
                recognition, picture = read_agreed(self.services, recognition, seen, face_consent, reviewer.name)
        verdict, vote = verdict_of(label, labels.most_probable(recognition.fused.as_dict()) if recognition else None)
        clip, correction = self.services.store.save_feedback(
            recording,
            recognition,
            NewVote(
                reviewer.name,
                verdict,
                label=vote,
                intensity=intensity,
                transcript=transcript or None,
                may_replace=reviewer.proved,
                label_set=labels.names,
            ),
            NewClip(
                "api",
                speaker=speaker.strip() or None,
                session=str(request.session_hash) if request else None,
                grants=grant(consent, reviewer.name),
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

    def retrain(
        self, rater: str = "", preset: str = "", target: str = "", tune: str = "", request: gr.Request | None = None
    ) -> dict[str, Any]:
        """Ask for a training run on the feedback as it stands; it begins at once, or waits for the runs before it."""
        name = person(self.services, request, rater).require("retrain").name
        run = self.services.retrainer.start(name, target=target or None, preset=preset or None, tune=tune or None)
        return self._status(run.id)

    def training_status(self, run_id: float | None = None, request: gr.Request | None = None) -> dict[str, Any]:
        """Return the status of a training run: by default the one under way, else the one that ended last."""
        status = self._status(None if run_id is None else as_whole(run_id, "run_id"))
        if not person(self.services, request, None).may("retrain"):
            status.pop("log")
        return status

    def register(self, rater: str = "", request: gr.Request | None = None) -> dict[str, object]:
        """Return a new key for a name that nobody has; with it as the header X-Rater-Key, votes are the name's own."""
        if not rater.strip():
            raise SerError("No name was given. Send the name to vote under as `rater`.")
        if signed_in(request):
            raise SerError("You are logged in: the login is your name, and needs no key.")
        key = secrets.token_urlsafe(24)
        owner = voter(self.services, request, {"name": rater, "key": key})
        return {"rater": owner.name, "key": key}

    def control_training(
        self, action: str = "", run_id: float | None = None, rater: str = "", request: gr.Request | None = None
    ) -> dict[str, Any]:
        """Let a training run rest, go on, or end without a result."""
        retrainer = self.services.retrainer
        actions = {"pause": retrainer.pause, "resume": retrainer.resume, "cancel": retrainer.cancel}
        if action not in actions:
            raise SerError(f"The action is '{action}'; expected one of {', '.join(actions)}.")
        person(self.services, request, rater).require("retrain" if action == "resume" else "stop a training run")
        number = retrainer.status().run_id if run_id is None else as_whole(run_id, "run_id")
        actions[action](number)
        return self._status(number)

    def _answer(self, recognizer: Recognizer, recording: Audio, request: gr.Request | None) -> Recognition:
        """Recognise a recording in its turn."""
        charge(self.services, request, "recognitions")
        connection = str(request.session_hash) if request else ""
        steps = self.services.answers(connection, recording.duration, lambda: recognizer.recognize_steps(recording))
        *_, answer = (step for step in steps if not isinstance(step, Waiting))
        return answer

    def _status(self, run_id: int | None) -> dict[str, Any]:
        status = dataclasses.asdict(self.services.retrainer.status(run_id))
        return {name: value for name, value in status.items() if name not in ("pid", "pid_created")}


def check_label(label: str, labels: LabelSet = DEFAULT) -> None:
    """Refuse what is neither a label of the store nor unsure."""
    if label not in (*labels.names, UNSURE):
        raise SerError(f"The label is '{label}'; expected one of {', '.join(labels.names)} or {UNSURE}.")


def build_api(services: Services) -> None:
    """Add the endpoints; their components are never drawn."""
    handlers = ApiHandlers(services)
    with gr.Row(visible=False):
        # Each endpoint has components of its own: a shared one would give a parameter the wrong words in the docs.
        trigger = gr.Button()
        wanted = gr.Textbox(label="the name to vote under")
        issued = gr.JSON(label="{rater, key}; keep the key, it is shown once")
        recording = gr.Audio(label="a recording of speech, at most a minute", type="filepath")
        clean = gr.Checkbox(False, label=f"reduce noise first; the server needs {denoising.PACKAGE}")
        answer = gr.JSON(label="the answer, as `python -m ser recognize --json` prints it")
        talk = gr.Audio(label="a recording of at most 15 minutes", type="filepath")
        channels = gr.Textbox(label=f"one of {', '.join(CHANNEL_MODES)}; {AUTO} where empty", value=AUTO)
        voices = gr.Textbox(label="speakers of one channel: off, auto, or how many are told apart", value=OFF)
        regions = gr.JSON(label="the timeline, as `python -m ser timeline --json` prints it")
        puzzling = gr.Audio(label="a recording of speech, at most a minute, to explain", type="filepath")
        why = gr.Textbox(label="the label to explain; the most probable one where empty", value="")
        reasons = gr.JSON(label="the explanation, as `python -m ser explain --json` prints it")
        voted = gr.Audio(label="a new recording, or null for a stored clip", type="filepath", value=None)
        clip_id = gr.Number(label="id of a stored clip, or null for a new recording", value=None, precision=0)
        label = gr.Textbox(label=f"one of the labels that /labels lists, or {UNSURE}")
        rater = gr.Textbox(label="rater; a login takes precedence", value="")
        transcript = gr.Textbox(label="what was said, if the transcript needs correcting", value="")
        intensity = gr.Number(label="0 to 100, or null", value=None)
        consent = gr.CheckboxGroup(
            list(CONSENT_PURPOSES), value=[], label="what a new recording may be stored for; nothing is stored without"
        )
        speaker = gr.Textbox(label="a pseudonym of who speaks; training keeps speakers apart", value="")
        seen = gr.File(label="a picture of who speaks, kept with a new recording, or null", value=None)
        face_consent = gr.CheckboxGroup(
            list(FACE_CONSENTS), value=[], label="what the picture may be stored for; it is not stored without"
        )
        stored = gr.JSON(label="{clip_id, correction_id}, and what the `face` says if a picture came")
        reviewer = gr.Textbox(label="rater; each rater gets each clip once", value="")
        clip = gr.JSON(label="clip_id, duration, speaker, source, raters, prediction; null if no clip waits")
        clip_audio = gr.Audio(label="the recording as FLAC", type="filepath")
        label_list = gr.JSON(label="labels and mapping")
        starter = gr.Textbox(label="who starts the run; a login wins over it", value="")
        preset = gr.Textbox(label=f"{' or '.join(PRESETS)}; {PRESETS[0]} where empty", value="")
        target = gr.Textbox(label=f"one of {', '.join(TARGETS)}; {TARGETS[0]} where empty", value="")
        tune = gr.Textbox(label="layers of the acoustic model to train; empty for the preset's default", value="")
        started = gr.JSON(label="the state of the run, as `training_status` returns it")
        asked = gr.Number(label="number of a run, or null for the one under way", value=None, precision=0)
        status = gr.JSON(
            label="state, run_id, message, progress, eta, epoch, epochs, loss, uar, curve, seconds, resumed, target, "
            "preset, cause, log, queued, trigger, updated_at"
        )
        action = gr.Textbox(label="pause, resume or cancel")
        which = gr.Number(label="number of the run, or null for the one under way", value=None, precision=0)
        controller = gr.Textbox(label="who asks; a login wins over it", value="")
        controlled = gr.JSON(label="the state of the run, as `training_status` returns it")

    for name, inputs, outputs in (
        ("register", [wanted], [issued]),
        ("recognize", [recording, clean], [answer]),
        ("timeline", [talk, channels, voices], [regions]),
        ("explain", [puzzling, why], [reasons]),
        (
            "correct",
            [voted, clip_id, label, rater, transcript, intensity, consent, speaker, seen, face_consent],
            [stored],
        ),
        ("next_clip", [reviewer], [clip, clip_audio]),
        ("labels", [], [label_list]),
        ("retrain", [starter, preset, target, tune], [started]),
        ("training_status", [asked], [status]),
        ("control_training", [action, which, controller], [controlled]),
    ):
        handler = getattr(handlers, name)
        heavy = name in ("recognize", "timeline", "explain", "correct")
        trigger.click(
            shows_errors(handler),
            inputs,
            outputs,
            api_name=name,
            api_description=handler.__doc__,
            **(RECOGNITION if heavy else {}),
        )


def served_copy(path: Path, clip_id: int) -> Path:
    """Copy the store's FLAC file of a clip to where Gradio may serve it, named after the clip; returns the copy."""
    folder = Path(get_upload_folder()) / secrets.token_hex(32)
    folder.mkdir(parents=True)
    return Path(shutil.copyfile(path, folder / f"clip-{clip_id}.flac"))
