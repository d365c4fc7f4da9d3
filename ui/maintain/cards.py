"""The manage tab, for maintainers: clips in and out, how people annotate, who they are, what is stored."""

import time
from dataclasses import astuple, fields

import gradio as gr

from annotations.raters.names import NameTakenError, release_name
from annotations.raters.people import ROLES, list_people, set_role
from annotations.store.settings import change_settings, read_settings
from ui.backend.identity import Who, person
from ui.backend.services import Services
from ui.maintain.importing import build_import_card
from ui.maintain.labels import label_card
from ui.maintain.overview import card
from ui.maintain.settings import SettingsForm, build_settings, changes_table
from ui.parts.errors import shows_errors
from ui.parts.handlers import QUIET, from_fields
from ui.parts.presentation import as_written, escape, status_line
from ui.parts.saving import ago
from ui.train.run_cards import moment

SAVING_PATIENCE = 20.0
"""Seconds that *Save now* waits for the end of the save."""

SHOWN = len(fields(SettingsForm)) + 3
"""Values of the cards: the settings, their changes, the choice of names, and the people."""


class MaintainHandlers:
    """Events of these cards, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_load(self, who: Who, request: gr.Request) -> tuple[object, ...]:
        """A page opens: show the cards to maintainers alone, with what holds now."""
        try:
            visible = person(self.services, request, who).may("change settings")
        except NameTakenError:  # Said as soon as they do anything.
            visible = False
        if not visible:  # What is not shown is not sent, either.
            return gr.update(visible=False), *[gr.skip()] * SHOWN
        return gr.update(visible=True), *self._settings_shown(), *self._people_shown()

    def on_settings(self, sent: SettingsForm, who: Who, request: gr.Request) -> tuple[object, ...]:
        """Let other settings hold."""
        editor = person(self.services, request, who).require("change settings")
        change_settings(self.services.store, sent.applied(read_settings(self.services.store)), by=editor.name)
        return self._settings_shown("Saved. It holds from the next clip on.")

    def on_role(self, name: str | None, role: str, who: Who, request: gr.Request) -> tuple[object, ...]:
        """Give somebody a role."""
        editor = person(self.services, request, who).require("change roles")
        set_role(self.services.store, str(name or ""), role, editor)
        return self._people_shown(f"{name} is {role} now.")

    def on_release(self, name: str | None, who: Who, request: gr.Request) -> tuple[object, ...]:
        """Let go of a name, for somebody who comes with a new browser."""
        person(self.services, request, who).require("change roles")
        release_name(self.services.store, str(name or ""))
        return self._people_shown(f"{name} can be taken by the next browser that asks for it.")

    def _settings_shown(self, said: str = "") -> tuple[object, ...]:
        shown = SettingsForm.of(read_settings(self.services.store))
        return *astuple(shown), (status_line(said) if said else "") + changes_table(self.services)

    def _people_shown(self, said: str = "") -> tuple[object, ...]:
        people = list_people(self.services.store, self.services.access)
        rows = "".join(f'<tr><th scope="row">{as_written(one.name)}</th><td>{one.role}</td></tr>' for one in people)
        table = f'<table class="plain"><tbody>{rows}</tbody></table>' if people else '<p class="quiet">Nobody yet.</p>'
        return gr.update(choices=[one.name for one in people]), (status_line(said) if said else "") + table


class SavingHandlers:
    """Events of the card on the store elsewhere."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_open(self, who: Who, request: gr.Request) -> str:
        """Show the state of the saving."""
        person(self.services, request, who).require("change settings")
        return self._shown()

    def on_save(self, who: Who, request: gr.Request) -> str:
        """Save now, and say what came of it."""
        person(self.services, request, who).require("change settings")
        saver = self.services.saver
        if saver is None:
            return self._shown()
        saver.ask()
        end = time.monotonic() + SAVING_PATIENCE
        while (status := saver.status()).waiting and status.error is None and time.monotonic() < end:
            time.sleep(0.1)
        said = (
            ("", "") if status.error else ("It takes longer.", "gentle") if status.waiting else ("All saved.", "good")
        )
        return (status_line(*said) if said[0] else "") + self._shown()

    def _shown(self) -> str:
        if self.services.saver is None:
            return (
                "<p>Everything is in the data folder alone. Start the page with <code>--store URL</code> "
                "(<code>SER_STORE</code>) to save it to a private data set of the Hub or to a folder as well.</p>"
            )
        status = self.services.saver.status()
        rows = {
            "Place": status.url,
            "Saved": "not yet" if status.age is None else f"{ago(status.age)} ({moment(str(status.saved_at))})",
            "Changes that wait": status.waiting,
            "Files since the last snapshot": status.fragments,
            "Last snapshot": moment(status.snapshot_at) if status.snapshot_at else "before the page started",
            "Failed tries": f"{status.failures} since the last save, {status.retries} since the start",
        }
        if status.error:
            rows["Last error"] = status.error
        lines = "".join(f'<tr><th scope="row">{name}</th><td>{escape(value)}</td></tr>' for name, value in rows.items())
        return f'<table class="plain"><tbody>{lines}</tbody></table>'


def build_maintain_cards(services: Services, demo: gr.Blocks, who: gr.BrowserState) -> None:
    """Lay out the cards and connect their events.

    Args:
        services: the domain.
        demo: the page; its load event says whether the cards are shown.
        who: what the browser says of itself.
    """
    handlers = MaintainHandlers(services)
    with gr.Column(visible=False, elem_id="maintain") as cards:
        heading("Clips in and out")
        with gr.Accordion("Add clips", open=False, elem_id="maintain-import"):
            build_import_card(services, who)
        html_card("Pre-label with the model", "prelabel")
        html_card("Export", "export")
        heading("How people annotate")
        with gr.Accordion("Labels", open=False, elem_id="maintain-labels"):
            gr.HTML(label_card(), apply_default_css=False)
        with gr.Accordion("Guidelines", open=False, elem_id="maintain-guidelines"):
            gr.HTML(GUIDELINES, apply_default_css=False)
        with gr.Accordion("Settings for everybody who annotates", open=False, elem_id="maintain-settings"):
            values, settings_status, save = build_settings()
        heading("People and store")
        with gr.Accordion("People", open=False, elem_id="maintain-people"):
            with gr.Row(elem_classes="save-row"):
                name = gr.Dropdown([], label="Name", allow_custom_value=True, elem_id="people-name", min_width=180)
                role = gr.Dropdown(list(ROLES), value="annotator", label="Role", elem_id="people-role", min_width=140)
                give = gr.Button("Give role", elem_id="people-give", scale=0, min_width=120)
                release = gr.Button("Release name", elem_id="people-release", scale=0, min_width=140)
            people = gr.HTML("", elem_id="people-table", apply_default_css=False)
        html_card("Storage", "storage")
        with gr.Accordion("Backup elsewhere", open=False, elem_id="maintain-saving") as saving_card:
            saving = gr.HTML("", elem_id="saving-table", apply_default_css=False)
            save_now = gr.Button(
                "Save now", elem_id="save-now", scale=0, min_width=120, visible=services.saver is not None
            )
    saves = SavingHandlers(services)
    saving_card.expand(shows_errors(saves.on_open), who, saving, **QUIET)
    save_now.click(shows_errors(saves.on_save), who, saving, **QUIET)
    shown = [*values, settings_status]
    demo.load(shows_errors(handlers.on_load), who, [cards, *shown, name, people], **QUIET)
    save.click(shows_errors(from_fields(handlers.on_settings)), [*values, who], shown, **QUIET)
    give.click(shows_errors(handlers.on_role), [name, role, who], [name, people], **QUIET)
    release.click(shows_errors(handlers.on_release), [name, who], [name, people], **QUIET)


GUIDELINES = (
    "<p>What raters read before they label, under the key G: what each label means, and what to do in doubt. Every "
    'version is kept. <button type="button" class="open-guidelines">Read and edit</button></p>'
)


def heading(text: str) -> None:
    """A line above cards that belong together."""
    gr.HTML(f"<h2>{text}</h2>", elem_classes="manage-heading", apply_default_css=False)


def html_card(title: str, name: str) -> None:
    """A card whose content the page's script asks for."""
    with gr.Accordion(title, open=False, elem_id=f"maintain-{name}"):
        gr.HTML(card(name), apply_default_css=False)
