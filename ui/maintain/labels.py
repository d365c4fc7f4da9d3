"""The labels of the store on the page: what its scripts draw, the first question, and the maintainers' editor."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from annotations.labels.files import parse_labels, to_plain
from annotations.labels.label_set import DEFAULT, LabelSet, check_name
from annotations.labels.stored import (
    Move,
    change_label_set,
    label_set_number,
    list_label_sets,
    preview_label_set,
)
from annotations.raters.names import NameTakenError
from ser.errors import SerError
from ser.labels import EMOTIONS
from ser.wording import counted
from ui.backend.identity import Who, label_texts, person
from ui.backend.services import Services
from ui.parts.calls import Act, Given, whole_number
from ui.parts.palette import css_class, icon, key_range, keys_row, palette_css, script_keys
from ui.review.form import share_fields, vote_fields
from ui.train.run_cards import moment

TEMPLATES: Mapping[str, tuple[Mapping[str, object], ...]] = {
    "Seven emotions": tuple({"name": emotion} for emotion in EMOTIONS),
    "Four emotions": tuple({"name": name} for name in ("anger", "happiness", "neutral", "sadness")),
    "Seven emotions, calm and boredom": (
        *({"name": emotion} for emotion in EMOTIONS),
        {"name": "calm"},
        {"name": "boredom"},
    ),
    "Positive, neutral, negative": (
        {"name": "positive", "means": "happiness"},
        {"name": "neutral"},
        {"name": "negative", "means": ["anger", "disgust", "fear", "sadness"]},
    ),
    "Customers": (
        {"name": "satisfied", "means": "happiness"},
        {"name": "neutral"},
        {"name": "annoyed", "means": ["anger", "disgust"]},
        {"name": "confused"},
        {"name": "in distress", "means": ["fear", "sadness"]},
    ),
}
"""Sets to start from, by the name that the editor offers."""

EARLIER = 20
"""Greatest number of earlier sets that can be taken again on the page."""

MOST_LABELS_GIVEN = 50
"""Greatest number of labels of earlier votes that the editor lists, those with the most votes."""


class LabelHandlers:
    """Requests of the page's scripts to the server, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def acts(self) -> dict[str, Act]:
        """{name: method} for `ui.parts.calls`."""
        return {
            "labels": self.on_labels,
            "edit_labels": self.on_edit,
            "preview_labels": self.on_preview,
            "change_labels": self.on_change,
        }

    def on_labels(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Return what the page's scripts draw that depends on the labels."""
        labels = self.services.labels
        texts = label_texts(labels, request)
        return {
            "version": self.services.label_version,
            "keys": script_keys(labels),
            "range": key_range(labels),
            "css": palette_css(labels),
            "votes": vote_fields(labels, texts),
            "shares": share_fields(labels, texts),
            "row": keys_row(labels, texts),
        }

    def on_edit(self, given: Given, request: gr.Request) -> dict[str, object]:
        """A maintainer opens the editor: the set in force, sets to start from, and earlier votes."""
        self._editor(given, request)
        labels, changes = self.services.labels, list_label_sets(self.services.store)
        return {
            **to_plain(labels),
            "version": self.services.label_version,
            "emotions": [(emotion, icon(emotion), css_class(emotion)) for emotion in EMOTIONS],
            "templates": [(name, list(rows)) for name, rows in TEMPLATES.items()],
            "earlier": [
                (f"{moment(change.at)}, {change.by}: {', '.join(change.labels.names)}", to_plain(change.labels))
                for change in changes[1 : EARLIER + 1]
            ],
            "said": _changed(changes[0].by, changes[0].at)
            if changes
            else "Nobody has chosen labels yet: the seven emotions hold.",
            "moves": self._moves(preview_label_set(self.services.store, labels)[1], labels),
        }

    def on_preview(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Show the set as it would hold, what it lacks filled in, and how many votes would move."""
        self._editor(given, request)
        labels, forget = self._wanted(given)
        joined, moves = preview_label_set(self.services.store, labels, forget=forget)
        return {**to_plain(joined), "moves": self._moves(moves, joined), "said": summary(joined, moves)}

    def on_change(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Let the set hold from now on, for everybody; the page need not be started again."""
        editor = self._editor(given, request)
        labels, forget = self._wanted(given)
        change_label_set(
            self.services.store, labels, by=editor.name, forget=forget, replaces=whole_number(given, "replaces", 0)
        )
        return {"version": self.services.label_version, "said": f"Saved: {', '.join(labels.names)}."}

    def on_question(self, who: Who, request: gr.Request) -> str:
        """Ask a maintainer of an empty store once which labels it is to have; nobody else sees anything."""
        store = self.services.store
        try:
            asked = person(self.services, request, who).may("change settings")
        except NameTakenError:
            return ""
        if not asked or label_set_number(store) or store.fetch("SELECT 1 FROM clips LIMIT 1"):
            return ""
        return question()

    def _editor(self, given: Given, request: gr.Request) -> Any:
        return person(self.services, request, given.get("who")).require("change settings")

    def _wanted(self, given: Given) -> tuple[LabelSet, list[str]]:
        """The set that the editor sent, and the earlier labels that are to count nowhere."""
        rows, mapping = given.get("labels"), given.get("mapping") or {}
        if given.get("default") is True:
            rows = to_plain(DEFAULT)["labels"]
        if not isinstance(mapping, Mapping) or not all(isinstance(new, str) for new in mapping.values()):
            raise SerError("The mapping is no table of names. Load the page again.")
        chosen = {check_name(old): new for old, new in mapping.items()}
        forget = [old for old, new in chosen.items() if not new]
        kept = {old: new for old, new in chosen.items() if new}
        return parse_labels({"labels": rows, "mapping": kept}), forget

    def _moves(self, moves: list[Move], labels: LabelSet) -> list[dict[str, object]]:
        """Describe each label that votes were given with, for the editor."""
        return [
            {
                "given": move.given,
                "votes": move.votes,
                "own": move.given in labels.names,
                "mapped": labels.mapping.get(move.given),
                "place": move.after,
                "words": move.words(),
            }
            for move in moves[:MOST_LABELS_GIVEN]
        ]


def summary(labels: LabelSet, moves: list[Move]) -> str:
    """Describe what a change would do, in a sentence or two."""
    moved = sum(move.votes for move in moves if move.after is not None and move.after != (move.before or move.given))
    lost = sum(move.votes for move in moves if move.after is None)
    unknown = [label.name for label in labels if not label.means]
    parts = [
        f"{counted(moved, 'vote')} would count as another label, {lost:,} as none; all are kept as they were given."
    ]
    if unknown:
        parts.append(f"Without scores until a model is trained on votes for them: {', '.join(unknown)}.")
    return " ".join(parts)


def question() -> str:
    """The first question to a maintainer; the page's script answers it."""
    return (
        '<aside class="label-question" aria-label="Labels"><p>People label clips with <strong>seven emotions</strong> '
        "here. Do other labels suit your task better?</p>"
        '<button type="button" class="keep-labels">Keep the seven</button>'
        '<button type="button" class="edit-labels">Choose labels …</button></aside>'
    )


def label_card() -> str:
    """The maintainers' card: what labels are, and the button that opens the editor."""
    return (
        '<p class="quiet">What people choose from: names, order, keys, colours, and what each label means in the seven '
        "emotions. A change holds at once for everybody; votes stay as they were given.</p>"
        '<button type="button" class="edit-labels">Change labels …</button>'
    )


def _changed(by: str, at: str) -> str:
    return f"Changed by {by}, {moment(at)}."


def labels_dialog() -> str:
    """The editor, empty; the page's script fills it when it is opened."""
    return (
        '<dialog id="labels-dialog" aria-labelledby="labels-title"><header><h2 id="labels-title">Labels</h2>'
        '<button type="button" class="close" autofocus>Close</button></header>'
        '<div class="label-editor"><p class="quiet said"></p>'
        '<label>Start from <select class="start-from"></select></label>'
        '<ol class="label-rows" role="list"></ol><button type="button" class="add-label">Add a label</button>'
        '<section class="label-moves"><h3>Votes given so far</h3><p class="quiet">Votes stay as they were given; here '
        "you choose what they count as. It can be changed back.</p><ul role='list'></ul></section>"
        '<p class="status gentle" role="status"></p><div class="save-row">'
        '<button type="button" class="preview">Preview</button>'
        '<button type="button" class="primary save" disabled>Save for everybody</button></div></div></dialog>'
    )
