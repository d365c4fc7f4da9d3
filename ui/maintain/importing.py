"""Drag-in import on the review tab: recordings, tables, archives; a preview first, then progress and a stop button."""

import os
import queue
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import gradio as gr

from annotations.errors import ConsentRequiredError, UnmappedTableError
from annotations.exchange.imports.importing import ImportOptions, ImportProgress, ImportReport, import_sources
from annotations.exchange.imports.preview import preview_sources
from annotations.prelabelling import start_prelabelling
from annotations.scratch import scratch
from annotations.store.records import CONSENT_PURPOSES
from ser.errors import SerError
from ui.backend.identity import Who, person
from ui.backend.services import Services
from ui.maintain.import_mapping import MOST_LABELS, SHOWN, ImportMapping, build_choices
from ui.maintain.import_outcome import preview_card, progress, summary
from ui.parts.errors import shows_errors
from ui.parts.handlers import QUIET, from_fields
from ui.parts.presentation import status_line

LOOK = 0.3
"""Seconds between two pictures of the progress."""


@dataclass(frozen=True)
class ImportForm:
    """Values of the card.

    Attributes:
        files: that were dropped, in the upload cache.
        consent: of the speakers.
        labels: what labels in the table become: votes, gold answers, or nothing.
        speaker: a column of the table, or a pattern in the names of files; may be empty.
        mapping: what columns and labels of the table mean.
    """

    files: Sequence[str] | None
    consent: list[str]
    labels: str
    speaker: str
    mapping: ImportMapping

    def paths(self) -> list[Path]:
        """Return the files.

        Raises:
            SerError: if there are none.
        """
        if not self.files:
            raise SerError("Drop recordings, a zip archive, or recordings with their table first.")
        return [Path(name) for name in self.files]

    def options(self, services: Services, by: str) -> ImportOptions:
        """Return the options of an import by somebody."""
        speaker = self.speaker.strip()
        # A name of a column holds none of these.
        pattern = speaker if any(mark in speaker for mark in "()[]^$\\+*") else None
        columns = {"speaker": speaker} if speaker and pattern is None else {}
        return ImportOptions(
            consent=tuple(self.consent),
            consent_by=by,
            labels=self.labels == "votes",
            gold=self.labels == "gold",
            max_duration=services.recognizer.max_duration,
            label_map=self.mapping.label_map(),
            columns={**columns, **self.mapping.columns},
            speaker_from=pattern,
            label_set=services.labels,
        )


class ImportHandlers:
    """Events of this card, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._stopping: dict[str, threading.Event] = {}

    def on_preview(self, sent: ImportForm, who: Who, request: gr.Request) -> tuple[object, ...]:
        """Show what an import would do, with a choice for each column and each label whose meaning is not plain."""
        importer = person(self.services, request, who).require("import clips")
        mapping, options = sent.mapping, sent.options(self.services, importer.name)
        stopped = gr.update(interactive=False)
        with scratch("preview") as folder:
            try:
                preview = preview_sources(gather(sent.paths(), folder), options)
            except UnmappedTableError as error:
                said = status_line(f"{error} Choose the column of recordings below, then press Preview.", "gentle")
                hidden = [gr.update(visible=False)] * MOST_LABELS
                return said, stopped, mapping, *hidden, *mapping.column_choices(error.headers)
        mapping = mapping.after(preview)
        ready = gr.update(interactive=True) if preview.clips > 0 and not preview.without_consent else stopped
        return preview_card(preview), ready, mapping, *mapping.choices(preview, self.services.labels)

    def on_files(self) -> tuple[object, ...]:
        """Forget what was shown and chosen, because other files are to be imported."""
        return *self.on_change(), ImportMapping(), *([gr.update(visible=False, value=None)] * SHOWN)

    def on_change(self) -> tuple[object, object]:
        """Ask for another look, because the options of the import have changed."""
        return "", gr.update(interactive=False)

    def on_mapping(self, mapping: ImportMapping, *values: str | None) -> tuple[ImportMapping, object]:
        """Let a label or a column of the table mean something else; what was shown must be looked at again."""
        return mapping.chosen(values), gr.update(interactive=False)

    def on_import(self, sent: ImportForm, answer: bool, who: Who, request: gr.Request) -> Iterator[tuple[str, object]]:
        """Import what was dropped; yields the progress, at the end what was done."""
        importer = person(self.services, request, who).require("import clips")
        options = sent.options(self.services, importer.name)
        stop = self._stopping[str(request.session_hash)] = threading.Event()
        with scratch("import") as folder:
            keeps = False
            try:
                sources = gather(sent.paths(), folder)
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
                for name in () if keeps else sent.files or ():
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
    mapping = gr.State(ImportMapping())
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
    choices = build_choices(services.labels)
    given = [files, consent, labels, speaker, mapping]
    shown = [status, start, mapping, *choices]
    look.click(shows_errors(from_fields(handlers.on_preview)), [*given, who], shown, trigger_mode="once", **QUIET)
    gr.on([files.upload, files.clear, files.delete], shows_errors(handlers.on_files), None, shown, **QUIET)
    changes = [labels.input, speaker.input, consent.input]
    gr.on(changes, shows_errors(handlers.on_change), None, [status, start], **QUIET)
    chosen = [choice.input for choice in choices]
    gr.on(chosen, shows_errors(handlers.on_mapping), [mapping, *choices], [mapping, start], **QUIET)
    # Stop has something to stop from here on, and no longer, however the import ends.
    start.click(lambda: gr.update(interactive=True), None, stop, queue=False, **QUIET)
    running = start.click(
        shows_errors(from_fields(handlers.on_import)),
        [*given, answer, who],
        [status, files],
        trigger_mode="once",
        **QUIET,
    )
    running.then(lambda: gr.update(interactive=False), None, stop, queue=False, **QUIET)
    stop.click(shows_errors(handlers.on_stop), who, None, **QUIET)
