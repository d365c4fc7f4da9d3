"""The versions' part of the training tab: put to use, go back, compare, let answer on the side, read, exchange."""

import functools
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import gradio as gr

import ser
from annotations.errors import ClipNotFoundError, VersionNotFoundError
from annotations.learning.shadow_records import end_shadow, open_shadows, shadow_report, start_shadow
from annotations.learning.verdicts import comparison_of
from annotations.learning.version_card import write_card
from annotations.learning.version_diff import ChangedClip, diff_versions
from annotations.learning.version_hub import pull_version, push_version
from annotations.learning.versions import list_entries, way_back
from annotations.records import ModelVersion
from annotations.settings import read_settings
from ser.config import EMBEDDED
from ser.errors import SerError
from ui import version_cards
from ui.errors import sentence
from ui.identity import Who, person
from ui.player import player
from ui.services import Services

LISTENED = 8
"""Changed clips to listen to; each brings its sound with it."""

USE = "choose the model in use"

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
    shadow: gr.Button
    card: gr.Button
    repository: gr.Textbox
    push: gr.Button
    pull: gr.Button


class Choices(NamedTuple):
    """What can be chosen and done, as updates of the components of the same names."""

    choice: object
    against: object
    back: object
    use: object
    compare: object
    shadow: object
    push: object


class VersionHandlers:
    """What happens here; each method is one event and gives the text that stands below the table."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def table(self) -> str:
        """All versions as they stand."""
        store = self.services.store
        shadows = {}
        for shadow in open_shadows(store):
            report = shadow_report(store, store.get_model_version(shadow.version_id))
            if report is not None:
                shadows[shadow.version_id] = version_cards.shadow_line(report)
        return version_cards.versions_table(list_entries(store), shadows)

    def newest(self) -> int | None:
        """Id of the version that was made last; None before the first."""
        return max((entry.version.id for entry in list_entries(self.services.store)), default=None)

    def choices(self, chosen: int | None = None) -> Choices:
        """What can be done with a version.

        Args:
            chosen: its id; by default the newest that was made here, else the one in use.
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
        usable = not entry.in_use and version.weights_removed_at is None
        aside = version.id in {shadow.version_id for shadow in open_shadows(store)}
        return Choices(
            choice=gr.update(
                choices=[version_cards.named(e) for e in entries.values()], value=version.id, interactive=True
            ),
            against=gr.update(
                choices=[version_cards.named(e) for e in others], value=against, interactive=bool(others)
            ),
            back=gr.update(value=f"Roll back to {before}" if before else "Roll back", interactive=before is not None),
            use=gr.update(interactive=usable),
            compare=gr.update(interactive=bool(others)),
            shadow=gr.update(value="Stop answering" if aside else "Answer on the side", interactive=usable or aside),
            push=gr.update(interactive=version.path is not None and version.weights_removed_at is None),
        )

    def on_choose(self, version_id: int | None) -> Choices:
        """Another version was chosen: what can be done with it."""
        return self.choices(version_id)._replace(choice=gr.skip())

    def on_use(self, version_id: int | None, reason: str, who: Who, request: gr.Request) -> str:
        """Put another version to use; against the comparison only with a reason."""
        version = self._chosen(version_id)
        name = person(self.services, request, who).require(USE).name
        self.services.active_model.use(version.id, by=name, reason=reason.strip() or None)
        return version_cards.done(f"{version.name} is in use.")

    def on_roll_back(self, version_id: int | None, reason: str, who: Who, request: gr.Request) -> str:
        """Go back to what was in use before, for the model that the chosen version is one of."""
        name = person(self.services, request, who).require(USE).name
        target = self._chosen(version_id).target
        version = self.services.active_model.roll_back(by=name, target=target, reason=reason.strip() or None)
        return version_cards.done(f"{version.name} is in use again.")

    def on_compare(self, version_id: int | None, against: int | None, who: Who, request: gr.Request) -> str:
        """Let two versions answer the same clips."""
        person(self.services, request, who).require("see other people's votes")
        first, second = self._chosen(against), self._chosen(version_id)
        if first.id == second.id:
            raise SerError("Choose two different versions.")
        diff = diff_versions(self.services.active_model, first, second)
        return version_cards.difference_card(diff, self._players(diff.changed))

    def on_shadow(self, version_id: int | None, who: Who, request: gr.Request) -> str:
        """Let a version answer on the side, or no more where it does."""
        name = person(self.services, request, who).require(USE).name
        version, store = self._chosen(version_id), self.services.store
        if version.id in {shadow.version_id for shadow in open_shadows(store)}:
            end_shadow(store, version, f"stopped by {name}")
            return version_cards.done(f"{version.name} answers on the side no more.")
        start_shadow(store, version, by=name, hours=read_settings(store).shadow_hours or None)
        return version_cards.done(
            f"{version.name} answers new recordings on the side; the table shows how far the two agree."
        )

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
        return version_cards.done(f"{version.name} is at {found.url}, {seen}.")

    def on_pull(self, repository: str, who: Who, request: gr.Request) -> str:
        """Take a model of the Hub as a version; it answers the held-out feedback, and is not put to use."""
        person(self.services, request, who).require(USE)
        active = self.services.active_model
        # By name, because it brings torch in.
        compare_pulled = importlib.import_module("annotations.learning.pulled_comparison").compare_pulled
        version = pull_version(
            active.store,
            _repository(repository),
            load=active.load,
            compare=lambda target, folder: compare_pulled(active, target, folder),
        )
        return version_cards.done(
            f"{version.name} is a version now and not yet in use. {comparison_of(version)['reason']}"
        )

    def _chosen(self, version_id: int | None) -> ModelVersion:
        if version_id is None:
            raise SerError("Choose a version first.")
        return self.services.store.get_model_version(int(version_id))

    def _players(self, clips: Sequence[ChangedClip]) -> dict[int, str]:
        drawn = {}
        for clip in clips[:LISTENED]:
            try:
                stored = self.services.store.get_clip(clip.clip_id)
            except ClipNotFoundError:
                # Erased meanwhile.
                continue
            drawn[clip.clip_id] = player(Path(clip.path), stored.duration, f"Clip {clip.clip_id}")
        return drawn


def build_versions() -> VersionControls:
    """Lay this part out; `connect_versions` lets it act."""
    with gr.Group(elem_classes="panel", elem_id="versions"):
        table = gr.HTML("", elem_id="train-versions", apply_default_css=False)
        with gr.Row():
            choice = gr.Dropdown([], label="Version", interactive=False, elem_id="version-choice", min_width=200)
            against = gr.Dropdown([], label="Compare with", interactive=False, elem_id="version-against", min_width=200)
            reason = gr.Textbox(
                label="Reason (required where the comparison refused it)",
                max_lines=1,
                elem_id="version-reason",
                min_width=260,
            )
        with gr.Row(elem_id="version-acts"):
            use = gr.Button("Use this version", interactive=False, elem_id="version-use", min_width=150)
            back = gr.Button("Roll back", interactive=False, elem_id="version-back", min_width=150)
            compare = gr.Button("Compare", interactive=False, elem_id="version-compare", min_width=120)
            shadow = gr.Button("Answer on the side", interactive=False, elem_id="version-shadow", min_width=150)
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
        table, choice, against, reason, back, detail, text, use, compare, shadow, card, repository, push, pull
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
        (c.shadow, do.on_shadow, [c.choice, who]),
        (c.card, do.on_card, [c.choice]),
        (c.push, do.on_push, [c.choice, c.repository, who]),
        (c.pull, do.on_pull, [c.repository, who]),
    ]
    for button, act, inputs in acts:
        told = in_place(act, gives_reason=c.reason in inputs)
        event = button.click(told, inputs, [c.detail, c.text, c.reason], show_progress_on=c.detail, **quiet)
        acted = event.then(do.on_choose, c.choice, _answers(c), show_progress="hidden", **quiet)
        then(acted)
    c.choice.input(do.on_choose, c.choice, _answers(c), show_progress="hidden", **quiet)


def in_place(
    act: Callable[..., str | tuple[str, str]], *, gives_reason: bool = False
) -> Callable[..., tuple[object, ...]]:
    """An act whose outcome stands below the table, as does the sentence where it cannot be done.

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
    return [c.choice, c.against, c.back, c.use, c.compare, c.shadow, c.push]


def _repository(name: str) -> str:
    if not name.strip():
        raise SerError("Name the repository as ORG/NAME.")
    return name.strip()
