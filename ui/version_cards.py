"""What is shown of model versions: their table, two of them side by side, one on the side. Knows no component."""

from collections.abc import Mapping, Sequence

from annotations.learning.shadow_records import ShadowReport
from annotations.learning.version_diff import ChangedClip, VersionDiff
from annotations.learning.versions import VersionEntry
from ui.charts import change_bars, comparison_table
from ui.presentation import escape, percent
from ui.training_cards import moment


def versions_table(entries: Sequence[VersionEntry], shadows: Mapping[int, str]) -> str:
    """All versions, newest first, those in use marked.

    Args:
        entries: of the registry.
        shadows: {version id: how it does beside the one in use} of those that answer on the side.
    """
    rows = "".join(_row(entry, shadows.get(entry.version.id)) for entry in entries)
    heads = ("version", "state", "UAR on held-out feedback", "learnt from", "made")
    titles = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<h3>Versions</h3><div class="scrolls" tabindex="0" role="region" aria-label="Versions">'
        f'<table class="plain"><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def difference_card(diff: VersionDiff, players: Mapping[int, str]) -> str:
    """What changes from one version to another.

    Args:
        diff: of the two.
        players: HTML of the changed clips' players; a clip without one is shown without its sound.
    """
    shown = [clip for clip in diff.changed if clip.clip_id in players]
    more = len(diff.changed) - len(shown)
    clips = "".join(_changed(clip, players[clip.clip_id]) for clip in shown)
    rest = f'<p class="quiet">{more} more changed.</p>' if more else ""
    answers = (
        f"{len(diff.changed)} of {diff.clips} answers differ; {diff.judged} clips are judged, {diff.held_out} were "
    )
    return (
        f'<div class="difference"><h3>{escape(diff.first)} → {escape(diff.second)}</h3>'
        f"<p>{answers}held out from training.</p>"
        f"{change_bars(diff.before, diff.after)}{comparison_table(diff.before, diff.after)}{_speakers(diff.speakers)}"
        f'<h4>Clips whose answer changed</h4><ol class="changed-clips" role="list">{clips}</ol>{rest}</div>'
    )


def shadow_line(report: ShadowReport) -> str:
    """Until when a version answers on the side, and how far it agrees with the one in use."""
    until = report.shadow.takes_over_at
    when = f"takes over {moment(until)} unless votes speak against it" if until else "never takes over by itself"
    return f"On the side since {moment(report.shadow.started_at)}, {when}. {report.line()}"


def _row(entry: VersionEntry, shadow: str | None) -> str:
    version = entry.version
    state = "in use" if entry.in_use else "on the side" if shadow else entry.decision or ""
    notes = [escape(text) for text in (shadow, entry.override and f"Against the comparison: {entry.override}") if text]
    if version.weights_removed_at is not None:
        notes.append("weights removed to save space")
    if entry.erased:
        notes.append("learnt from something that was erased since")
    note = "".join(f'<br><span class="quiet">{text}</span>' for text in notes)
    votes = f"{entry.votes} {'vote' if entry.votes == 1 else 'votes'}" if entry.votes else "–"
    source = f", from {escape(entry.parent)}" if entry.parent else ""
    target = "" if version.target == "acoustic" else f' <span class="badge">{version.target}</span>'
    return (
        f'<tr{" class=active" if entry.in_use else ""}><th scope="row">{escape(version.name)}{target}</th>'
        f"<td>{escape(state)}{note}</td><td>{_uar(version.metrics)}</td><td>{votes}{source}</td>"
        f"<td>{escape(moment(version.created_at))}</td></tr>"
    )


def _changed(clip: ChangedClip, player: str) -> str:
    verdict = {"better": "now right", "worse": "now wrong", "other": "both wrong", "unjudged": "not judged yet"}
    truth = f" · people: <strong>{escape(clip.truth)}</strong>" if clip.truth else ""
    return (
        f"<li><h4>Clip {clip.clip_id} · {verdict[clip.change]}</h4>{player}"
        f"<p>{escape(clip.before)} → {escape(clip.after)}{truth}</p></li>"
    )


def _speakers(speakers: Mapping[str, Mapping[str, float]]) -> str:
    if not speakers:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{found["clips"]:g}</td><td>{percent(found["before"])}</td>'
        f"<td>{percent(found['after'])}</td></tr>"
        for name, found in speakers.items()
    )
    return (
        '<h4>Right answers of each speaker</h4><table class="comparison"><thead><tr><th scope="col">speaker</th>'
        '<th scope="col">clips</th><th scope="col">before</th><th scope="col">after</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _uar(metrics: Mapping[str, object]) -> str:
    after = metrics.get("after")
    figures = after if isinstance(after, Mapping) else metrics
    uar = figures.get("uar")
    return percent(uar) if isinstance(uar, int | float) else "–"
