"""The guidelines as a window that one key opens, and its editor for maintainers."""

import gradio as gr
from markdown_it import MarkdownIt

from annotations.raters.guidelines import Guidelines, list_guidelines, read_guidelines, write_guidelines
from ui.backend.identity import person
from ui.backend.services import Services
from ui.parts.calls import Act, Given, whole_number
from ui.parts.presentation import escape
from ui.train.run_cards import moment

# "js-default" escapes HTML and checks links: what a maintainer writes reaches every annotator's page.
MARKDOWN = MarkdownIt("js-default", {"linkify": False}).enable("table")


def guidelines_dialog() -> str:
    """The window, empty; the page's script fills it when it is opened."""
    return (
        '<dialog id="guidelines-dialog" aria-labelledby="guidelines-title"><header>'
        '<p id="guidelines-title" class="quiet">Guidelines</p>'
        '<button type="button" class="edit" hidden>Edit</button>'
        '<button type="button" class="close" autofocus>Close</button></header>'
        '<article class="prose"></article>'
        '<form class="editor" hidden><label>Markdown<textarea rows="18"></textarea></label>'
        '<p class="status gentle" role="status"></p><div class="save-row">'
        '<select class="versions" aria-label="Earlier versions"></select>'
        '<button type="button" class="cancel">Cancel</button>'
        '<button type="button" class="primary save">Save as a new version</button></div></form></dialog>'
    )


class GuidelinesHandlers:
    """Requests of the window to the server."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def acts(self) -> dict[str, Act]:
        """{name: method} for `ui.parts.calls`."""
        return {"guidelines": self.on_read, "write_guidelines": self.on_write}

    def on_read(self, given: Given, request: gr.Request) -> dict[str, object]:
        """The text that stands, or an earlier version."""
        version = given.get("version")
        return self._shown(
            read_guidelines(self.services.store, None if version is None else whole_number(given, "version")),
            given,
            request,
        )

    def on_write(self, given: Given, request: gr.Request) -> dict[str, object]:
        """A maintainer has edited the text."""
        writer = person(self.services, request, given.get("who"))
        replaces = whole_number(given, "replaces", 0)
        text = write_guidelines(self.services.store, str(given.get("text") or ""), writer, replaces=replaces)
        return self._shown(text, given, request)

    def _shown(self, text: Guidelines, given: Given, request: gr.Request) -> dict[str, object]:
        reader = person(self.services, request, given.get("who"))
        editable = reader.may("edit the guidelines")
        versions = (
            [(entry.version, _named(entry, with_editor=True)) for entry in list_guidelines(self.services.store)]
            if editable
            else []
        )
        return {
            # What comes with the program is translated, what people wrote is not.
            "html": MARKDOWN.render(text.text)
            if not text.version
            else f'<div translate="no">{MARKDOWN.render(text.text)}</div>',
            "text": text.text,
            "version": text.version,
            "title": escape(_named(text, with_editor=editable)),
            "editable": editable,
            "versions": versions,
        }


def _named(text: Guidelines, *, with_editor: bool) -> str:
    if text.created_at is None:
        return "Guidelines · as they come with the program"
    editor = f" by {text.edited_by}" if with_editor else ""
    return f"Guidelines · version {text.version}{editor}, {moment(text.created_at)}"
