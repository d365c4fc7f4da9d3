"""Cards of model versions: their table, and two of them side by side. Knows no component."""

import base64
import re
from collections.abc import Mapping, Sequence

from annotations.learning.versions.diff import ChangedClip, VersionDiff
from annotations.learning.versions.registry import VersionEntry
from annotations.store.records import TrainingRun
from ui.parts.charts import change_bars, comparison_table
from ui.parts.presentation import as_written, counted, escape, percent
from ui.train.run_cards import moment


def versions_table(entries: Sequence[VersionEntry]) -> str:
    """Draw all versions, newest first, the current ones marked.

    Args:
        entries: of the registry.
    """
    rows = "".join(_row(entry) for entry in entries)
    heads = ("Version", "State", "UAR on held-out feedback, before → after", "Trained on", "Created")
    titles = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<h3>Versions</h3><div class="scrolls" tabindex="0" role="region" aria-label="Versions">'
        f'<table class="plain"><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def runs_table(runs: Sequence[TrainingRun]) -> str:
    """List training runs, newest first, with how each ended; empty if there are none."""
    if not runs:
        return ""
    rows = "".join(
        f'<tr><th scope="row">run {run.id}</th><td>{escape(run.target)}, {escape(run.preset)}</td>'
        f"<td>{escape(run.status)}</td><td>{escape(run.reason or '')}</td>"
        f'<td class="when">{moment(run.started_at)}</td></tr>'
        for run in runs
    )
    return (
        '<details class="past-runs"><summary>Past runs</summary><div class="scrolls" tabindex="0" role="region" '
        'aria-label="Past runs"><table class="plain"><thead><tr><th scope="col">Run</th><th scope="col">What</th>'
        '<th scope="col">State</th><th scope="col">Why</th><th scope="col">Began</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def named(entry: VersionEntry) -> tuple[str, int]:
    """A version as it stands in a list to choose from, and its id."""
    version = entry.version
    plain = version.target == "acoustic" or version.name.startswith(version.target)
    of = "" if plain else f" · {version.target}"
    return f"{version.name}{of}{' (in use)' if entry.in_use else ''}", version.id


def trouble(text: str) -> str:
    """Draw the reason why an act failed; it stays until the next one."""
    return f'<p class="status gentle" role="alert">{escape(text)}</p>'


def model_card(name: str, text: str) -> tuple[str, str]:
    r"""A model card for the page: its title with the file to keep, and what it says as Markdown.

    Args:
        name: of the version.
        text: of the file, whose front matter is for the Hub and not shown.

    >>> model_card("v2", "---\nlicense: mit\n---\n# v2\n\n## Limits\n")[1]
    '### v2\n\n#### Limits\n'
    """
    encoded = base64.b64encode(text.encode()).decode("ascii")
    head = (
        f'<h3>Model card of {escape(name)}</h3><p><a class="file" download="README.md" '
        f'href="data:text/markdown;base64,{encoded}">Download README.md</a></p>'
    )
    body = re.sub(r"\A---\n.*?\n---\n+", "", text, flags=re.DOTALL)
    return head, re.sub(r"^(#+ )", r"##\1", body, flags=re.MULTILINE)


def difference_card(diff: VersionDiff, players: Mapping[int, str]) -> str:
    """Draw the differences between two versions.

    Args:
        diff: of the two.
        players: HTML of the changed clips' players; a clip without one is shown without its sound.
    """
    shown = [clip for clip in diff.changed if clip.clip_id in players]
    more = len(diff.changed) - len(shown)
    clips = "".join(_changed(clip, players[clip.clip_id]) for clip in shown)
    rest = f'<p class="quiet">{more} more changed.</p>' if more else ""
    answers = (
        f"{len(diff.changed)} of {counted(diff.clips, 'answer')} differ; {diff.judged} of the clips have votes, "
        f"{diff.held_out} were held out from training."
    )
    if diff.trained:
        answers += f" {diff.trained} were trained on, which flatters the version that was."
    deaf = "".join(f"<li>Clip {clip} could not be analysed: {escape(reason)}</li>" for clip, reason in diff.failed)
    heading = "<h4>Clips whose answer changed</h4>" if diff.changed else ""
    return (
        f'<div class="difference"><h3>{escape(diff.first)} → {escape(diff.second)}</h3>'
        f"<p>{answers}</p>"
        f'<div class="sides"><div>{change_bars(diff.before, diff.after)}{_speakers(diff.speakers)}</div>'
        f"<div>{comparison_table(diff.before, diff.after)}</div></div>"
        f'{heading}<ol class="changed-clips" role="list">{clips}</ol>{rest}'
        f"{f'<ul>{deaf}</ul>' if deaf else ''}</div>"
    )


def _row(entry: VersionEntry) -> str:
    version = entry.version
    state = "in use" if entry.in_use else entry.decision or "came with the program"
    override = entry.override and f"Promoted against the comparison: {entry.override}"
    notes = [escape(override)] if override else []
    if version.weights_removed_at is not None:
        notes.append("weights removed to save space")
    if entry.retired:
        notes.append("retired: a network of an earlier version of this program, which no longer runs")
    if entry.erased:
        notes.append("trained on something that was erased since")
    note = "".join(f'<br><span class="quiet">{text}</span>' for text in notes)
    votes = counted(entry.votes, "vote") if entry.votes else "–"
    source = f", from {as_written(entry.parent)}" if entry.parent else ""
    target = "" if version.target == "acoustic" else f' <span class="badge">{version.target}</span>'
    active = " class=active" if entry.in_use else ""
    return (
        f'<tr{active} data-version="{escape(version.name)}"><th scope="row">{as_written(version.name)}{target}</th>'
        f"<td>{escape(state)}{note}</td><td>{_uar(version.metrics)}</td><td>{votes}{source}</td>"
        f'<td class="when">{escape(moment(version.created_at))}</td></tr>'
    )


def _changed(clip: ChangedClip, player: str) -> str:
    verdict = {"better": "now right", "worse": "now wrong", "other": "both wrong", "unjudged": "no votes yet"}
    truth = f" · people: <strong>{escape(clip.truth)}</strong>" if clip.truth else ""
    return (
        f"<li><h4>Clip {clip.clip_id} · {verdict[clip.change]}</h4>{player}"
        f"<p>{escape(clip.before)} → {escape(clip.after)}{truth}</p></li>"
    )


def _speakers(speakers: Mapping[str, Mapping[str, float]]) -> str:
    if not speakers:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{as_written(name)}</th><td>{found["clips"]:g}</td><td>{percent(found["before"])}</td>'
        f"<td>{percent(found['after'])}</td></tr>"
        for name, found in speakers.items()
    )
    return (
        '<h4>Right answers of each speaker</h4><table class="comparison"><thead><tr><th scope="col">speaker</th>'
        '<th scope="col">clips</th><th scope="col">before</th><th scope="col">after</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _uar(metrics: Mapping[str, object]) -> str:
    before, after = metrics.get("before"), metrics.get("after")
    new = (after if isinstance(after, Mapping) else metrics).get("uar")
    old = before.get("uar") if isinstance(before, Mapping) else None
    if not isinstance(new, int | float):
        return "–"
    return f"{percent(old)} → {percent(new)}" if isinstance(old, int | float) else percent(new)
