"""What the training tab shows: feedback, the run under way, its decision, the versions. Knows no component."""

from collections.abc import Mapping, Sequence
from typing import cast

from annotations.learning.run_status import TrainingStatus
from annotations.records import FeedbackSummary, ModelVersion, TrainingRun
from ui.charts import comparison_table, curve, label_bars
from ui.presentation import clock, escape, percent

SENTENCES = {
    "idle": "No run yet.",
    "running": "Training …",
    "promoted": "The new model is in use.",
    "refused": "The model in use stays: the new one is not measurably better.",
    "cancelled": "Cancelled: the model in use stays.",
    "failed": "The run failed: the model in use stays.",
    "interrupted": "The run was interrupted: the model in use stays.",
}


def feedback_card(summary: FeedbackSummary, missing: str | None) -> str:
    """How much feedback there is for each label, and what a retraining still needs.

    Args:
        summary: counts.
        missing: what is lacking, as a sentence; None where there is enough.
    """
    again = f" ({summary.single_vote_clips} with a single vote)" if summary.single_vote_clips else ""
    enough = f"Enough to retrain: {summary.training_clips} clips of {summary.groups} speakers or sittings."
    state = f'<p class="status {"gentle" if missing else "good"}">{escape(missing or enough)}</p>'
    return (
        f"<h3>Feedback</h3><p>{_count(summary.votes, 'vote')} on {_count(summary.clips, 'clip')} by "
        f"{_count(summary.raters, 'rater')}{again} · "
        f"{summary.new_votes:+d} since the model in use</p>" + label_bars(summary.labels) + state
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
    return (
        f'<div class="run {escape(status.state)}"><h3>{number} <span class="badge">{escape(status.state)}</span></h3>'
        f"<p><strong>{sentence}</strong> {figures}</p>{bar if running else ''}{detail}{_curves(status)}"
        f"{_decision(run)}</div>"
    )


def versions_table(versions: Sequence[ModelVersion], active: ModelVersion) -> str:
    """All versions, newest first, the one in use marked."""
    rows = "".join(
        f'<tr{" class=active" if version.id == active.id else ""}><th scope="row">{escape(version.name)}</th>'
        f"<td>{'in use' if version.id == active.id else ''}</td><td>{_uar(version.metrics)}</td>"
        f"<td>{'run ' + str(version.training_run_id) if version.training_run_id else '–'}</td>"
        f"<td>{escape(moment(version.created_at))}</td></tr>"
        for version in versions
    )
    return (
        '<table class="plain"><thead><tr><th scope="col">version</th><th scope="col"></th>'
        '<th scope="col">UAR on held-out feedback</th>'
        f'<th scope="col">made by</th><th scope="col">since</th></tr></thead><tbody>{rows}</tbody></table>'
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
    return comparison_table(cast(Mapping[str, object], before), cast(Mapping[str, object], after))


def _uar(metrics: Mapping[str, object]) -> str:
    after = metrics.get("after")
    figures = after if isinstance(after, Mapping) else metrics
    uar = figures.get("uar")
    return percent(uar) if isinstance(uar, int | float) else "–"


def _count(count: int, noun: str) -> str:
    return f"<strong>{count}</strong> {noun if count == 1 else noun + 's'}"
