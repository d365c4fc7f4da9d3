"""Drag-in import on the review tab: recordings, tables, archives; with progress and a stop button."""

import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import gradio as gr

from annotations.errors import ConsentRequiredError
from annotations.exchange.imports.importing import ImportOptions, ImportProgress, ImportReport, import_sources
from annotations.prelabelling import start_prelabelling
from annotations.store.records import CONSENT_PURPOSES
from ser.errors import SerError
from ui.backend.identity import Who, person
from ui.backend.services import Services
from ui.parts.errors import shows_errors
from ui.parts.presentation import escape, progress_bar

LOOK = 0.3
"""Seconds between two pictures of the progress."""

MOST_NAMED = 8
"""Failed files that are named on the page."""


class ImportHandlers:
    """Events of this card, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._stopping: dict[str, threading.Event] = {}

    def on_import(
        self,
        files: Sequence[str] | None,
        consent: list[str],
        labels: str,
        answer: bool,
        who: Who,
        request: gr.Request,
    ) -> Iterator[tuple[str, object]]:
        """Import what was dropped; yields the progress, at the end what was done."""
        importer = person(self.services, request, who).require("import clips")
        if not files:
            raise SerError("Drop recordings, a zip archive, or recordings with their metadata.csv first.")
        options = ImportOptions(
            consent=tuple(consent),
            consent_by=importer.name,
            labels=labels == "votes",
            gold=labels == "gold",
            max_duration=self.services.recognizer.max_duration,
        )
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
            shutil.copyfile(path, target)
        except FileNotFoundError as error:
            raise SerError(f"'{path.name}' is not here any more. Clear the list, and drop the files again.") from error
    return [together, *archives]


def progress(step: ImportProgress) -> str:
    """Draw the progress of an import as HTML."""
    failed = f" · {step.failed} failed" if step.failed else ""
    return (
        f'<p role="status"><strong>{step.done}</strong> of {step.total} · {step.added} new{failed} · '
        f"{escape(step.name)}</p>{progress_bar('Import', step.done / max(step.total, 1))}"
    )


def summary(report: ImportReport, background: bool) -> str:
    """Describe an import as HTML."""
    # On the command line they stand above the summary.
    lines = [escape(line.replace("named above", "named below")) for line in report.lines()]
    if background:
        lines.append("The model pre-labels them in the background, so that the least sure can come first.")
    failed = "".join(
        f"<li><strong>{escape(name)}</strong>: {escape(reason)}</li>" for name, reason in report.failed[:MOST_NAMED]
    )
    more = f"<li>and {len(report.failed) - MOST_NAMED} more</li>" if len(report.failed) > MOST_NAMED else ""
    kind = "gentle" if report.failed else "good"
    return f'<p class="status {kind}" role="status">{" ".join(lines)}</p><ul class="notes">{failed}{more}</ul>'


def build_import_card(services: Services, who: gr.BrowserState) -> None:
    """Lay out the card and connect its events."""
    handlers = ImportHandlers(services)
    files = gr.File(
        label="Recordings, a zip archive, or recordings with their metadata.csv",
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
            [("ignore", "nothing"), ("import as votes", "votes"), ("use as gold answers", "gold")],
            value="nothing",
            label="Labels in the table",
            elem_id="import-labels",
        )
    answer = gr.Checkbox(True, label="Pre-label with the model", elem_id="import-answer")
    with gr.Row(elem_classes="save-row"):
        start = gr.Button("Import", variant="primary", elem_id="import-start", scale=0, min_width=150)
        stop = gr.Button("Stop", elem_id="import-stop", scale=0, min_width=100)
    status = gr.HTML("", elem_id="import-status", apply_default_css=False)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    given = [files, consent, labels, answer, who]
    start.click(shows_errors(handlers.on_import), given, [status, files], trigger_mode="once", **quiet)
    stop.click(shows_errors(handlers.on_stop), who, None, **quiet)
