"""The versions' part of the training tab: promote, go back, compare, read, exchange.

Each version has its buttons in its row; `assets/versions.js` asks for what is lacking, and shows what came of it.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import gradio as gr
from markdown_it import MarkdownIt

import ser
from annotations.errors import VersionNotFoundError
from annotations.learning.versions.card import write_card
from annotations.learning.versions.diff import diff_versions
from annotations.learning.versions.hub import pull_version, push_version
from annotations.learning.versions.registry import comparison_of, list_entries, way_back
from annotations.store import queries
from annotations.store.records import ModelVersion
from ser.config import EMBEDDED
from ser.errors import SerError
from ui.backend.identity import person
from ui.backend.jobs import Job
from ui.backend.services import Services
from ui.parts.calls import Act, Given, whole_number
from ui.parts.presentation import status_line
from ui.train import version_cards

USE = "choose the current model"

OWN_CARDS = {name: Path(ser.__file__).parent / "weights" / name / "README.md" for name in ("acoustic", "text")}
"""Cards of the weights that ship with the project."""

RUNS = 20
"""Past runs that are listed."""

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


class VersionHandlers:
    """Requests of the browser, one method each; each returns the text below the table."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def acts(self) -> dict[str, Act]:
        """{name: method} for `ui.parts.calls`."""
        acts: dict[str, Callable[[Given, gr.Request], str]] = {
            "version_use": self.on_use,
            "version_back": self.on_roll_back,
            "version_card": self.on_card,
            "version_push": self.on_push,
            "version_pull": self.on_pull,
        }
        return {"version_compare": self.on_compare, **{name: _html(act) for name, act in acts.items()}}

    def table(self) -> str:
        """All versions as they stand, and the runs that made them or made none."""
        store = self.services.store
        entries, ways_back = list_entries(store), {}
        for target in {entry.version.target for entry in entries}:
            with suppress(VersionNotFoundError):
                ways_back[target] = way_back(store, target)[1].name
        runs = queries.list_training_runs(store, RUNS)
        return version_cards.versions_table(entries, ways_back) + version_cards.runs_table(runs)

    def on_use(self, given: Given, request: gr.Request) -> str:
        """Promote another version; against the comparison only with a reason."""
        name = person(self.services, request, given.get("who")).require(USE).name
        version = self._chosen(given)
        self.services.active_model.use(version.id, by=name, reason=_text(given, "reason") or None)
        return status_line(f"{version.name} is in use.")

    def on_roll_back(self, given: Given, request: gr.Request) -> str:
        """Return to the previous version of the model that the chosen version belongs to."""
        name = person(self.services, request, given.get("who")).require(USE).name
        target = self._chosen(given).target
        version = self.services.active_model.roll_back(by=name, target=target)
        return status_line(f"{version.name} is in use again.")

    def on_compare(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Begin to let two versions answer the same clips; the job shows how far it is, and can be stopped."""
        name = person(self.services, request, given.get("who")).require("see other people's votes").name
        first, second = self._chosen(given, "against"), self._chosen(given)
        if first.id == second.id:
            raise SerError("Choose two different versions.")

        def work(job: Job) -> None:
            found = diff_versions(self.services.active_model, first, second, on_step=job.step)
            job.html = version_cards.difference_card(found)

        return {"job": self.services.jobs.start(name, work)}

    def on_card(self, given: Given, request: gr.Request) -> str:
        """Read a version's model card: its head with the file to keep, and its text."""
        version = self._chosen(given)
        own = OWN_CARDS.get(version.target) if version.path is None and version.name.endswith(EMBEDDED) else None
        path = own or write_card(self.services.store, version)
        head, text = version_cards.model_card(version.name, path.read_text(encoding="utf-8"))
        return f'{head}<div class="card-text prose">{MARKDOWN.render(text)}</div>'

    def on_push(self, given: Given, request: gr.Request) -> str:
        """Publish a version on the Hub, for its owners alone."""
        person(self.services, request, given.get("who")).require("export")
        version = self._chosen(given)
        name = _repository(given)
        write_card(self.services.store, version)
        found = push_version(self.services.store, version, name)
        seen = "private" if found.private else "seen by everybody"
        return status_line(f"{version.name} is at {found.url}, {seen}.")

    def on_pull(self, given: Given, request: gr.Request) -> str:
        """Take a model of the Hub as a version; it is not promoted."""
        person(self.services, request, given.get("who")).require(USE)
        active = self.services.active_model
        version = pull_version(active.store, _repository(given), load=active.load)
        return status_line(f"{version.name} is a version now and not yet in use. {comparison_of(version)['reason']}")

    def _chosen(self, given: Given, name: str = "version") -> ModelVersion:
        if given.get(name) is None:
            raise SerError("Choose a version first.")
        return self.services.store.get_model_version(whole_number(given, name))


def build_versions() -> tuple[gr.HTML, gr.Button]:
    """Lay this part out.

    Returns:
        The table, and a button that no person sees: the script presses it once something has changed.
    """
    with gr.Group(elem_classes="panel", elem_id="versions"):
        table = gr.HTML("", elem_id="train-versions", apply_default_css=False)
        gr.HTML(HUB_AND_DETAIL, apply_default_css=False)
        changed = gr.Button("Look again", elem_id="train-look", visible="hidden")
    return table, changed


HUB_AND_DETAIL = (
    '<details class="hub"><summary>Take a model from the Hub</summary><label>Repository, ORG/NAME '
    '<input name="repository" autocomplete="off"></label> <button type="button" data-version-act="pull">Take it'
    '</button></details><div id="version-detail" role="status"></div>'
    '<dialog id="version-ask" aria-labelledby="version-ask-title"><form method="dialog">'
    '<h2 id="version-ask-title"></h2><label class="ask-field"></label><div class="save-row">'
    '<button type="button" class="confirm primary"></button><button type="button" class="cancel">Cancel</button>'
    "</div></form></dialog>"
)


def _html(act: Callable[[Given, gr.Request], str]) -> Act:
    return lambda given, request: {"html": act(given, request)}


def _text(given: Given, name: str) -> str:
    return str(given.get(name) or "").strip()


def _repository(given: Given) -> str:
    name = _text(given, "repository")
    if not re.fullmatch(r"\S+", name):
        raise SerError("Name the repository as ORG/NAME.")
    return name
