"""The versions' part of the training tab: promote, go back, compare, read, exchange."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import gradio as gr

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
from ui.backend.identity import Who, person
from ui.backend.services import Services
from ui.parts.calls import as_whole
from ui.parts.errors import sentence, shows_errors
from ui.parts.player import clip_players
from ui.parts.presentation import status_line
from ui.train import version_cards

LISTENED = 8
"""Changed clips to listen to; each brings its sound with it."""

USE = "choose the current model"

OWN_CARDS = {name: Path(ser.__file__).parent / "weights" / name / "README.md" for name in ("acoustic", "text")}
"""Cards of the weights that ship with the project."""


class VersionControls(NamedTuple):
    """The components of this part."""

    table: gr.HTML
    choice: gr.Dropdown
    against: gr.Dropdown
    reason: gr.Textbox
    back: gr.Button
    detail: gr.HTML
    text: gr.Markdown
    use: gr.Button
    compare: gr.Button
    card: gr.Button
    repository: gr.Textbox
    push: gr.Button
    pull: gr.Button


class Choices(NamedTuple):
    """Choices and acts, as updates of the components of the same names."""

    choice: object
    against: object
    back: object
    use: object
    compare: object
    push: object


RUNS = 20
"""Past runs that are listed."""


class VersionHandlers:
    """Events of this part; each method returns the text below the table."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def table(self) -> str:
        """All versions as they stand, and the runs that made them or made none."""
        runs = queries.list_training_runs(self.services.store, RUNS)
        return version_cards.versions_table(list_entries(self.services.store)) + version_cards.runs_table(runs)

    def newest(self) -> int | None:
        """Id of the version that was made last; None before the first."""
        return max((entry.version.id for entry in list_entries(self.services.store)), default=None)

    def choices(self, chosen: int | None = None) -> Choices:
        """List the acts that are possible for a version.

        Args:
            chosen: its id; by default the newest that was made here, else the current one.
        """
        store = self.services.store
        entries = {entry.version.id: entry for entry in list_entries(store)}
        entry = entries.get(chosen) if chosen is not None else None
        entry = entry or next((e for e in entries.values() if e.version.path is not None), None)
        entry = entry or entries[store.active_version().id]
        version = entry.version
        others = [e for e in entries.values() if e.version.target == version.target and e is not entry]
        best = [e for e in others if (e.version.id == version.parent_id if entry.in_use else e.in_use)] or others
        against = best[0].version.id if best else None
        try:
            before = way_back(store, version.target)[1].name
        except VersionNotFoundError:
            before = None
        return Choices(
            choice=gr.update(
                choices=[version_cards.named(e) for e in entries.values()], value=version.id, interactive=True
            ),
            against=gr.update(
                choices=[version_cards.named(e) for e in others], value=against, interactive=bool(others)
            ),
            back=gr.update(value=f"Roll back to {before}" if before else "Roll back", interactive=before is not None),
            use=gr.update(interactive=entry.can_be_used),
            compare=gr.update(interactive=bool(others)),
            push=gr.update(interactive=version.path is not None and version.weights_removed_at is None),
        )

    def on_choose(self, version_id: int | None) -> Choices:
        """Update the acts for a newly chosen version."""
        return self.choices(version_id)._replace(choice=gr.skip())

    def on_use(self, version_id: int | None, reason: str, who: Who, request: gr.Request) -> str:
        """Promote another version; against the comparison only with a reason."""
        name = person(self.services, request, who).require(USE).name
        version = self._chosen(version_id)
        self.services.active_model.use(version.id, by=name, reason=reason.strip() or None)
        return status_line(f"{version.name} is in use.")

    def on_roll_back(self, version_id: int | None, reason: str, who: Who, request: gr.Request) -> str:
        """Return to the previous version of the model that the chosen version belongs to."""
        name = person(self.services, request, who).require(USE).name
        target = self._chosen(version_id).target
        version = self.services.active_model.roll_back(by=name, target=target, reason=reason.strip() or None)
        return status_line(f"{version.name} is in use again.")

    def on_compare(self, version_id: int | None, against: int | None, who: Who, request: gr.Request) -> str:
        """Let two versions answer the same clips."""
        person(self.services, request, who).require("see other people's votes")
        first, second = self._chosen(against), self._chosen(version_id)
        if first.id == second.id:
            raise SerError("Choose two different versions.")
        diff = diff_versions(self.services.active_model, first, second)
        return version_cards.difference_card(diff, clip_players(self.services.store, diff.changed[:LISTENED]))

    def on_card(self, version_id: int | None) -> tuple[str, str]:
        """Read a version's model card: its head with the file to keep, and its text."""
        version = self._chosen(version_id)
        own = OWN_CARDS.get(version.target) if version.path is None and version.name.endswith(EMBEDDED) else None
        path = own or write_card(self.services.store, version)
        return version_cards.model_card(version.name, path.read_text(encoding="utf-8"))

    def on_push(self, version_id: int | None, repository: str, who: Who, request: gr.Request) -> str:
        """Publish a version on the Hub, for its owners alone."""
        person(self.services, request, who).require("export")
        version = self._chosen(version_id)
        name = _repository(repository)
        write_card(self.services.store, version)
        found = push_version(self.services.store, version, name)
        seen = "private" if found.private else "seen by everybody"
        return status_line(f"{version.name} is at {found.url}, {seen}.")

    def on_pull(self, repository: str, who: Who, request: gr.Request) -> str:
        """Take a model of the Hub as a version; it is not promoted."""
        person(self.services, request, who).require(USE)
        active = self.services.active_model
        version = pull_version(active.store, _repository(repository), load=active.load)
        return status_line(f"{version.name} is a version now and not yet in use. {comparison_of(version)['reason']}")

    def _chosen(self, version_id: int | None) -> ModelVersion:
        if version_id is None:
            raise SerError("Choose a version first.")
        return self.services.store.get_model_version(as_whole(version_id, "The version"))


def build_versions() -> VersionControls:
    """Lay this part out; `connect_versions` lets it act."""
    with gr.Group(elem_classes="panel", elem_id="versions"):
        table = gr.HTML("", elem_id="train-versions", apply_default_css=False)
        with gr.Row():
            choice = gr.Dropdown([], label="Version", interactive=False, elem_id="version-choice", min_width=200)
            against = gr.Dropdown([], label="Compare with", interactive=False, elem_id="version-against", min_width=200)
            reason = gr.Textbox(
                label="Reason (needed to override a rejected version)",
                max_lines=1,
                elem_id="version-reason",
                min_width=260,
            )
        with gr.Row(elem_id="version-acts"):
            use = gr.Button("Use this version", interactive=False, elem_id="version-use", min_width=150)
            back = gr.Button("Roll back", interactive=False, elem_id="version-back", min_width=150)
            compare = gr.Button("Compare", interactive=False, elem_id="version-compare", min_width=120)
            card = gr.Button("Model card", elem_id="version-card", min_width=120)
        with gr.Accordion("The Hub: publish, or take a model", open=False, elem_id="version-hub"):
            with gr.Row(elem_classes="save-row"):
                repository = gr.Textbox(
                    label="Repository, ORG/NAME", max_lines=1, elem_id="version-repository", min_width=200
                )
                push = gr.Button("Publish", interactive=False, elem_id="version-push", scale=0, min_width=120)
                pull = gr.Button("Take from there", elem_id="version-pull", scale=0, min_width=170)
        detail = gr.HTML("", elem_id="version-detail", apply_default_css=False)
        text = gr.Markdown("", elem_id="version-text", elem_classes="card-text")
    return VersionControls(
        table, choice, against, reason, back, detail, text, use, compare, card, repository, push, pull
    )


def connect_versions(
    services: Services, controls: VersionControls, who: gr.BrowserState, then: Callable[..., object]
) -> None:
    """Connect the events; `then` is called with each of which the tab has to show the outcome."""
    do, quiet = VersionHandlers(services), {"api_visibility": "private", "trigger_mode": "once"}
    c = controls
    acts: list[tuple[gr.Button, Callable[..., str | tuple[str, str]], list[gr.components.Component]]] = [
        (c.use, do.on_use, [c.choice, c.reason, who]),
        (c.back, do.on_roll_back, [c.choice, c.reason, who]),
        (c.compare, do.on_compare, [c.choice, c.against, who]),
        (c.card, do.on_card, [c.choice]),
        (c.push, do.on_push, [c.choice, c.repository, who]),
        (c.pull, do.on_pull, [c.repository, who]),
    ]
    for button, act, inputs in acts:
        shown = in_place(act, gives_reason=c.reason in inputs)
        event = button.click(shown, inputs, [c.detail, c.text, c.reason], show_progress_on=c.detail, **quiet)
        acted = event.then(shows_errors(do.on_choose), c.choice, _answers(c), show_progress="hidden", **quiet)
        then(acted)
    c.choice.input(shows_errors(do.on_choose), c.choice, _answers(c), show_progress="hidden", **quiet)


def in_place(
    act: Callable[..., str | tuple[str, str]], *, gives_reason: bool = False
) -> Callable[..., tuple[object, ...]]:
    """Wrap an act so that its outcome or its error appears below the table.

    Args:
        act: gives HTML, or HTML and Markdown.
        gives_reason: whether it uses up the reason: what was said for one version is not said for the next.
    """

    @functools.wraps(act)
    def call(*args: object, **kwargs: object) -> tuple[object, ...]:
        try:
            said = act(*args, **kwargs)
        except Exception as error:
            return version_cards.trouble(sentence(error)), "", gr.skip()
        html, text = said if isinstance(said, tuple) else (said, "")
        return html, text, "" if gives_reason else gr.skip()

    return call


def _answers(c: VersionControls) -> list[gr.components.Component]:
    return [c.choice, c.against, c.back, c.use, c.compare, c.push]


def _repository(name: str) -> str:
    if not name.strip():
        raise SerError("Name the repository as ORG/NAME.")
    return name.strip()
