"""The form of the settings that hold for everybody who annotates, and the table of their last changes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import gradio as gr
from gradio.components import Component

from annotations.store.settings import AnnotationSettings, list_settings_changes
from ui.backend.services import Services
from ui.parts.calls import as_whole
from ui.parts.presentation import as_written
from ui.train.run_cards import moment

MASKED = {"do not mask": None, "in exports": "export", "when stored, and in exports": "store"}
"""{words: value of the setting}"""


@dataclass(frozen=True)
class SettingsForm:
    """Values of the form as a person sees them; 0 and an empty field are no limit, shares are percentages."""

    overlap: float | None
    gold: float
    blind: bool
    lease: float
    retention: float | None
    retrain_after: float | None
    retrain_at: str
    keep: float | None
    hasty: float
    masked: str

    @classmethod
    def of(cls, settings: AnnotationSettings) -> "SettingsForm":
        """Show settings."""
        return cls(
            overlap=settings.overlap or 0,
            gold=round(100 * settings.gold_rate),
            blind=settings.blind,
            lease=settings.lease_minutes,
            retention=settings.retention_days or 0,
            retrain_after=settings.retrain_after or 0,
            retrain_at=settings.retrain_at or "",
            keep=settings.keep_versions or 0,
            hasty=round(100 * settings.hasty_weight),
            masked=next(words for words, value in MASKED.items() if value == settings.mask_transcripts),
        )

    def applied(self, settings: AnnotationSettings) -> AnnotationSettings:
        """Return the settings with what the form says."""
        return replace(
            settings,
            overlap=whole(self.overlap),
            gold_rate=float(self.gold or 0) / 100,
            blind=bool(self.blind),
            lease_minutes=float(self.lease or 0),
            retention_days=whole(self.retention),
            retrain_after=whole(self.retrain_after),
            retrain_at=self.retrain_at.strip() or None,
            keep_versions=whole(self.keep),
            hasty_weight=float(self.hasty or 0) / 100,
            mask_transcripts=MASKED.get(self.masked),
        )


def whole(number: float | None) -> int | None:
    """A count as the settings want it; nothing and zero are no limit.

    >>> whole(3.0), whole(0), whole(None)
    (3, None, None)
    """
    return as_whole(number, "A number of the settings") if number else None


def build_settings() -> tuple[list[Component], gr.HTML, gr.Button]:
    """Lay out the form; returns its components in the order of `SettingsForm`, the place of the outcome, the button."""
    count = {"precision": 0, "minimum": 0}
    with gr.Row():
        overlap = gr.Number(0, label="Votes wanted per clip (0 = no limit)", elem_id="set-overlap", **count)
        gold = gr.Slider(0, 50, 0, step=1, label="Gold clips (%)", elem_id="set-gold")
        lease = gr.Number(10, minimum=0.05, label="Reserve a clip for (minutes)", elem_id="set-lease")
    with gr.Row():
        retention = gr.Number(0, label="Erase clips after days (0 = never)", elem_id="set-retention", **count)
        blind = gr.Checkbox(False, label="Hide the model answer from everybody until they vote", elem_id="set-blind")
    with gr.Row():
        after = gr.Number(
            0, label="Retrain after new votes (0 = only on request)", elem_id="set-retrain-after", **count
        )
        at = gr.Textbox("", label="Retrain daily at (HH:MM, UTC; empty = never)", max_lines=1, elem_id="set-retrain-at")
        keep = gr.Number(0, label="Newest versions that keep their weights (0 = all)", elem_id="set-keep", **count)
        hasty = gr.Slider(0, 100, 50, step=5, label="Votes within half of the clip count (%)", elem_id="set-hasty")
    masked = gr.Radio(
        list(MASKED),
        value=next(iter(MASKED)),
        label="Mask names and numbers in English transcripts",
        info="By rules, which miss some names and mask other words: it anonymises nobody.",
        elem_id="set-masked",
    )
    save = gr.Button("Save settings", variant="primary", scale=0, min_width=160, elem_id="set-save")
    status = gr.HTML("", elem_id="settings-status", apply_default_css=False)
    return [overlap, gold, blind, lease, retention, after, at, keep, hasty, masked], status, save


SHOWN_CHANGES = 5


def changes_table(services: Services) -> str:
    """The last changes of the settings: who made what of which."""
    changes = list_settings_changes(services.store)[: SHOWN_CHANGES + 1]
    if not changes:
        return ""
    before = [change.settings for change in changes[1:]] + [AnnotationSettings()]
    rows = "".join(
        f"<tr><td>{moment(change.at)}</td><td>{as_written(change.by)}</td>"
        f"<td>{_difference(old, change.settings)}</td></tr>"
        for change, old in list(zip(changes, before, strict=True))[:SHOWN_CHANGES]
    )
    return f'<table class="plain history"><tbody>{rows}</tbody></table>'


def _difference(old: AnnotationSettings, new: AnnotationSettings) -> str:
    names: Sequence[str] = [field.name for field in fields(new) if getattr(old, field.name) != getattr(new, field.name)]
    return ", ".join(f"{name}: {getattr(old, name)} → {getattr(new, name)}" for name in names) or "nothing changed"
