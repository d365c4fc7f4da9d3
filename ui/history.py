"""The fourth tab: the last votes and runs, and undo of one's own last vote."""

from collections.abc import Sequence

import gradio as gr

from annotations import queries
from annotations.records import Correction, HistoryEntry, TrainingRun
from ui.errors import shows_errors
from ui.identity import rater_name
from ui.palette import icon
from ui.presentation import clock, escape
from ui.services import Services
from ui.training_cards import moment

LIMIT = 50


class HistoryHandlers:
    """What happens on this tab; each method is one event."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_open(self) -> tuple[str, str]:
        """The tab came to the front: table, and an empty line under the button."""
        return history_table(queries.history(self.services.store, LIMIT)), ""

    def on_undo(self, rater: str, request: gr.Request) -> tuple[str, str]:
        """Take the rater's own last vote back."""
        undone = self.services.store.undo_last_correction(rater_name(request, rater))
        said = f"Taken back: {undone.label or undone.verdict} on clip {undone.clip_id}."
        return self.on_open()[0], f'<p class="status good" role="status">{escape(said)}</p>'


def history_table(entries: Sequence[HistoryEntry]) -> str:
    """Votes and runs, newest first; what was taken back is struck through."""
    if not entries:
        return (
            '<div class="empty-queue"><h3>Nothing has happened yet</h3>'
            "<p>Votes from Recognize and Review and training runs will stand here.</p></div>"
        )
    return (
        '<table class="plain history"><thead><tr><th scope="col">when</th><th scope="col">who</th>'
        '<th scope="col">what</th><th scope="col">model said</th><th scope="col">clip</th></tr></thead>'
        f"<tbody>{''.join(map(_row, entries))}</tbody></table>"
    )


def _row(entry: HistoryEntry) -> str:
    if entry.run is not None:
        return _run_row(entry.at, entry.run)
    vote = entry.correction
    assert vote is not None
    said = f"{icon(entry.prediction.label)} {escape(entry.prediction.label)}" if entry.prediction else "–"
    clip = f"{vote.clip_id} · {clock(entry.clip.duration)}" if entry.clip else str(vote.clip_id)
    return (
        f"<tr{' class=retracted' if vote.retracted_at else ''}><td>{moment(entry.at)}</td><td>{escape(vote.rater)}</td>"
        f"<td>{_vote(vote)}</td><td>{said}</td><td>{clip}</td></tr>"
    )


def _vote(vote: Correction) -> str:
    what = f"{icon(vote.label)} {escape(vote.label)}" if vote.label else escape(vote.verdict)
    strength = f" · {vote.intensity}" if vote.intensity is not None else ""
    words = f" · “{escape(vote.transcript)}”" if vote.transcript else ""
    return what + strength + words + (" · taken back" if vote.retracted_at else "")


def _run_row(at: str, run: TrainingRun) -> str:
    reason = f" · {escape(run.reason)}" if run.reason else ""
    return (
        f'<tr class="run-row"><td>{moment(at)}</td><td>{escape(run.started_by)}</td>'
        f'<td colspan="3">training run {run.id}: <strong>{escape(run.status)}</strong>{reason}</td></tr>'
    )


def build_history_tab(services: Services, tab: gr.Tab, rater: gr.Textbox) -> None:
    """Lay out the tab and connect its events; `tab` loads the table when it is opened."""
    handlers = HistoryHandlers(services)
    with gr.Row(elem_classes="save-row"):
        status = gr.HTML("", elem_id="history-status", apply_default_css=False)
        undo = gr.Button("Undo my last vote", scale=0, min_width=180, elem_id="history-undo")
    table = gr.HTML("", elem_id="history-table", elem_classes="panel", apply_default_css=False)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(shows_errors(handlers.on_open), None, [table, status], **quiet)
    undo.click(shows_errors(handlers.on_undo), rater, [table, status], trigger_mode="once", **quiet)
