"""Cards of model versions: their table, and two of them side by side. Knows no component."""

import base64
import json
import re
from collections.abc import Mapping, Sequence

import numpy as np

from annotations.learning.versions.diff import ChangedClip, VersionDiff
from annotations.learning.versions.registry import VersionEntry
from annotations.store.records import TrainingRun
from ser.wording import counted
from ui.insights.charts import heat_table
from ui.insights.links import to_clips
from ui.parts.charts import change_bars
from ui.parts.palette import icon
from ui.parts.presentation import as_written, escape, percent
from ui.train.run_cards import figures_of, moment

UAR_HEAD = "UAR on held-out feedback, before → after"

CHANGED = 50
"""Changed clips that are listed."""


def versions_table(entries: Sequence[VersionEntry], ways_back: Mapping[str, str] | None = None) -> str:
    """Draw all versions, newest first, the current ones marked, each with what can be done with it in its row.

    Args:
        entries: of the registry.
        ways_back: {target: name of the version that a roll back leads to}.
    """
    rows = "".join(_row(entry, _acts(entry, entries, ways_back or {})) for entry in entries)
    heads = ("Version", "State", UAR_HEAD, "Trained on", "Created", "")
    titles = "".join(f'<th scope="col">{head}</th>' if head else "<td></td>" for head in heads)
    return (
        f'<h3>Versions</h3><div class="scrolls versions-table" tabindex="0" role="region" aria-label="Versions">'
        f'<table class="plain"><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _acts(entry: VersionEntry, entries: Sequence[VersionEntry], ways_back: Mapping[str, str]) -> str:
    """The buttons of a version; what is asked before one acts stands in its attributes."""
    version = entry.version
    others = [one for one in entries if one.version.target == version.target and one is not entry]
    parts = []
    if entry.can_be_used:
        reason = " data-asks=reason" if entry.decision == "refused" else ""
        parts.append(_button("use", "Use", version.id, reason))
    if entry.in_use and version.target in ways_back:
        parts.append(_button("back", f"Roll back to {escape(ways_back[version.target])}", version.id))
    if others:
        # The one it was trained on, or the current one, comes first.
        first = version.parent_id if entry.in_use else next((o.version.id for o in others if o.in_use), None)
        ordered = sorted(others, key=lambda one: one.version.id != first)
        listed = escape(json.dumps([[one.version.id, one.version.name] for one in ordered]))
        parts.append(_button("compare", "Compare", version.id, f' data-asks="against" data-options="{listed}"'))
    parts.append(_button("card", "Model card", version.id))
    if version.path is not None and version.weights_removed_at is None:
        parts.append(_button("push", "Publish", version.id, ' data-asks="repository"'))
    return f'<div class="version-acts">{"".join(parts)}</div>'


def _button(act: str, words: str, version_id: int, more: str = "") -> str:
    return f'<button type="button" data-version-act="{act}" data-id="{version_id}"{more}>{words}</button>'


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


def difference_card(diff: VersionDiff) -> str:
    """Draw the differences between two versions; clips whose answer changed open in the drawer."""
    answers = (
        f"{len(diff.changed)} of {counted(diff.clips, 'answer')} differ; clips with votes: {diff.judged}, "
        f"held out from training: {diff.held_out}."
    )
    if diff.trained:
        answers += f" Trained on: {diff.trained}, which flatters the version that was."
    deaf = "".join(f"<li>Clip {clip} could not be analysed: {escape(reason)}</li>" for clip, reason in diff.failed)
    return (
        f'<div class="difference"><h3>{escape(diff.first)} → {escape(diff.second)}</h3>'
        f"<p>{answers}</p>"
        f'<div class="sides"><div>{change_bars(diff.before, diff.after)}{figures_of(diff.before, diff.after)}</div>'
        f"<div>{_speakers(diff.speakers)}</div></div>{_confusions(diff)}"
        f"{_changed(diff.changed)}{f'<ul>{deaf}</ul>' if deaf else ''}</div>"
    )


def _confusions(diff: VersionDiff) -> str:
    """Draw what each version takes for what, side by side, where people have said what is right."""
    if not diff.judged:
        return ""
    tables = "".join(
        heat_table(
            np.array(counts, dtype=float),
            corner="people ↓ model →",
            caption=f"{escape(name)}: of clips that people call the row, it answered the column, in %",
            labels=diff.labels,
        )
        for name, counts in ((diff.first, diff.confusion_before), (diff.second, diff.confusion_after))
    )
    return f'<h4>Confusions before and after</h4><div class="sides insights">{tables}</div>'


def _changed(clips: Sequence[ChangedClip]) -> str:
    if not clips:
        return ""
    verdict = {"better": "now right", "worse": "now wrong", "other": "both wrong", "unjudged": "no votes yet"}
    rows = "".join(
        f'<tr><th scope="row"><a href="?clip={clip.clip_id}">{clip.clip_id}</a></th>'
        f"<td>{icon(clip.before)} {escape(clip.before)} → {icon(clip.after)} {escape(clip.after)}</td>"
        f"<td>{escape(clip.truth) if clip.truth else '–'}</td><td>{verdict[clip.change]}</td></tr>"
        for clip in clips[:CHANGED]
    )
    listed = ",".join(str(clip.clip_id) for clip in clips)
    return (
        '<h4>Clips whose answer changed</h4><p class="quiet">Open one to listen, or '
        f"{to_clips(f'see all {len(clips)} in the table', clips=listed)}.</p>"
        '<div class="scrolls" tabindex="0" role="region" aria-label="Clips whose answer changed"><table class="plain '
        'changed"><thead><tr><th scope="col">Clip</th><th scope="col">Answer</th><th scope="col">People</th>'
        f'<th scope="col">Change</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(entry: VersionEntry, acts: str) -> str:
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
    source = f"<br>from {as_written(entry.parent)}" if entry.parent else ""
    target = "" if version.target == "acoustic" else f' <span class="badge">{version.target}</span>'
    active = " class=active" if entry.in_use else ""
    return (
        f'<tr{active} data-version="{escape(version.name)}"><th scope="row">{as_written(version.name)}{target}</th>'
        f"<td>{escape(state)}{note}</td>{_cell(UAR_HEAD, _uar(version.metrics))}{_cell('Trained on', votes + source)}"
        f'<td class="when">{escape(moment(version.created_at))}</td><td>{acts}</td></tr>'
    )


def _cell(head: str, content: str) -> str:
    """A cell that says what it holds on a phone, where its column has no head, and is left out there if empty."""
    return f"<td class=none>{content}</td>" if content == "–" else f'<td title="{head}">{content}</td>'


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
