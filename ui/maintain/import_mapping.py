"""The mapping of a table to import: which column holds what, and what its labels mean here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import gradio as gr

from annotations.exchange.imports.preview import Preview
from annotations.labels.label_set import LabelSet

MOST_LABELS = 12
"""Labels whose meaning can be chosen on the page."""

KEEP, OUT = "no vote, keep as original label", "leave out"

COLUMNS = {
    "file": "Column of recordings",
    "label": "Column of labels",
    "speaker": "Column of speakers",
    "transcript": "Column of transcripts",
    "rater": "Column of raters",
    "session": "Column of sessions",
    "language": "Column of languages",
}
"""{one of `ser.corpora.tables.columns.COLUMNS`: its name on the page}, those that can be chosen there."""

NONE = "none"
"""What is shown for a column that the table does not have."""

WORD_JOINER = "\u2060"
"""A sign without width."""

SHOWN = MOST_LABELS + len(COLUMNS)
"""Choices of the card: labels first, then columns."""


@dataclass(frozen=True)
class ImportMapping:
    """Labels and columns of a preview, and what a person chose that they mean; kept with the page.

    Attributes:
        names: labels as the table spells them, in the order of the choices.
        labels: {label as the table spells it: one of the store, `KEEP` or `OUT`}, as chosen.
        found: {one of `COLUMNS`: header} as it was read.
        columns: {one of `COLUMNS`: header, or empty for none}, as chosen.
    """

    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)

    def label_map(self) -> dict[str, str | None]:
        """The meaning of labels as an import takes it."""
        return {name: {KEEP: None, OUT: ""}.get(label, label) for name, label in self.labels.items()}

    def after(self, preview: Preview) -> "ImportMapping":
        """The mapping once a preview has shown what labels and columns there are."""
        return replace(self, names=tuple(given for given, _, _ in _asked(preview)), found=dict(preview.columns))

    def chosen(self, values: Sequence[str | None]) -> "ImportMapping":
        """The mapping after a person has chosen something.

        Args:
            values: of the choices in their order; None for those that are hidden.
        """
        labels = {name: value for name, value in zip(self.names, values, strict=False) if value}
        columns = dict(self.columns)
        for name, value in zip(COLUMNS, values[MOST_LABELS:], strict=True):
            header = "" if value == NONE else value
            if header is not None and header != self.columns.get(name, self.found.get(name, "")):
                columns[name] = header
        return replace(self, labels={**self.labels, **labels}, columns=columns)

    def choices(self, preview: Preview, labels: LabelSet) -> list[object]:
        """Updates of the choices: a label whose meaning is not plain, a column of a table."""
        asked = _asked(preview)
        shown = [
            gr.update(
                visible=True,
                choices=[*labels.names, KEEP, OUT],
                label=f"{given} ({votes})",
                value=self.labels.get(given) or (KEEP if label is None else label or OUT),
            )
            for given, label, votes in asked
        ]
        hidden = [gr.update(visible=False)] * (MOST_LABELS - len(shown))
        return [*shown, *hidden, *self.column_choices(preview.headers)]

    def column_choices(self, headers: Sequence[str]) -> list[object]:
        """Updates of the choices of columns; hidden where there is no table."""
        if not headers:
            return [gr.update(visible=False, value=None)] * len(COLUMNS)
        chosen = {**self.found, **self.columns}
        choices = [NONE, *map(_as_written, headers)]
        return [gr.update(visible=True, choices=choices, value=chosen.get(name) or NONE) for name in COLUMNS]


def _as_written(header: str) -> tuple[str, str]:
    """A header to choose, shown as it is: Gradio looks names up in its catalogue, which has a part named label."""
    return f"{header}{WORD_JOINER}", header


def _asked(preview: Preview) -> list[tuple[str, str | None, int]]:
    asked = [(given, label, votes) for given, label, votes in preview.asked_labels if given != label]
    return asked[:MOST_LABELS]


def build_choices(labels: LabelSet) -> list[gr.Dropdown]:
    """Lay out the choices, which a preview fills and shows."""
    with gr.Row(elem_id="import-columns"):
        columns = [
            gr.Dropdown([NONE], visible=False, label=text, elem_id=f"import-column-{name}", min_width=200)
            for name, text in COLUMNS.items()
        ]
    with gr.Row(elem_id="import-meanings"):
        names = [*labels.names, KEEP, OUT]
        meanings = [
            gr.Dropdown(names, visible=False, label="label", elem_id=f"import-meaning-{place}", min_width=200)
            for place in range(MOST_LABELS)
        ]
    return [*meanings, *columns]
