"""The services of every tab in one value, built once when the page starts."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from annotations.elsewhere.saver import Saver
from annotations.labels.label_set import LabelSet
from annotations.labels.stored import label_set, label_set_number
from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.versions.active import ActiveModel
from annotations.raters.people import Access
from annotations.store import AnnotationStore
from ser.recognizer import Recognizer
from ser.types import Recognition
from ui.backend.jobs import Jobs
from ui.backend.limits import Limits
from ui.backend.turns import Turns, Waiting
from ui.backend.uploads import Uploads
from ui.live.streams import LiveStreams
from ui.operations.measures import Measures
from ui.parts.presentation import as_written, escape
from ui.parts.saving import saved_line
from ui.recognize.session_profiles import SessionProfiles

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """The domain as the page sees it.

    Attributes:
        active_model: the recogniser, kept on the current model version, and the store that says which it is.
        retrainer: trains in a process of its own.
        uploads: the files of open sessions.
        access: which roles people have.
        profiles: what the recordings of each open session have in common.
        turns: in which recordings are answered.
        limits: on what strangers may use up.
        saver: saves the store elsewhere; None if the data folder is all there is.
        measures: counts and times for who operates the page.
        jobs: acts that take longer than a request.
        live: streams of microphones.
    """

    active_model: ActiveModel
    retrainer: Retrainer
    uploads: Uploads = field(default_factory=Uploads)
    access: Access = field(default_factory=Access)
    profiles: SessionProfiles = field(default_factory=SessionProfiles)
    turns: Turns = field(default_factory=Turns)
    limits: Limits = field(default_factory=Limits)
    saver: Saver | None = None
    measures: Measures = field(default_factory=Measures)
    jobs: Jobs = field(default_factory=Jobs)
    live: LiveStreams = field(default_factory=LiveStreams)

    @property
    def recognizer(self) -> Recognizer:
        """The recogniser that answers now."""
        return self.active_model.recognizer

    @property
    def store(self) -> AnnotationStore:
        """The store of clips and votes."""
        return self.active_model.store

    @property
    def labels(self) -> LabelSet:
        """Labels that people can choose, as they stand now."""
        return label_set(self.store)

    def answers(
        self, connection: str, seconds: float, steps: Callable[[], Iterator[T]], budget: float | None = None
    ) -> Iterator[T | Waiting]:
        """Answer a recording in its turn, as `Turns.run`, and count the answer."""
        last: object = None
        asked = time.perf_counter()
        waited = False
        for step in self.turns.run(connection, seconds, steps, budget):
            if not isinstance(step, Waiting):
                if not waited:
                    self.measures.took("queue_and_first_step", time.perf_counter() - asked)
                waited, last = True, step
            yield step
        if isinstance(last, Recognition):
            self.measures.answered(last)

    @property
    def label_version(self) -> int:
        """Number of the last change of the labels; a page that knows an earlier one has to draw them anew."""
        return label_set_number(self.store)

    def header(self) -> str:
        """The page's first lines: its name, the current models, and when all was last saved elsewhere, as HTML."""
        transcriber = self.recognizer.transcriber
        words = transcriber.name if transcriber else "none"
        saving = None if self.saver is None else self.saver.status()
        return (
            '<div class="masthead"><h1 translate="no">Speech Emotion Studio</h1><p>model: <strong translate="no">'
            f"{escape(self.store.active_version().name)}</strong> · transcripts: "
            f'<strong title="{escape(self.recognizer.transcriber_reason)}">{as_written(words)}</strong></p>'
            f"{saved_line(saving, 'SPACE_ID' in os.environ)}</div>"
        )
