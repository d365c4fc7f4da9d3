"""Cards of the training tab: feedback, the run under way, its decision. Knows no component."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from annotations.learning.drift import BLOCK
from annotations.learning.runs.estimate import Estimate
from annotations.learning.runs.status import TrainingStatus
from annotations.store.records import FeedbackSummary, TrainingRun
from ser.wording import counted
from ui.parts.charts import change_bars, comparison_table, curve, gain_curve, label_bars, outside_line, progress_bar
from ui.parts.presentation import clock, escape, percent
from ui.train.choices import TARGET_NAMES

QUIET = 20.0
"""Seconds without news of a run, from which on the page says so."""

WATCHING = (
    '<p class="read-only quiet">You can watch training here. Only maintainers start it, stop it and choose the model: '
    "ask one for the role, or sign in as one.</p>"
)
"""For those who may not train."""

SENTENCES = {
    "idle": "No run yet. Retrain trains a new version on the votes and compares it with the current one on clips that "
    "it was not trained on; it replaces the current one only if it is better.",
    "queued": "Waiting for its turn.",
    "running": "Training …",
    "paused": "Paused: its progress is kept. Resume continues it.",
    "promoted": "The new model is the current one now.",
    "refused": "The current model stays: the new one is not measurably better.",
    "cancelled": "Cancelled: the current model stays.",
    "failed": "The run failed: the current model stays.",
    "interrupted": "The run was interrupted: the current model stays.",
}


def feedback_card(
    summary: FeedbackSummary, missing: str | None, suspects: int = 0, by_itself: str = "", drifted: Sequence[str] = ()
) -> str:
    """Draw the feedback for each label, and what a retraining still needs.

    Args:
        summary: counts.
        missing: what is lacking, as a sentence; None if there is enough.
        suspects: clips whose label is probably a mistake.
        by_itself: when a run begins without being asked for, as a sentence.
        drifted: what has changed in the newest clips, sentences.
    """
    again = f" ({summary.single_vote_clips} with a single vote)" if summary.single_vote_clips else ""
    known = counted(summary.groups, "speaker or session").replace("speaker or sessions", "speakers or sessions")
    unknown = f"{summary.unknown_speaker_clips} of unknown speakers" if summary.unknown_speaker_clips else ""
    speakers = ", ".join(part for part in (known if summary.groups else "", unknown) if part)
    enough = f"Enough to retrain: {counted(summary.training_clips, 'clip')} ({speakers})."
    state = f'<p class="status {"gentle" if missing else "good"}">{escape(missing or enough)}</p>'
    return (
        f"<h3>Feedback</h3><p>{_counted(summary.votes, 'vote')} on {_counted(summary.clips, 'clip')} by "
        f"{_counted(summary.raters, 'rater')}{again} · "
        f"{counted(summary.new_votes, 'new vote')} since this model was trained</p>"
        + label_bars(summary.labels)
        + outside_line(summary.outside)
        + state
        + drift_line(drifted)
        + suspects_line(suspects)
        + (f'<p class="reason">{escape(by_itself)}</p>' if by_itself else "")
    )


def learning_line(runs: Sequence[TrainingRun], labels: Sequence[str]) -> str:
    """Draw what training has gained so far, by every comparison of a voice model; empty before there are two.

    Args:
        runs: newest first.
        labels: of the store; runs on other ones are left out.
    """
    points = []
    for run in reversed(runs):
        start, after = run.metrics.get("start"), run.metrics.get("after")
        if run.target != "acoustic" or not isinstance(start, Mapping) or not isinstance(after, Mapping):
            continue
        if set(cast(Mapping[str, float], after["recall"])) <= set(labels):
            points.append((int(start["votes"]), float(start["uar"]), float(after["uar"])))
    # A run on fewer votes, after an erasure, begins the line anew.
    first = max((place for place in range(1, len(points)) if points[place][0] < points[place - 1][0]), default=0)
    return gain_curve(points[first:]) if len(points) - first > 1 else ""


def by_itself_line(after: int | None, at: str | None, found: str = "") -> str:
    """Describe when a run starts by itself.

    Args:
        after: new votes after which one does; None for never.
        at: time of day, UTC, at which one does; None for never.
        found: what the settings' own requests found last.

    >>> by_itself_line(50, "02:30")
    'Training starts by itself after 50 new votes and daily at 02:30 UTC.'
    >>> by_itself_line(None, None)
    'Training starts only on request; under Manage, Settings it can be set to start by itself.'
    """
    when = [f"after {counted(after, 'new vote')}"] if after else []
    when += [f"daily at {at} UTC"] if at else []
    if not when:
        return "Training starts only on request; under Manage, Settings it can be set to start by itself."
    return f"Training starts by itself {' and '.join(when)}.{f' {found}' if found else ''}"


def run_card(status: TrainingStatus, run: TrainingRun | None, now: datetime | None = None) -> str:
    """The run under way with its progress, or how the last one ended.

    Args:
        status: of the run.
        run: its record, if it has one.
        now: the time; by default the present.
    """
    number = f"Run {status.run_id}" if status.run_id is not None else "Training"
    left = (
        f" · {clock(round(status.eta), tenths=False)} left"
        if status.state == "running" and status.eta is not None
        else ""
    )
    epochs = f" · epoch {status.epoch} of {status.epochs}" if status.epochs else ""
    running = status.state == "running"
    bar = progress_bar(number, status.progress) if running else ""
    figures = percent(status.progress) + epochs + left if running else ""
    sentence = SENTENCES.get(status.state, status.state)
    # While epochs go by, their number is already in the line above.
    message = status.message.removeprefix(f"Epoch {status.epoch} of {status.epochs}.").strip()
    # These two say all there is to say.
    said = message if status.run_id is not None and status.state not in ("paused", "cancelled") else ""
    # What came out stands below in figures; the sentence with all of them is among those.
    decision = _decision(run, said)
    detail = f'<p class="reason">{escape(said)}</p>' if said and not decision else ""
    target = escape(TARGET_NAMES.get(status.target, status.target))
    what = f" · {target}, {status.preset}" if status.run_id is not None else ""
    waits = [number for number in status.queued if number != status.run_id]
    then = f'<p class="reason wait">Waiting: {", ".join(f"run {number}" for number in waits)}.</p>' if waits else ""
    return (
        f'<div class="run {escape(status.state)}"><h3>{number} <span class="badge">{escape(status.state)}</span>'
        f'<span class="quiet what">{what}</span></h3>'
        f"<p><strong>{sentence}</strong> {figures}</p>{bar}{detail}"
        f"{_silence(status, now or datetime.now(UTC))}{_curves(status)}"
        f"{decision}{then}</div>"
    )


def estimate_line(found: Estimate, meaning: str) -> str:
    """Describe a run and its duration before it is requested.

    Args:
        found: the estimate.
        meaning: of the preset, as a sentence.

    >>> estimate_line(Estimate(130.0, 230, "cpu", "2 earlier runs on this machine"), "Trains.")
    'Trains. Takes about 2 min on this CPU, 230 clips <span class="basis">(by 2 earlier runs on this machine)</span>'
    """
    minutes = found.seconds / 60
    time = f"{max(1, round(minutes))} min" if minutes < 90 else f"{minutes / 60:.1f} h"
    device = "this CPU" if found.device == "cpu" else "this GPU"
    clips = f"{found.clips} {'clip' if found.clips == 1 else 'clips'}"
    basis = f'<span class="basis">(by {escape(found.basis)})</span>'
    return f"{escape(meaning)} Takes about {time} on {device}, {clips} {basis}"


def blocked_line(target: str, why: str) -> str:
    """Explain why a target cannot be trained, before anybody asks for it.

    >>> blocked_line("text", "3 clips have words; 20 are needed.")
    '<p class="status gentle">Not yet for the <strong>text</strong> model: 3 clips have words; 20 are needed.</p>'
    """
    return f'<p class="status gentle">Not yet for the <strong>{escape(target)}</strong> model: {escape(why)}</p>'


def suspects_line(count: int) -> str:
    """Describe the number of suspected label errors and where they are labelled again; empty for none."""
    if not count:
        return ""
    which = "1 label is" if count == 1 else f"{count} labels are"
    return (
        f'<p class="reason">{which} probably a mistake and left out of training: label them again in '
        "<strong>Review</strong>, where they are back in the queue (filter: Training status).</p>"
    )


def drift_line(drifted: Sequence[str]) -> str:
    """Draw what has changed in the newest clips; empty if nothing has."""
    if not drifted:
        return ""
    said = " ".join(map(escape, drifted))
    return (
        f'<p class="status gentle" id="drift">The newest {BLOCK} clips differ from those before: {said} Listen to '
        "some of them in Review, and retrain if they are what this page is for.</p>"
    )


LOG_LINES = 30
"""Lines of a log that are shown."""


def log_card(name: str, text: str, encoded: bytes) -> str:
    """The last lines of a log, and all of it to download.

    Args:
        name: of the file.
        text: what it holds.
        encoded: the same in base64.
    """
    end = "\n".join(text.splitlines()[-LOG_LINES:])
    return (
        f'<p><a class="file" download="{escape(name)}" href="data:text/plain;base64,{encoded.decode("ascii")}">'
        f"Download {escape(name)}</a></p>"
        '<div class="log-end" tabindex="0" role="region" aria-label="End of the log">'
        f'<pre class="log-text" translate="no">{escape(end)}</pre></div>'
    )


def moment(timestamp: str) -> str:
    """A stored time to the minute, UTC.

    >>> moment("2026-01-02T03:04:05.000006+00:00")
    '2026-01-02 03:04 UTC'
    """
    return f"{timestamp[:10]} {timestamp[11:16]} UTC"


def _silence(status: TrainingStatus, now: datetime) -> str:
    """Report that a run has been silent for a while, and why that need not be a fault; empty if it is not so."""
    if status.state != "running" or not status.updated_at:
        return ""
    silent = (now - datetime.fromisoformat(status.updated_at)).total_seconds()
    if silent < QUIET:
        return ""
    # In steps, so that the page is not sent anew every second.
    return (
        f'<p class="reason">No news for {clock(10 * (silent // 10), tenths=False)}: everything else on this machine '
        "goes before training, which goes on by itself as soon as it is given time.</p>"
    )


def _curves(status: TrainingStatus) -> str:
    if not status.curve:
        return ""
    return (
        '<div class="curves">'
        + curve(status.curve, "loss", "Loss", epochs=status.epochs)
        + curve(status.curve, "uar", "UAR on held-out feedback", epochs=status.epochs, top=1.0)
        + "</div>"
    )


def _decision(run: TrainingRun | None, reason: str) -> str:
    if run is None or run.status == "running":
        return ""
    before, after = run.metrics.get("before"), run.metrics.get("after")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return ""
    old, new = cast(Mapping[str, object], before), cast(Mapping[str, object], after)
    return _checks(run.metrics) + change_bars(old, new) + figures_of(old, new, reason) + _next_step(run)


def figures_of(old: Mapping[str, object], new: Mapping[str, object], reason: str = "") -> str:
    """Fold the figures before and after, and the reason with all of them; empty if there are none."""
    figures = comparison_table(old, new)
    said = f'<p class="reason">{escape(reason)}</p>' if reason else ""
    return f"<details><summary>Before and after in figures</summary>{said}{figures}</details>" if figures else said


def _next_step(run: TrainingRun) -> str:
    """Say what to do after a decision, with the way there."""
    if run.status == "promoted":
        return (
            '<p class="next">Next: label on under <a href="?tab=review">Review</a>, where the clips that the new model '
            "is least sure of come first, and listen to what changed by Compare in the table below.</p>"
        )
    if run.status == "refused":
        return (
            '<p class="next">Next: label more clips under <a href="?tab=review">Review</a>, of further speakers if you '
            "can, and retrain; Compare in the table below shows what the new version does otherwise.</p>"
        )
    return ""


def _checks(metrics: Mapping[str, object]) -> str:
    """The gain with its interval, what must not get worse, and what would settle it."""
    lines = []
    gain, interval = metrics.get("gain"), metrics.get("interval")
    if isinstance(gain, int | float) and isinstance(interval, Sequence):
        low, high = (points(end) for end in interval)
        speakers = metrics.get("speakers")
        parts = [f"held-out feedback: <strong>{points(gain)}</strong> points [{low}, {high}]"]
        before, after = (cast(Mapping[str, float], metrics[name]) for name in ("before", "after"))
        if "uar" in before and "uar" in after:
            parts.append(f"UAR {percent(before['uar'])} → {percent(after['uar'])}")
        if isinstance(speakers, int) and speakers:
            own = metrics.get("unit", "speaker") == "speaker"
            parts.append(f"{counted(speakers, 'speaker')}{'' if own else ' that it was trained on'}")
        lines.append(" · ".join(parts))
    for name, what in (("base", "Old skills"), ("gold", "Gold clips")):
        found = metrics.get(name)
        if isinstance(found, Mapping):
            change = points(found["after"] - found["before"])
            lines.append(f"{what}: <strong>{change}</strong> points, {counted(found['count'], 'test item')}")
    needed = metrics.get("needed")
    if isinstance(needed, Mapping):
        lines.append(
            f"needed: {counted(needed['held_out_clips'], 'held-out clip', more=True)} from at least "
            f"{counted(needed['speakers'], 'speaker', more=True)}: about "
            f"{counted(needed['labelled_clips'], 'labelled clip', more=True)}, as only a part is held out"
        )
    return f'<ul class="checks" role="list">{"".join(f"<li>{line}</li>" for line in lines)}</ul>' if lines else ""


def points(share: float) -> str:
    """A difference of shares in points, to a tenth.

    >>> points(0.051), points(-0.003)
    ('+5.1', '−0.3')
    """
    return f"{100 * share:+.1f}".replace("-", "−")


def _counted(count: int, noun: str) -> str:
    return f"<strong>{count}</strong> {noun if count == 1 else noun + 's'}"
