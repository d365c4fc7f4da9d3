"""Drag-in import on the review tab: recordings, tables, archives; a preview first, then progress and a stop button."""

import functools
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import gradio as gr

from annotations.errors import ConsentRequiredError
from annotations.exchange.imports.importing import ImportOptions, ImportProgress, ImportReport, import_sources
from annotations.exchange.imports.preview import preview_sources
from annotations.prelabelling import start_prelabelling
from annotations.store.records import CONSENT_PURPOSES
from ser.errors import SerError
from ui.backend.identity import Who, person
from ui.backend.services import Services
from ui.maintain.import_outcome import preview_card, progress, summary
from ui.parts.errors import shows_errors

LOOK = 0.3
"""Seconds between two pictures of the progress."""

MOST_LABELS = 12
"""Labels whose meaning can be chosen on the page."""

KEEP, OUT = "no vote, keep as original label", "leave out"
NO_FILES = "Drop recordings, a zip archive, or recordings with their table first."


@dataclass(frozen=True)
class Meanings:
    """Labels of a preview in their order, and what a person chose that they mean; kept with the page.

    Attributes:
        names: labels as the table spells them.
        chosen: {label as the table spells it: one of the store, `KEEP` or `OUT`}.
    """

    names: tuple[str, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)

    def label_map(self) -> dict[str, str | None]:
        """As an import takes it."""
        return {name: {KEEP: None, OUT: ""}.get(label, label) for name, label in self.chosen.items()}


class ImportHandlers:
    """Events of this card, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._stopping: dict[str, threading.Event] = {}

    def on_preview(
        self,
        files: Sequence[str] | None,
        consent: list[str],
        labels: str,
        speaker: str,
        meanings: Meanings,
        who: Who,
        request: gr.Request,
    ) -> tuple[object, ...]:
        """Show what an import would do, with a choice for each label whose meaning is not plain."""
        importer = person(self.services, request, who).require("import clips")
        if not files:
            raise SerError(NO_FILES)
        options = self._options(importer.name, consent, labels, speaker, meanings)
        with tempfile.TemporaryDirectory(prefix="preview-") as folder:
            preview = preview_sources(gather([Path(name) for name in files], Path(folder)), options)
        asked = [(given, label, votes) for given, label, votes in preview.asked_labels if given != label]
        meanings = Meanings(tuple(given for given, _, _ in asked[:MOST_LABELS]), meanings.chosen)
        shown = [
            gr.update(
                visible=True,
                choices=[*self.services.labels.names, KEEP, OUT],
                label=f"{given} ({votes})",
                value=meanings.chosen.get(given) or (KEEP if label is None else label or OUT),
            )
            for given, label, votes in asked[:MOST_LABELS]
        ]
        hidden = [gr.update(visible=False)] * (MOST_LABELS - len(shown))
        ready = preview.clips > 0 and not preview.without_consent
        return preview_card(preview), gr.update(interactive=ready), meanings, *shown, *hidden

    def on_change(self) -> tuple[object, ...]:
        """Something else is to be imported, or in another way: what was shown holds no more."""
        return "", gr.update(interactive=False), Meanings(), *([gr.update(visible=False)] * MOST_LABELS)

    def on_meaning(self, place: int, label: str, meanings: Meanings) -> tuple[Meanings, object]:
        """Let a label of the table mean something else; what was shown must be looked at again."""
        if place >= len(meanings.names):
            raise SerError("Nothing is shown that this label stands in. Press Preview first.")
        chosen = {**meanings.chosen, meanings.names[place]: label}
        return Meanings(meanings.names, chosen), gr.update(interactive=False)

    def _options(self, by: str, consent: Sequence[str], labels: str, speaker: str, meanings: Meanings) -> ImportOptions:
        # A name of a column holds none of these.
        pattern = speaker.strip() if any(mark in speaker for mark in "()[]^$\\+*") else None
        return ImportOptions(
            consent=tuple(consent),
            consent_by=by,
            labels=labels == "votes",
            gold=labels == "gold",
            max_duration=self.services.recognizer.max_duration,
            label_map=meanings.label_map(),
            columns={"speaker": speaker.strip()} if speaker.strip() and pattern is None else {},
            speaker_from=pattern,
            label_set=self.services.labels,
        )

    def on_import(
        self,
        files: Sequence[str] | None,
        consent: list[str],
        labels: str,
        speaker: str,
        meanings: Meanings,
        answer: bool,
        who: Who,
        request: gr.Request,
    ) -> Iterator[tuple[str, object]]:
        """Import what was dropped; yields the progress, at the end what was done."""
        importer = person(self.services, request, who).require("import clips")
        if not files:
            raise SerError(NO_FILES)
        options = self._options(importer.name, consent, labels, speaker, meanings)
        stop = self._stopping[str(request.session_hash)] = threading.Event()
        with tempfile.TemporaryDirectory(prefix="import-") as folder:
            keeps = False
            try:
                sources = gather([Path(name) for name in files], Path(folder))
                for step in self._run(sources, options, stop):
                    if isinstance(step, ImportReport):
                        background = answer and start_prelabelling(self.services.store)
                        yield summary(step, background), None
                    else:
                        yield progress(step), gr.skip()
            except ConsentRequiredError:
                # Nothing was stored, and the page shows the files still: they can be imported once consent is ticked.
                keeps = True
                raise
            finally:
                # A closed page ends the generator, and the import with it: what is stored stays.
                stop.set()
                for name in () if keeps else files:
                    with self.services.uploads.borrow(name):
                        pass

    def on_stop(self, who: Who, request: gr.Request) -> None:
        """End the import of this page after the clip it is at."""
        person(self.services, request, who).require("import clips")
        event = self._stopping.get(str(request.session_hash))
        if event is not None:
            event.set()

    def _run(
        self, sources: Sequence[Path], options: ImportOptions, stop: threading.Event
    ) -> Iterator[ImportProgress | ImportReport]:
        steps: queue.Queue[ImportProgress | ImportReport | SerError] = queue.Queue()

        def work() -> None:
            try:
                steps.put(
                    import_sources(
                        self.services.store, sources, options, on_progress=steps.put, should_stop=stop.is_set
                    )
                )
            except SerError as error:
                steps.put(error)

        thread = threading.Thread(target=work, name="import", daemon=True)
        thread.start()
        try:
            while True:
                step = newest(steps, thread)
                if isinstance(step, SerError):
                    raise step
                yield step
                if isinstance(step, ImportReport):
                    return
        finally:
            stop.set()
            thread.join()


def newest(
    steps: "queue.Queue[ImportProgress | ImportReport | SerError]", thread: threading.Thread
) -> ImportProgress | ImportReport | SerError:
    """Return the last report of an import, waiting until there is one."""
    while True:
        try:
            step = steps.get(timeout=LOOK)
        except queue.Empty:
            if thread.is_alive() or not steps.empty():
                continue
            return SerError("The import has ended unexpectedly. What it stored stays; run it again to go on.")
        while not isinstance(step, ImportReport) and not steps.empty():
            step = steps.get()
        return step


def gather(files: Sequence[Path], folder: Path) -> list[Path]:
    """Prepare dropped files as sources of an import: archives as they are, loose files together in one folder.

    Args:
        files: in the upload cache, each in a folder of its own.
        folder: to make theirs in.
    """
    archives = [path for path in files if path.suffix.lower() == ".zip"]
    loose = [path for path in files if path not in archives]
    if not loose:
        return archives
    together = folder / f"dropped-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    together.mkdir()
    for path in loose:
        target = together / path.name
        number = 1
        while target.exists():
            number += 1
            target = together / f"{path.stem}-{number}{path.suffix}"
        try:
            link_or_copy(path, target)
        except FileNotFoundError as error:
            raise SerError(f"'{path.name}' is not here any more. Clear the list, and drop the files again.") from error
    return [together, *archives]


def link_or_copy(path: Path, target: Path) -> None:
    """Give a file a second name, which costs nothing, or a copy where the disk knows no such thing."""
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(path, target)


def build_import_card(services: Services, who: gr.BrowserState) -> None:
    """Lay out the card and connect its events."""
    handlers = ImportHandlers(services)
    meanings = gr.State(Meanings())
    files = gr.File(
        label="Recordings, a zip archive, or recordings with their table (CSV, JSON, Label Studio, ...)",
        file_count="multiple",
        height=150,
        elem_id="import-files",
    )
    with gr.Row():
        consent = gr.CheckboxGroup(
            list(CONSENT_PURPOSES),
            value=[],
            label="Consent of the speakers (an export of this program brings its own)",
            elem_id="import-consent",
        )
        labels = gr.Radio(
            [("import as votes", "votes"), ("use as gold answers", "gold"), ("ignore", "nothing")],
            value="votes",
            label="Labels in the table",
            elem_id="import-labels",
        )
    speaker = gr.Textbox(
        "",
        label="Speakers (optional): a column of the table, or a pattern in the names of files such as ^([^_]+)_",
        max_lines=1,
        elem_id="import-speaker",
    )
    answer = gr.Checkbox(True, label="Pre-label with the model", elem_id="import-answer")
    with gr.Row(elem_classes="save-row"):
        look = gr.Button("Preview", variant="primary", elem_id="import-preview", scale=0, min_width=150)
        start = gr.Button("Import", elem_id="import-start", interactive=False, scale=0, min_width=150)
        stop = gr.Button("Stop", elem_id="import-stop", interactive=False, scale=0, min_width=100)
    status = gr.HTML("", elem_id="import-status", apply_default_css=False)
    with gr.Row(elem_id="import-meanings"):
        choices = [
            gr.Dropdown(
                [*services.labels.names, KEEP, OUT],
                visible=False,
                label="label",
                elem_id=f"import-meaning-{place}",
                min_width=200,
            )
            for place in range(MOST_LABELS)
        ]
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    given = [files, consent, labels, speaker, meanings]
    shown = [status, start, meanings, *choices]
    look.click(shows_errors(handlers.on_preview), [*given, who], shown, trigger_mode="once", **quiet)
    gr.on(
        [files.upload, files.clear, files.delete, labels.input, speaker.input, consent.input],
        shows_errors(handlers.on_change),
        None,
        shown,
        **quiet,
    )
    for place, choice in enumerate(choices):
        on_meaning = functools.partial(handlers.on_meaning, place)
        choice.input(shows_errors(on_meaning), [choice, meanings], [meanings, start], **quiet)
    # Stop has something to stop from here on, and no longer, however the import ends.
    start.click(lambda: gr.update(interactive=True), None, stop, queue=False, **quiet)
    running = start.click(
        shows_errors(handlers.on_import), [*given, answer, who], [status, files], trigger_mode="once", **quiet
    )
    running.then(lambda: gr.update(interactive=False), None, stop, queue=False, **quiet)
    stop.click(shows_errors(handlers.on_stop), who, None, **quiet)
