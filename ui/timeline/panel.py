"""The timeline's place on the recognise tab, its events, and what the page's script asks for."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np

from annotations.store import NewClip, NewVote, grant
from annotations.store.new_records import Parent
from annotations.store.records import WHOLE
from annotations.store.rows import insert_clip
from ser.audio.long_recordings import LongRecording, read_long
from ser.errors import AudioError, SerError
from ser.language_model.opinion import Turn
from ser.serialization import printable
from ser.timeline.formats import FORMATS
from ser.timeline.regions import Timeline
from ser.timeline.speakers import OFF
from ser.timeline.timeline import AUTO
from ser.types import Audio, Recognition
from ui.backend.identity import charge, voter
from ui.backend.limits import MAX_TIMELINE_DURATION, TIMELINE_BUDGET
from ui.backend.services import Services
from ui.backend.turns import PRESSED, Waiting
from ui.parts.calls import Act, Given
from ui.parts.errors import shows_errors
from ui.parts.presentation import clock, status_line
from ui.recognize.capture import Capture
from ui.recognize.form import ASK_TIMELINE, consent_words
from ui.recognize.votes import changed_transcript, verdict_of
from ui.timeline.drawing import timeline_html
from ui.timeline.kept import KeptTimeline, KeptTimelines, read_channel
from ui.timeline.regions import EditedRegion, in_labels, read_regions, with_regions

CHANNELS = [("split if they differ", "auto"), ("each by itself", "split"), ("all mixed", "mix")]
SPEAKERS = [
    ("not told apart", "off"),
    ("told apart by voice", "auto"),
    *((f"{count} by voice", str(count)) for count in range(2, 6)),
]
TOO_LONG = (
    "This recording has {length}; the page takes {limit}. On the command line it may last hours: "
    "python -m ser timeline FILE"
)
MOST_SAVED = 20
"""Regions that are saved in one call: the script saves more in several, and shows how far it is."""


class TimelineHandlers:
    """The event, and the acts of the script."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.kept = KeptTimelines()

    def acts(self) -> dict[str, Act]:
        """{name: function} of what the script asks for."""
        return {"save_regions": self.save, "export_timeline": self.export}

    def on_timeline(self, path: str | None, channels: str, speakers: str, request: gr.Request) -> Iterator[str]:
        """Build the timeline of the recording that is chosen."""
        if path is None:
            yield ASK_TIMELINE
            return
        session = str(request.session_hash)
        # An example lies in the page's own folder; an upload is held for the session already, if it was short enough.
        self.services.uploads.hold(session, path)
        yield status_line("Reading the recording …", "quiet")
        recording = read_long(path)
        if recording.duration > MAX_TIMELINE_DURATION:
            said = TOO_LONG.format(length=clock(recording.duration), limit=clock(MAX_TIMELINE_DURATION, tenths=False))
            yield status_line(said, "gentle")
            return
        charge(self.services, request, "recognitions", amount=max(1.0, recording.duration / 60.0))
        recognizer = self.services.active_model.serving().recognizer

        def steps() -> Iterator[Timeline]:
            profiles = self.services.profiles.of(session)
            yield recognizer.timeline(recording, channels or AUTO, profiles=profiles, speakers=speakers or OFF)

        yield status_line(f"Answering {clock(recording.duration)} of sound …", "quiet")
        for step in self.services.answers(session, recording.duration, steps, budget=TIMELINE_BUDGET):
            if isinstance(step, Waiting):
                yield status_line(f"Place {step.place} in the queue.", "quiet")
            else:
                yield self._draw(path, recording, step, session)

    def _draw(self, path: str, recording: LongRecording, timeline: Timeline, session: str) -> str:
        name = printable(Path(path).name)
        token = self.kept.keep(KeptTimeline(Path(path), name, timeline, session, MAX_TIMELINE_DURATION))
        signal = np.concatenate(list(recording.blocks()))
        return timeline_html(timeline, signal, self.services.labels, token=token, path=path)

    def save(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Save some regions as clips of their own, each with a vote."""
        kept, labels = self.kept.get(given.get("token")), self.services.labels
        regions = read_regions(given.get("regions"), kept.timeline.duration, labels)
        consent = given.get("consent")
        if not isinstance(consent, list) or not consent:
            raise SerError("Nothing was saved: tick what the regions may be used for first.")
        if len(regions) > MOST_SAVED:
            raise SerError(f"{len(regions)} regions came at once; at most {MOST_SAVED} are taken.")
        rater = voter(self.services, request, given.get("who"))
        charge(self.services, request, "votes", amount=float(len(regions)), who=rater)
        sound = sum(region.end - region.start for region in regions)
        charge(self.services, request, "recognitions", amount=max(1.0, sound / 60.0), who=rater)
        speaker = str(given.get("speaker") or "").strip()
        grants = grant([str(purpose) for purpose in consent], rater.name, consent_words(consent))
        recording = kept.read()
        whole = read_channel(recording, None)
        if given.get("keep"):
            session, speaking = f"recording {whole.sha256[:16]}", speaker or None
            kept_for = NewClip(WHOLE, speaker=speaking, session=session, grants=grants)
            self.services.store.write_clip(whole, lambda connection: insert_clip(connection, whole, kept_for))
        sounds = {region.channel: read_channel(recording, region.channel) for region in regions}
        saved = []
        for region in regions:
            audio = sounds[region.channel].crop(region.start, region.end)
            answer, version = self._answer(audio, kept, region.start)
            verdict, label = verdict_of(
                region.label, labels.most_probable(answer.fused.as_dict()) if answer is not None else None
            )
            recognised = answer.transcript.text if answer is not None and answer.transcript is not None else ""
            vote = NewVote(
                rater.name,
                verdict,
                label=label,
                # The timeline's own words may differ from the clip's, and are no person's.
                transcript=changed_transcript(region.transcript or "", recognised) if region.written else None,
                may_replace=rater.proved,
                label_set=labels.names,
            )
            clip = NewClip(
                "page",
                speaker=_speaker_of(region, speaker),
                session=f"recording {whole.sha256[:16]}",
                grants=grants,
                parent=Parent(whole.sha256, region.start, region.end),
            )
            stored, _ = self.services.store.save_feedback(audio, answer, vote, clip, model_version_id=version)
            saved.append(stored.id)
        return {"clips": saved}

    def _answer(self, audio: Audio, kept: KeptTimeline, start: float) -> tuple[Recognition | None, int]:
        """The model's answer to a region as a clip, given the words of the regions before its start.

        None if it finds no speech in it, which a person may well.
        """
        serving = self.services.active_model.serving()
        limit = serving.recognizer.max_duration
        if limit and audio.duration > limit:
            raise SerError(f"A region lasts {audio.duration:.0f} s; a clip may have {limit:g} s. Split it first.")
        turns = [
            Turn(one.transcript, one.speaker or "")
            for one in kept.timeline.regions
            if one.transcript and (one.start + one.end) / 2 < start
        ]
        steps = self.services.answers(
            kept.session, audio.duration, lambda: serving.recognizer.recognize_steps(audio, turns=turns)
        )
        try:
            *_, answer = (step for step in steps if not isinstance(step, Waiting))
        except AudioError:
            return None, serving.version.id
        return answer, serving.version.id

    def export(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Write the timeline, as a person left it, in one of the formats."""
        kept, form, labels = self.kept.get(given.get("token")), given.get("format"), self.services.labels
        if form not in FORMATS:
            raise SerError(f"The format is '{str(form)[:60]}'; expected one of {', '.join(FORMATS)}.")
        regions = read_regions(given.get("regions"), kept.timeline.duration, labels)
        ending, write = FORMATS[str(form)]
        timeline = in_labels(kept.timeline, labels)
        timeline = with_regions(timeline, regions, labels) if regions else timeline
        return {"name": f"{kept.file}{ending}", "text": write(timeline, kept.file)}


def _speaker_of(region: EditedRegion, speaker: str) -> str | None:
    """The name of who speaks: what the person typed, and who of several it is."""
    return " ".join(filter(None, (speaker, region.speaker))) or None if speaker else None


OPEN = """() => {
  const heading = document.querySelector("#recognize-timeline > button");
  if (heading && !heading.classList.contains("open")) heading.click();
  document.querySelector("#recognize-timeline").scrollIntoView({ behavior: "smooth" });
}"""
"""Opens the place of the timeline."""


def build_timeline(handlers: TimelineHandlers, capture: Capture) -> gr.HTML:
    """Lay out the panel and connect its event; returns the timeline's place."""
    with gr.Accordion("Over time", open=False, elem_id="recognize-timeline"):
        with gr.Row(elem_classes="timeline-start"):
            button = gr.Button("Show the feeling over time", size="sm", scale=0, min_width=220, elem_id="show-timeline")
            channels = gr.Dropdown(CHANNELS, value=AUTO, label="Channels", scale=0, min_width=200, elem_id="channels")
            speakers = gr.Dropdown(SPEAKERS, value=OFF, label="Speakers", scale=0, min_width=200, elem_id="speakers")
        place = gr.HTML(ASK_TIMELINE, elem_id="timeline", apply_default_css=False)
    capture.whole.click(fn=None, js=OPEN, api_visibility="private")
    gr.on(
        [button.click, capture.whole.click],
        shows_errors(handlers.on_timeline),
        [capture.audio, channels, speakers],
        place,
        **PRESSED,
    )
    return place
