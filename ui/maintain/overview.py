"""Cards of the manage tab that are drawn from the store as it stands: pre-labelling, export, storage.

The page's script (`assets/manage.js`) asks for them while the tab is in front. Each card holds one thing.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from annotations.exchange.registry import list_exports
from annotations.prelabelling import Prelabelling, prelabelling_state, start_prelabelling, stop_prelabelling
from annotations.raters.people import Person
from annotations.scratch import scratch_folder
from annotations.store import AnnotationStore
from annotations.store.records import CONSENT_PURPOSES
from ser.wording import counted
from ui.backend.identity import person
from ui.backend.jobs import Job
from ui.backend.services import Services
from ui.insights.links import to_clips
from ui.parts.calls import Act, Given
from ui.parts.charts import progress_bar
from ui.parts.presentation import as_written, escape, size
from ui.train.run_cards import moment

SHOWN_EXPORTS = 8


class OverviewHandlers:
    """Requests of the browser to the server, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def acts(self) -> dict[str, Act]:
        """{name: method} for `ui.parts.calls`."""
        return {
            "manage": self.on_look,
            "prelabel": self.on_prelabel,
            "prelabel_stop": self.on_prelabel_stop,
            "backup": self.on_backup,
        }

    def on_look(self, given: Given, request: gr.Request) -> dict[str, object]:
        """The tab is in front: draw what stands now."""
        self._maintainer(given, request, "change settings")
        state = prelabelling_state(self.services.store)
        return {
            "prelabel": prelabel_card(state),
            "running": state.running,
            "export": export_card(self.services.store),
            "storage": storage_card(self.services.store),
        }

    def on_prelabel(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Let the model answer for all clips that lack an answer of the current version."""
        self._maintainer(given, request, "import clips")
        return {"started": start_prelabelling(self.services.store)}

    def on_prelabel_stop(self, given: Given, request: gr.Request) -> dict[str, object]:
        """End it after the clip it is at; what was answered stays."""
        self._maintainer(given, request, "import clips")
        stop_prelabelling(self.services.store)
        return {"stopping": True}

    def on_backup(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Copy the database as it is at this moment, to be downloaded."""
        asking = self._maintainer(given, request, "export")
        store = self.services.store

        def work(job: Job) -> None:
            job.file = scratch_folder("download") / "annotations.db"
            store.snapshot(job.file)
            job.message = f"Copied: {size(job.file.stat().st_size)}."
            job.lines.append("What is erased here from now on stays in this copy: delete it when it is not needed.")

        return {"job": self.services.jobs.start(asking.name, work)}

    def _maintainer(self, given: Given, request: gr.Request, act: str) -> Person:
        return person(self.services, request, given.get("who")).require(act)


def prelabel_card(state: Prelabelling) -> str:
    """Draw how many clips have an answer of the current model, and a button to answer the rest."""
    if not state.clips:
        return '<p class="quiet">No clips yet.</p>'
    done = (
        f"<p><strong>{state.answered:,}</strong> of {counted(state.clips, 'clip')} have an answer of the current model."
        f"</p>{progress_bar('Clips with an answer', state.answered / state.clips)}"
    )
    if state.running:
        return (
            f'{done}<p role="status">Pre-labelling now, at the lowest priority: answers of the page go before it.</p>'
            '<button type="button" class="prelabel-stop">Stop</button>'
        )
    failed = (
        f'<p class="quiet">{counted(state.failed, "clip")} could not be analysed, such as those without speech.</p>'
        if state.failed
        else ""
    )
    if state.answered == state.clips:
        return done
    return f'{done}{failed}<button type="button" class="prelabel-start">Pre-label the rest</button>'


def export_card(store: AnnotationStore) -> str:
    """Draw what may be exported for each purpose, a button to export all clips, and the exports that are kept."""
    counts = {row["purpose"]: row["clips"] for row in store.fetch(_ALLOWED)}
    clips = store.fetch("SELECT count(*) FROM clips")[0][0]
    rows = "".join(
        f"<li><strong>{to_clips(f'{counts.get(purpose, 0):,}', consent=purpose)}</strong> for {purpose}</li>"
        for purpose in CONSENT_PURPOSES
    )
    kept = list_exports(store)[-SHOWN_EXPORTS:][::-1]
    listed = "".join(
        f"<li>{as_written(one.path)} "
        f"<span class='quiet'>{escape(one.form)}, {one.purpose}, {moment(one.created_at)}</span>"
        "</li>"
        for one in kept
    )
    remembered = (
        f"<details><summary>Exports on this server, kept free of what is erased</summary><ul>{listed}</ul></details>"
        if kept
        else ""
    )
    return (
        f'<p>Of {counted(clips, "clip")} may be used:</p><ul class="tiles" role="list">{rows}</ul>'
        f'<button type="button" class="act" data-act="export" data-all="yes"{"" if clips else " disabled"}>'
        "Export all clips …</button> <span class='quiet'>A part of them: filter and select under "
        f"{to_clips('Clips')}.</span>{remembered}"
    )


def storage_card(store: AnnotationStore) -> str:
    """Draw what lies in the store's folder and how much room is left, with a button to download the database."""
    (row,) = store.fetch("SELECT count(*) AS clips, coalesce(sum(duration), 0) AS seconds FROM clips")
    folders = _sizes(store.data_dir)
    free = shutil.disk_usage(store.data_dir).free
    parts = (
        (
            f"{row['clips']:,}",
            f"{'clip' if row['clips'] == 1 else 'clips'}, {row['seconds'] / 3600:.1f} hours of speech",
        ),
        (size(folders["clips"]), "of recordings"),
        (size(folders["database"]), "of database"),
        (size(folders["other"]), "of models, logs and features"),
        (size(free), "free on the disk"),
    )
    tiles = "".join(f"<li><strong>{number}</strong> {text}</li>" for number, text in parts)
    return (
        f'<ul class="tiles" role="list">{tiles}</ul><p class="quiet" translate="no">{escape(store.data_dir)}</p>'
        '<button type="button" class="backup">Download the database</button> <span class="quiet">Votes, answers and '
        "consents; recordings are in an export.</span>"
    )


_ALLOWED = "SELECT purpose, count(*) AS clips FROM consents_in_force GROUP BY purpose"


def _sizes(folder: Path) -> Mapping[str, int]:
    found = {"clips": 0, "database": 0, "other": 0}
    for path in folder.rglob("*"):
        try:
            bytes_ = path.stat().st_size if path.is_file() else 0
        except OSError:  # It was removed since it was listed.
            continue
        top = path.relative_to(folder).parts[0]
        found["clips" if top == "clips" else "database" if top.startswith("annotations.db") else "other"] += bytes_
    return found


def card(name: str, text: str = "Looking …") -> str:
    """The place of a card before its content has come."""
    return (
        f'<div class="act-card" data-card="{name}"><div class="content"><p class="quiet">{text}</p></div>'
        '<div class="outcome" role="status"></div></div>'
    )
