"""What the training tab shows: feedback, the run under way, its decision, the versions. Knows no component."""

from collections.abc import Mapping, Sequence
from typing import cast

from annotations.learning.estimate import Estimate
from annotations.learning.run_status import TrainingStatus
from annotations.records import FeedbackSummary, TrainingRun
from ui.charts import change_bars, comparison_table, curve, label_bars
from ui.presentation import clock, escape, percent

SENTENCES = {
    "idle": "No run yet.",
    "queued": "Waiting for its turn.",
    "running": "Training …",
    "paused": "Paused: what it has learnt so far is kept.",
    "promoted": "The new model is in use.",
    "refused": "The model in use stays: the new one is not measurably better.",
    "cancelled": "Cancelled: the model in use stays.",
    "failed": "The run failed: the model in use stays.",
    "interrupted": "The run was interrupted: the model in use stays.",
}


def feedback_card(summary: FeedbackSummary, missing: str | None, suspects: int = 0) -> str:
    """How much feedback there is for each label, and what a retraining still needs.

    Args:
        summary: counts.
        missing: what is lacking, as a sentence; None where there is enough.
        suspects: clips whose label is probably a mistake.
    """
    again = f" ({summary.single_vote_clips} with a single vote)" if summary.single_vote_clips else ""
    enough = f"Enough to retrain: {summary.training_clips} clips of {summary.groups} speakers or sittings."
    state = f'<p class="status {"gentle" if missing else "good"}">{escape(missing or enough)}</p>'
    return (
        f"<h3>Feedback</h3><p>{_count(summary.votes, 'vote')} on {_count(summary.clips, 'clip')} by "
        f"{_count(summary.raters, 'rater')}{again} · "
        f"{summary.new_votes:+d} since the model in use</p>"
        + label_bars(summary.labels)
        + state
        + suspects_line(suspects)
    )


def run_card(status: TrainingStatus, run: TrainingRun | None) -> str:
    """The run under way with its progress, or how the last one ended."""
    number = f"Run {status.run_id}" if status.run_id is not None else "Training"
    left = (
        f" · {clock(round(status.eta), tenths=False)} left"
        if status.state == "running" and status.eta is not None
        else ""
    )
    epochs = f" · epoch {status.epoch} of {status.epochs}" if status.epochs else ""
    running = status.state == "running"
    bar = (
        f'<div class="progress" role="progressbar" aria-label="{number}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{round(100 * status.progress)}"><i style="width:{100 * status.progress:.1f}%"></i></div>'
    )
    figures = percent(status.progress) + epochs + left if running else ""
    sentence = SENTENCES.get(status.state, status.state)
    # While epochs go by, their number is already in the line above.
    told = status.run_id is not None and not (running and status.epoch)
    detail = f'<p class="reason">{escape(status.message)}</p>' if told else ""
    what = f" · {status.target}, {status.preset}" if status.run_id is not None else ""
    waits = [number for number in status.queued if number != status.run_id]
    then = f'<p class="reason wait">Waiting: {", ".join(f"run {number}" for number in waits)}.</p>' if waits else ""
    return (
        f'<div class="run {escape(status.state)}"><h3>{number} <span class="badge">{escape(status.state)}</span>'
        f'<span class="quiet what">{escape(what)}</span></h3>'
        f"<p><strong>{sentence}</strong> {figures}</p>{bar if running else ''}{detail}{_curves(status)}"
        f"{_decision(run)}{then}</div>"
    )


def estimate_line(found: Estimate) -> str:
    """How long a run would take, before it is asked for.

    >>> estimate_line(Estimate(130.0, 230, "cpu", "2 earlier runs on this machine"))
    'about 2 min on this CPU, 230 clips <span class="basis">(by 2 earlier runs on this machine)</span>'
    """
    minutes = found.seconds / 60
    time = f"{max(1, round(minutes))} min" if minutes < 90 else f"{minutes / 60:.1f} h"
    device = "this CPU" if found.device == "cpu" else "this GPU"
    clips = f"{found.clips} {'clip' if found.clips == 1 else 'clips'}"
    return f'about {time} on {device}, {clips} <span class="basis">(by {escape(found.basis)})</span>'


def blocked_line(target: str, why: str) -> str:
    """Why a target cannot be trained, before anybody asks for it.

    >>> blocked_line("text", "3 clips have words; 20 are needed.")
    '<p class="status gentle">Not yet for the <strong>text</strong> model: 3 clips have words; 20 are needed.</p>'
    """
    return f'<p class="status gentle">Not yet for the <strong>{escape(target)}</strong> model: {escape(why)}</p>'


def suspects_line(count: int) -> str:
    """How many labels the last trainings did not believe, and where they are judged again; empty for none."""
    if not count:
        return ""
    which = "1 label is" if count == 1 else f"{count} labels are"
    return (
        f'<p class="reason">{which} probably a mistake and left out of training: judge them again in '
        "<strong>Review</strong>, where they are back in the queue (filter: training doubts the label).</p>"
    )


def log_card(name: str, text: str, encoded: bytes, lines: int = 30) -> str:
    """The last lines of a log, and all of it to download.

    Args:
        name: of the file.
        text: what it holds.
        encoded: the same in base64.
        lines: how many are shown.
    """
    end = "\n".join(text.splitlines()[-lines:])
    return (
        f'<p><a download="{escape(name)}" href="data:text/plain;base64,{encoded.decode("ascii")}">'
        f"Download {escape(name)}</a></p>"
        f'<pre class="log-text" tabindex="0" aria-label="End of the log">{escape(end)}</pre>'
    )


def moment(timestamp: str) -> str:
    """A stored time to the minute, UTC.

    >>> moment("2026-01-02T03:04:05.000006+00:00")
    '2026-01-02 03:04 UTC'
    """
    return f"{timestamp[:10]} {timestamp[11:16]} UTC"


def _curves(status: TrainingStatus) -> str:
    if not status.curve:
        return ""
    return (
        '<div class="curves">'
        + curve(status.curve, "loss", "Loss", epochs=status.epochs)
        + curve(status.curve, "uar", "UAR on held-out feedback", epochs=status.epochs, top=1.0)
        + "</div>"
    )


def _decision(run: TrainingRun | None) -> str:
    if run is None or run.status == "running":
        return ""
    before, after = run.metrics.get("before"), run.metrics.get("after")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return ""
    old, new = cast(Mapping[str, object], before), cast(Mapping[str, object], after)
    figures = comparison_table(old, new)
    folded = f"<details><summary>Before and after in figures</summary>{figures}</details>" if figures else ""
    return _checks(run.metrics) + change_bars(old, new) + folded


def _checks(metrics: Mapping[str, object]) -> str:
    """The gain with its interval, what must not get worse, and what would settle it."""
    lines = []
    gain, interval = metrics.get("gain"), metrics.get("interval")
    if isinstance(gain, int | float) and isinstance(interval, Sequence):
        low, high = (points(end) for end in interval)
        people = f", {metrics['speakers']} {metrics.get('unit', 'speaker')}s" if metrics.get("speakers") else ""
        before, after = (cast(Mapping[str, float], metrics[name]) for name in ("before", "after"))
        uar = f"UAR {percent(before['uar'])} → {percent(after['uar'])}, " if "uar" in before and "uar" in after else ""
        lines.append(f"held-out feedback: {uar}<strong>{points(gain)}</strong> points [{low}, {high}]{escape(people)}")
    for name in ("base", "gold"):
        found = metrics.get(name)
        if isinstance(found, Mapping):
            change = points(found["after"] - found["before"])
            lines.append(f"{escape(found['what'])}: <strong>{change}</strong> points, {found['count']} asked")
    needed = metrics.get("needed")
    if isinstance(needed, Mapping):
        lines.append(
            f"needed: <strong>{needed['held_out_clips']}</strong> more held-out clips from at least "
            f"<strong>{needed['speakers']}</strong> more speakers, "
            f"about {needed['labelled_clips']} labelled clips in all"
        )
    return f'<ul class="checks" role="list">{"".join(f"<li>{line}</li>" for line in lines)}</ul>' if lines else ""


def points(share: float) -> str:
    """A difference of shares in points, to a tenth.

    >>> points(0.051), points(-0.003)
    ('+5.1', '−0.3')
    """
    return f"{100 * share:+.1f}".replace("-", "−")


def _count(count: int, noun: str) -> str:
    return f"<strong>{count}</strong> {noun if count == 1 else noun + 's'}"
