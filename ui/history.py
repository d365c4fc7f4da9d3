"""The fourth tab: the last votes and runs, undo of one's own last vote, and all about one clip, its end included."""

from collections.abc import Sequence

import gradio as gr

from annotations.maintenance.erasure.erase import ErasureReport, erase_clip, withdraw_consent
from annotations.raters.disclosure import own_consents, visible_clip_history, visible_history
from annotations.raters.people import Person
from annotations.raters.votes import gold_labels, mark_gold, unmark_gold
from annotations.store.records import HistoryEntry, TrainingRun
from ser.errors import SerError
from ui.backend.identity import Who, person
from ui.backend.services import Services
from ui.parts.errors import shows_errors
from ui.parts.palette import icon
from ui.parts.player import player
from ui.parts.presentation import as_written, clock, escape, percent
from ui.train.run_cards import moment

LIMIT = 50


class HistoryHandlers:
    """Events of this tab, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_open(self, who: Who, request: gr.Request) -> tuple[str, str]:
        """The tab came to the front: table, and an empty line under the button."""
        looking = person(self.services, request, who)
        note = "" if looking.may("see other people's votes") else ONLY_OWN
        return note + history_table(visible_history(self.services.store, looking, LIMIT)), ""

    def on_undo(self, who: Who, request: gr.Request) -> tuple[str, str]:
        """Take the rater's own last vote back."""
        undoing = person(self.services, request, who).require_proof("take a vote back")
        undone = self.services.store.undo_last_correction(undoing.name)
        said = f"Taken back: {undone.label or undone.verdict} on clip {undone.clip_id}."
        return self.on_open(who, request)[0], status(said)

    def on_clip(self, clip_id: float | None, who: Who, request: gr.Request) -> tuple[object, ...]:
        """Show all about a clip, and what the person may do with it."""
        looking = person(self.services, request, who).require("review stored clips")
        clip = self.services.store.get_clip(self._number(clip_id))
        entries = visible_clip_history(self.services.store, looking, clip.id)
        own = looking.proved and own_consents(self.services.store, looking.name, clip.id)
        sound = player(self.services.store.clip_path(clip), clip.duration, f"Clip {clip.id}")
        return (
            sound + clip_table(entries) + f'<p class="clip-line">allowed for: {", ".join(clip.consent)}</p>',
            gr.update(visible=looking.may("erase")),
            gr.update(visible=bool(own)),
            gr.update(visible=looking.may("erase")),
            gr.update(visible=False),
            "",
        )

    def on_ask(self, clip_id: float | None, who: Who, request: gr.Request) -> tuple[object, str]:
        """Erase was pressed: show what would go, and ask once more."""
        asking = person(self.services, request, who).require("erase")
        report = erase_clip(self.services.store, self._number(clip_id), by=asking.name, dry_run=True)
        return gr.update(visible=True, value=f"Yes, erase clip {self._number(clip_id)} for good"), report_text(report)

    def on_erase(self, clip_id: float | None, who: Who, request: gr.Request) -> tuple[object, str, str]:
        """Erase a clip after confirmation, and report it."""
        erasing = person(self.services, request, who).require("erase")
        report = erase_clip(self.services.store, self._number(clip_id), by=erasing.name)
        return gr.update(visible=False), report_text(report), ""

    def on_withdraw(self, clip_id: float | None, who: Who, request: gr.Request) -> tuple[str, str]:
        """Withdraw the person's own consent."""
        withdrawing = person(self.services, request, who)
        return report_text(withdraw_own(self.services, withdrawing, self._number(clip_id))), ""

    def on_gold(self, clip_id: float | None, label: str | None, who: Who, request: gr.Request) -> str:
        """Mark a clip with its known answer, so that raters can be measured by it."""
        marking = person(self.services, request, who).require("change settings")
        if label is None:
            raise SerError("Choose the known answer first.")
        mark_gold(self.services.store, self._number(clip_id), label, by=marking.name)
        return status(f"Clip {self._number(clip_id)} is known to be {label}: raters are measured by it.")

    def on_unmark(self, clip_id: float | None, who: Who, request: gr.Request) -> str:
        """Take a clip's known answer back."""
        marking = person(self.services, request, who).require("change settings")
        number = self._number(clip_id)
        if number not in gold_labels(self.services.store):
            raise SerError(f"Clip {number} has no known answer. Choose a clip that has one.")
        unmark_gold(self.services.store, number, by=marking.name)
        return status(f"Clip {number} has no known answer any more: raters are not measured by it.")

    def _number(self, clip_id: float | None) -> int:
        if clip_id is None:
            raise SerError("Type the number of a clip first; it stands in the table.")
        return int(clip_id)


ONLY_OWN = '<p class="quiet">Your own votes, and others’ on clips whose voting is over.</p>'


def withdraw_own(services: Services, person: Person, clip_id: int) -> ErasureReport:
    """Take back every consent that a person has given for a clip.

    Raises:
        SerError: if they have given none, or nothing proves who they are.
    """
    name = person.require_proof("withdraw a consent").name
    own = own_consents(services.store, name, clip_id)
    if not own:
        raise SerError(f"{name} has allowed nothing for clip {clip_id}: only who consented can withdraw it here.")
    return withdraw_consent(services.store, clip_id, own, name)


def status(message: str) -> str:
    """A good sentence."""
    return f'<p class="status good" role="status">{escape(message)}</p>'


def report_text(report: ErasureReport) -> str:
    """Describe an erasure as HTML."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in report.lines())
    return f'<ul class="notes erased" role="status">{lines}</ul>'


def clip_table(entries: Sequence[HistoryEntry]) -> str:
    """Everything said of one clip, oldest first: people and models."""
    rows = "".join(map(_clip_row, entries))
    return (
        '<div class="scrolls" tabindex="0" role="region" aria-label="All about the clip">'
        '<table class="plain history"><thead><tr><th scope="col">when</th><th scope="col">who</th>'
        f'<th scope="col">what</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _clip_row(entry: HistoryEntry) -> str:
    if entry.correction is not None:
        vote = entry.correction
        seen = {True: " · saw the model’s answer", False: " · did not see the model’s answer", None: ""}
        return (
            f"<tr{' class=retracted' if vote.retracted_at else ''}><td>{moment(entry.at)}</td>"
            f"<td>{as_written(vote.rater)}</td><td>{_vote(entry)}{seen[vote.answer_shown]}</td></tr>"
        )
    answer = entry.prediction
    assert answer is not None
    fused = answer.scores["fused"] or {}
    name = entry.version.name if entry.version else answer.model_version_id
    return (
        f"<tr><td>{moment(entry.at)}</td><td>model {as_written(name)}</td>"
        f"<td>{icon(answer.label)} {escape(answer.label)} {percent(fused.get(answer.label, 0.0))}</td></tr>"
    )


def history_table(entries: Sequence[HistoryEntry]) -> str:
    """Votes and runs, newest first; what was taken back is struck through."""
    if not entries:
        return (
            '<div class="empty-queue"><h3>Nothing has happened yet</h3>'
            "<p>Votes from Recognize and Review and training runs appear here.</p></div>"
        )
    return (
        '<div class="scrolls" tabindex="0" role="region" aria-label="Last votes and runs">'
        '<table class="plain history"><thead><tr><th scope="col">when</th><th scope="col">who</th>'
        '<th scope="col">what</th><th scope="col">model said</th><th scope="col">clip</th></tr></thead>'
        f"<tbody>{''.join(map(_row, entries))}</tbody></table></div>"
    )


def _row(entry: HistoryEntry) -> str:
    if entry.run is not None:
        return _run_row(entry.at, entry.run)
    vote = entry.correction
    assert vote is not None
    said = f"{icon(entry.prediction.label)} {escape(entry.prediction.label)}" if entry.prediction else "–"
    clip = f"{vote.clip_id} · {clock(entry.clip.duration)}" if entry.clip else str(vote.clip_id)
    return (
        f"<tr{' class=retracted' if vote.retracted_at else ''}><td>{moment(entry.at)}</td>"
        f"<td>{as_written(vote.rater)}</td><td>{_vote(entry)}</td><td>{said}</td><td>{clip}</td></tr>"
    )


def _vote(entry: HistoryEntry) -> str:
    vote = entry.correction
    assert vote is not None
    what = f"{icon(vote.label)} {escape(vote.label)}" if vote.label else escape(vote.verdict)
    parts = [what]
    if vote.distribution:
        shares = sorted(vote.distribution.items(), key=lambda pair: -pair[1])
        parts.append(", ".join(f"{label} {percent(share)}" for label, share in shares if share))
    parts += [
        f"{name} {value}"
        for name, value in (("intensity", vote.intensity), ("valence", vote.valence), ("arousal", vote.arousal))
        if value is not None
    ]
    parts += [f"“{as_written(vote.transcript)}”"] if vote.transcript else []
    parts += [f"note: {as_written(vote.comment)}"] if vote.comment else []
    if vote.seconds is not None:
        hasty = entry.clip is not None and vote.seconds < entry.clip.duration / 2
        parts.append(f"{vote.seconds:.1f} s{', before half of the clip was over' if hasty else ''}")
    return " · ".join(parts) + (" · taken back" if vote.retracted_at else "")


def _run_row(at: str, run: TrainingRun) -> str:
    reason = f" · {escape(run.reason)}" if run.reason else ""
    return (
        f'<tr class="run-row"><td>{moment(at)}</td><td>{as_written(run.started_by)}</td>'
        f'<td colspan="3">training run {run.id}: <strong>{escape(run.status)}</strong>{reason}</td></tr>'
    )


def build_history_tab(services: Services, tab: gr.Tab, who: gr.BrowserState) -> None:
    """Lay out the tab and connect its events; `tab` loads the table when it is opened."""
    handlers = HistoryHandlers(services)
    with gr.Row(elem_classes="save-row"):
        said = gr.HTML("", elem_id="history-status", apply_default_css=False)
        undo = gr.Button("Undo my last vote", scale=0, min_width=180, elem_id="history-undo")
    table = gr.HTML("", elem_id="history-table", elem_classes="panel", apply_default_css=False)
    with gr.Group(elem_classes="panel", elem_id="clip-history"):
        with gr.Row(elem_classes="save-row"):
            number = gr.Number(label="All about clip", precision=0, value=None, elem_id="clip-number", min_width=120)
            show = gr.Button("Show", elem_id="clip-show", scale=0, min_width=100)
            erase = gr.Button("Erase …", elem_id="clip-erase", scale=0, min_width=110, visible=False)
            withdraw = gr.Button("Withdraw my consent", elem_id="clip-withdraw", scale=0, min_width=220, visible=False)
        with gr.Row(elem_classes="save-row", visible=False) as known:
            label = gr.Dropdown(
                list(services.labels.names), value=None, label="Known answer", elem_id="clip-gold-label"
            )
            gold = gr.Button("Use as gold answer", elem_id="clip-gold", scale=0, min_width=180)
            unmark = gr.Button("Remove gold answer", elem_id="clip-gold-remove", scale=0, min_width=180)
        confirm = gr.Button("", variant="stop", visible=False, elem_id="clip-erase-confirm")
        outcome = gr.HTML("", elem_id="clip-outcome", apply_default_css=False)
        about = gr.HTML("", elem_id="clip-about", apply_default_css=False)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    tab.select(shows_errors(handlers.on_open), who, [table, said], **quiet)
    undo.click(shows_errors(handlers.on_undo), who, [table, said], trigger_mode="once", **quiet)
    chosen = [number, who]
    gr.on(
        [show.click, number.submit],
        shows_errors(handlers.on_clip),
        chosen,
        [about, erase, withdraw, known, confirm, outcome],
        **quiet,
    )
    erase.click(shows_errors(handlers.on_ask), chosen, [confirm, outcome], **quiet)
    confirm.click(shows_errors(handlers.on_erase), chosen, [confirm, outcome, about], trigger_mode="once", **quiet)
    withdraw.click(shows_errors(handlers.on_withdraw), chosen, [outcome, about], trigger_mode="once", **quiet)
    gold.click(shows_errors(handlers.on_gold), [number, label, who], outcome, **quiet)
    unmark.click(shows_errors(handlers.on_unmark), chosen, outcome, **quiet)
