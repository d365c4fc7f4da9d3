"""Cards of the insights tab as HTML: counts, model, groups, disputed clips. Knows no component.

Every drawing has its numbers in words or in a table, so that nothing depends on colour or shape alone.
"""

from collections.abc import Mapping, Sequence

from annotations.group_insights import Group
from annotations.insights import DisputedClip, Insights
from ser.wording import counted
from ui.insights.charts import DARKEST, heat_table, stacked_periods
from ui.insights.links import to_clips
from ui.parts.charts import outside_line, progress_bar
from ui.parts.palette import icon
from ui.parts.presentation import as_written, escape, percent

EMPTY = (
    '<div class="empty-queue"><h3>No votes yet</h3><p>As soon as clips have votes, this page shows how far '
    "raters agree, where the model differs from people, and which clips are disputed.</p>"
)
BEGIN = "<p>Open <strong>Review</strong> and label the first clip: one key is a vote.</p>"


def summary_card(found: Insights, links: bool = False, reviews: bool = False) -> str:
    """Draw the number of votes and clips, and the progress of the collection; numbers may lead to their clips.

    Args:
        found: to show.
        links: the reader may open clips by what others voted.
        reviews: the reader may open clips by how many votes they have.
    """
    if not found.votes:
        return f"{EMPTY}{BEGIN if reviews else ''}</div>"
    left = found.clips - found.labelled
    numbers = (
        (found.votes, "vote" if found.votes == 1 else "votes", {"votes": "some"}, reviews),
        (
            found.labelled,
            f"of {found.clips} {'clip' if found.clips == 1 else 'clips'} labelled",
            {"votes": "some"},
            reviews,
        ),
        (
            found.several,
            f"{'clip' if found.several == 1 else 'clips'} with two votes or more",
            {"votes": "several"},
            reviews,
        ),
        (found.unsure, f"{'time' if found.unsure == 1 else 'times'} somebody was unsure", {"voted": "unsure"}, links),
    )
    tiles = "".join(
        f"<li><strong>{to_clips(f'{count:,}', leads, **filters)}</strong> {text}</li>"
        for count, text, filters, leads in numbers
    )
    return (
        f'<h3>Progress</h3><ul class="tiles" role="list">{tiles}</ul>'
        + _progress("one vote or more", found.labelled, found.clips, "some" if reviews else None)
        + _progress("two votes or more", found.several, found.clips, "several" if reviews else None)
        + (f"<p>{to_clips(counted(left, 'clip') + ' without a vote', votes='none')}</p>" if left and reviews else "")
        + outside_line(found.outside)
    )


def time_card(found: Insights, links: bool = False) -> str:
    """Votes over time, by label."""
    return "<h3>Labels over time</h3>" + stacked_periods(found.periods, found.labels, links)


def model_card(found: Insights, links: bool = False) -> str:
    """Draw votes against model labels, and confusions between raters."""
    total = found.model.sum()
    agreed = to_clips(percent(found.model.trace() / total), links, disagreement="not-model") if total else ""
    votes = to_clips(counted(round(total), "vote"), links, votes="some")
    said = f"People and model agree on {agreed} of {votes}." if agreed else ""
    table = (
        heat_table(
            found.model,
            corner="people ↓ model →",
            caption="Of people’s votes for the row, the model said the column, in %",
            labels=found.labels,
            filters=(lambda voted, answered: {"voted": voted, "label": answered}) if links else None,
        )
        if total
        else "<p class='quiet'>No model has analysed the clips that have votes.</p>"
    )
    differ = f" {to_clips('Clips where they differ', disagreement='model')}" if total and links else ""
    between = heat_table(
        found.mistaken,
        corner="one ↓ another →",
        caption="Where one person says the row, another says the column, in %",
        labels=found.labels,
        filters=_between_raters if links else None,
    )
    return (
        f"<h3>Model against people</h3><p>{said}{differ}</p>{table}"
        f"<details><summary>How people take one label for another</summary>{between}</details>"
    )


def groups_card(found: Insights, links: bool = False) -> str:
    """Draw the label mix and the agreement with the model of each source, speaker and language."""
    parts = [_groups(grouping, groups, found.labels, links) for grouping, groups in found.groups.items() if groups]
    return f"<h3>Labels by group</h3>{''.join(parts) or '<p class=quiet>No votes yet.</p>'}"


def disputed_card(clips: Sequence[DisputedClip], players: Mapping[int, str], labels: Sequence[str]) -> str:
    """The clips that people agree on least: some to listen to, and all as a table.

    Args:
        clips: most disputed first.
        players: HTML of the player of each clip to listen to, the first ones; an empty one if its recording is lost.
        labels: of the store.
    """
    if not clips:
        return "<h3>Most disputed clips</h3><p class='quiet'>No two raters have disagreed on a clip yet.</p>"
    items = "".join(
        f'<li><h4><a href="?clip={clip.clip_id}">Clip {clip.clip_id}</a></h4>'
        f"{players[clip.clip_id] or '<p class=quiet>Its recording is missing.</p>'}"
        f'<p class="said">{_votes(clip.votes)}{_model(clip.model)}</p></li>'
        for clip in clips
        if clip.clip_id in players
    )
    every = to_clips("All clips on which raters disagree", disagreement="raters", order="-dispute")
    return (
        f'<h3>Most disputed clips</h3><ol class="disputed" role="list">{items}</ol><p>{every}</p>'
        f"<details><summary>The votes as a table</summary>{_disputed_table(clips, labels)}</details>"
    )


def _disputed_table(clips: Sequence[DisputedClip], labels: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{icon(label)} {label}</th>' for label in labels)
    rows = "".join(
        f'<tr><th scope="row"><a href="?clip={clip.clip_id}">{clip.clip_id}</a></th>'
        + "".join(f"<td>{clip.votes.get(label, 0) or '–'}</td>" for label in labels)
        + f"<td>{escape(clip.model or '–')}</td></tr>"
        for clip in clips
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Most disputed clips"><table class="plain">'
        f'<thead><tr><th scope="col">clip</th>{head}<th scope="col">model</th></tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def hidden_card() -> str:
    """Replaces the disputed clips for those who may not see others' votes."""
    return (
        "<h3>Most disputed clips</h3><p class='quiet'>Maintainers see them here. Until voting is over nobody else "
        "does, so that no vote leads another.</p>"
    )


def _between_raters(one: str, other: str) -> dict[str, object]:
    return {"voted": one, "votes": "several"} if one == other else {"voted": one, "also_voted": other}


def _groups(grouping: str, groups: Sequence[Group], labels: Sequence[str], links: bool) -> str:
    head = "".join(f'<th scope="col">{icon(label)}<span>{label}</span></th>' for label in labels)
    rows = ""
    for group in groups:
        where = {grouping: group.name}
        cells = "".join(
            f'<td style="--full:{DARKEST * group.labels[label] / group.votes:.1f}%">'
            f"{to_clips(group.labels[label], links, voted=label, **where) if group.labels[label] else '–'}</td>"
            for label in labels
        )
        agreed, apart = "–", "–"
        if group.compared:
            same = links and group.agreed > 0
            agreed = to_clips(percent(group.agreed / group.compared), same, disagreement="not-model", **where)
            differ = group.compared - group.agreed
            apart = to_clips(f"{differ:,}", links and differ > 0, disagreement="model", **where)
        rows += (
            f'<tr><th scope="row">{as_written(group.name)}</th>'
            f"<td>{to_clips(f'{group.votes:,}', links, votes='some', **where)}</td>{cells}"
            f"<td>{agreed}</td><td>{apart}</td></tr>"
        )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="Labels by {grouping}"><table class="heat groups">'
        f'<caption class="quiet">By {grouping}: votes for each label, and how often they name the model’s</caption>'
        f'<thead><tr><th scope="col">{grouping}</th><th scope="col">votes</th>{head}'
        f'<th scope="col">as the model</th><th scope="col">not as the model</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _progress(text: str, done: int, whole: int, votes: str | None) -> str:
    share = done / whole if whole else 0.0
    number = to_clips(percent(share), votes is not None, votes=votes)
    return f'<p class="quiet bar-name">{number} {text}</p>{progress_bar(text, share)}'


def _votes(votes: Mapping[str, int]) -> str:
    return " · ".join(f"{icon(label)} {escape(label)} <strong>{count}</strong>" for label, count in votes.items())


def _model(label: str | None) -> str:
    return "" if label is None else f' <span class="quiet">model: {escape(label)}</span>'
