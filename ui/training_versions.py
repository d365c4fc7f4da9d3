"""The versions' part of the training tab: put to use, go back, compare, let answer on the side, read, publish."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import gradio as gr

from annotations.errors import ClipNotFoundError, VersionNotFoundError
from annotations.learning.shadow_records import end_shadow, open_shadows, shadow_report, start_shadow
from annotations.learning.version_card import write_card
from annotations.learning.version_diff import ChangedClip, diff_versions
from annotations.learning.version_hub import push_version
from annotations.learning.versions import list_entries, way_back
from annotations.records import ModelVersion
from annotations.settings import read_settings
from ui import version_cards
from ui.errors import shows_errors
from ui.identity import Who, person
from ui.player import player
from ui.presentation import escape
from ui.services import Services

LISTENED = 8
"""Changed clips to listen to; each brings its sound with it."""

USE = "choose the model in use"


class VersionControls(NamedTuple):
    """The components of this part."""

    table: gr.HTML
    choice: gr.Dropdown
    against: gr.Dropdown
    reason: gr.Textbox
    back: gr.Button
    detail: gr.HTML
    use: gr.Button
    compare: gr.Button
    shadow: gr.Button
    card: gr.Button
    repository: gr.Textbox
    push: gr.Button


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

    def choices(self) -> tuple[dict[str, object], dict[str, object], dict[str, object]]:
        """What can be chosen, compared with, and gone back to."""
        entries = list_entries(self.services.store)
        others = [(entry.version.name, entry.version.id) for entry in entries if not entry.in_use]
        every = [(f"{e.version.name} (in use)" if e.in_use else e.version.name, e.version.id) for e in entries]
        active = self.services.store.active_version()
        try:
            before = way_back(self.services.store)[1].name
        except VersionNotFoundError:
            before = None
        return (
            gr.update(choices=others, value=others[0][1] if others else None, interactive=bool(others)),
            gr.update(choices=every, value=active.id, interactive=len(every) > 1),
            gr.update(value=f"Roll back to {before}" if before else "Roll back", interactive=before is not None),
        )

    def on_use(self, version_id: int | None, reason: str, who: Who, request: gr.Request) -> str:
        """Put another version to use; against the comparison only with a reason."""
        version = self._chosen(version_id)
        name = person(self.services, request, who).require(USE).name
        self.services.active_model.use(version.id, by=name, reason=reason.strip() or None)
        return _done(f"{version.name} is in use.")

    def on_roll_back(self, reason: str, who: Who, request: gr.Request) -> str:
        """Go back to what was in use before."""
        name = person(self.services, request, who).require(USE).name
        version = self.services.active_model.roll_back(by=name, reason=reason.strip() or None)
        return _done(f"{version.name} is in use again.")

    def on_compare(self, version_id: int | None, against: int | None, who: Who, request: gr.Request) -> str:
        """Let two versions answer the same clips."""
        person(self.services, request, who).require("see other people's votes")
        first, second = self._chosen(against), self._chosen(version_id)
        if first.id == second.id:
            raise gr.Error("Choose two different versions.", title="That did not work", print_exception=False)
        diff = diff_versions(self.services.active_model, first, second)
        return version_cards.difference_card(diff, self._players(diff.changed))

    def on_shadow(self, version_id: int | None, who: Who, request: gr.Request) -> str:
        """Let a version answer on the side, or no more where it does."""
        name = person(self.services, request, who).require(USE).name
        version, store = self._chosen(version_id), self.services.store
        if version.id in {shadow.version_id for shadow in open_shadows(store)}:
            end_shadow(store, version, f"stopped by {name}")
            return _done(f"{version.name} answers on the side no more.")
        start_shadow(store, version, by=name, hours=read_settings(store).shadow_hours or None)
        return _done(f"{version.name} answers new recordings on the side; the table shows how far the two agree.")

    def on_card(self, version_id: int | None) -> str:
        """Read a version's model card."""
        version = self._chosen(version_id)
        text = write_card(self.services.store, version).read_text(encoding="utf-8")
        return f'<h3>Model card of {escape(version.name)}</h3><pre class="card-text" tabindex="0">{escape(text)}</pre>'

    def on_push(self, version_id: int | None, repository: str, who: Who, request: gr.Request) -> str:
        """Publish a version on the Hub, for its owners alone."""
        person(self.services, request, who).require("export")
        version = self._chosen(version_id)
        if not repository.strip():
            raise gr.Error("Name the repository as ORG/NAME.", title="That did not work", print_exception=False)
        write_card(self.services.store, version)
        found = push_version(self.services.store, version, repository.strip())
        return _done(f"{version.name} is at {found.url}, {'private' if found.private else 'seen by everybody'}.")

    def _chosen(self, version_id: int | None) -> ModelVersion:
        if version_id is None:
            raise gr.Error("Choose a version first.", title="That did not work", print_exception=False)
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
            use = gr.Button("Use this version", elem_id="version-use", min_width=150)
            back = gr.Button("Roll back", interactive=False, elem_id="version-back", min_width=150)
            compare = gr.Button("Compare", elem_id="version-compare", min_width=120)
            shadow = gr.Button("Answer on the side", elem_id="version-shadow", min_width=150)
            card = gr.Button("Model card", elem_id="version-card", min_width=120)
        with gr.Accordion("Publish on the Hub (private)", open=False, elem_id="version-publish"):
            with gr.Row(elem_classes="save-row"):
                repository = gr.Textbox(
                    label="Repository, ORG/NAME", max_lines=1, elem_id="version-repository", min_width=200
                )
                push = gr.Button("Publish", elem_id="version-push", scale=0, min_width=120)
        detail = gr.HTML("", elem_id="version-detail", apply_default_css=False)
    return VersionControls(table, choice, against, reason, back, detail, use, compare, shadow, card, repository, push)


def connect_versions(
    services: Services, controls: VersionControls, who: gr.BrowserState, then: Callable[..., object]
) -> None:
    """Connect the events.

    Args:
        services: the domain.
        controls: from `build_versions`.
        who: what the browser says of itself.
        then: called with each event of which the tab has to show the outcome.
    """
    do, quiet = VersionHandlers(services), {"api_visibility": "private", "trigger_mode": "once"}
    c = controls
    acts: list[tuple[gr.Button, Callable[..., str], list[gr.components.Component]]] = [
        (c.use, do.on_use, [c.choice, c.reason, who]),
        (c.back, do.on_roll_back, [c.reason, who]),
        (c.compare, do.on_compare, [c.choice, c.against, who]),
        (c.shadow, do.on_shadow, [c.choice, who]),
        (c.card, do.on_card, [c.choice]),
        (c.push, do.on_push, [c.choice, c.repository, who]),
    ]
    for button, act, inputs in acts:
        then(button.click(shows_errors(act), inputs, c.detail, **quiet))


def _done(text: str) -> str:
    return f'<p class="status good" role="status">{escape(text)}</p>'
