"""Cards of the insights tab as HTML: counts, agreement, raters, disputed clips. Knows no component.

Every drawing has its numbers in words or in a table, so that nothing depends on colour or shape alone.
"""

from collections.abc import Mapping, Sequence

from annotations.group_insights import Group, Haste
from annotations.insights import DisputedClip, Insights
from annotations.raters.agreement import Agreement, PairAgreement, in_words
from annotations.raters.reliability import RaterReliability
from ui.insights.charts import DARKEST, agreement_periods, figure_on_scale, heat_table, signed, span, stacked_periods
from ui.insights.links import to_clips
from ui.parts.charts import outside_line, progress_bar
from ui.parts.palette import css_class, icon
from ui.parts.presentation import as_written, counted, escape, percent

LOWEST = -0.2
"""Left end of the scale that alpha is drawn on; agreement below it is drawn there."""

SCALE_NAMES = {"intensity": "intensity", "valence": "pleasantness (valence)", "arousal": "activation (arousal)"}

EMPTY = (
    '<div class="empty-queue"><h3>No votes yet</h3><p>As soon as clips have votes, this page shows how far '
    "raters agree, where the model differs from people, and which clips are disputed. Open "
    "<strong>Review</strong> and label the first clip: one key is a vote.</p></div>"
)


def summary_card(found: Insights, links: bool = False) -> str:
    """Draw the number of votes and clips, and the progress of the collection; numbers may lead to their clips."""
    if not found.votes:
        return EMPTY
    numbers = (
        (found.votes, "vote" if found.votes == 1 else "votes", {"votes": "some"}),
        (found.labelled, f"of {found.clips} clips labelled", {"votes": "some"}),
        (found.several, "clips with two votes or more", {"votes": "several"}),
        (found.unsure, "times somebody was unsure", {"voted": "unsure"}),
    )
    tiles = "".join(
        f"<li><strong>{to_clips(f'{count:,}', links, **filters)}</strong> {text}</li>"
        for count, text, filters in numbers
    )
    return (
        f'<h3>Progress</h3><ul class="tiles" role="list">{tiles}</ul>'
        + _progress("one vote or more", found.labelled, found.clips)
        + _progress("two votes or more", found.several, found.clips)
        + outside_line(found.outside)
    )


def agreement_card(found: Insights, links: bool = False) -> str:
    """Krippendorff's alpha in words and figures: on the label, on each label, on the scales, and over time."""
    whole = found.agreement
    figure = "–" if whole.alpha is None else to_clips(signed(whole.alpha), links, votes="several")
    range_ = "" if whole.low is None else f" <span class='quiet'>(95 % interval {_interval(whole)})</span>"
    share = "" if whole.share is None else f" Two raters of a clip agree {percent(whole.share)} of the time."
    by_label = "".join(
        _agreement_row(
            to_clips(f"{icon(label)} {label}", links, voted=label, votes="several"),
            css_class(label),
            found.by_label[label],
        )
        for label in found.labels
    )
    scales = "".join(
        _agreement_row(SCALE_NAMES.get(name, name), "", result) for name, result in found.scales.items() if result.clips
    )
    sample = "<p class='quiet'>Computed on a sample of the clips.</p>" if found.sampled else ""
    return (
        "<h3>Agreement between raters</h3>"
        f'<p class="alpha"><strong>{figure}</strong>{range_}</p><p>{in_words(whole)}{share}</p>'
        '<table class="plain agreement"><caption class="quiet">Krippendorff’s alpha: 1 is complete agreement, 0 no '
        "more than chance. The line is the 95 % interval.</caption>"
        '<thead><tr><th scope="col">on</th><th scope="col" aria-hidden="true"></th><th scope="col">alpha</th>'
        '<th scope="col">agreement when one rater chose it</th></tr></thead>'
        f"<tbody>{by_label}{scales}</tbody></table>{_over_time(found, links)}{sample}"
    )


def time_card(found: Insights, links: bool = False) -> str:
    """Votes over time, by label."""
    return "<h3>Labels over time</h3>" + stacked_periods(found.periods, found.labels, links)


def model_card(found: Insights, links: bool = False) -> str:
    """Draw votes against model labels, and confusions between raters."""
    total = found.model.sum()
    agreed = (
        f"People and model agree on {percent(found.model.trace() / total)} of "
        f"{to_clips(counted(round(total), 'vote'), links, votes='some')}."
        if total
        else ""
    )
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
        f"<h3>Model against people</h3><p>{agreed}{differ}</p>{table}"
        f"<details><summary>How people take one label for another</summary>{between}</details>"
    )


def groups_card(found: Insights, links: bool = False) -> str:
    """Draw the label mix and the agreement with the model of each source, speaker and language."""
    parts = [_groups(grouping, groups, found.labels, links) for grouping, groups in found.groups.items() if groups]
    return f"<h3>Labels by group</h3>{''.join(parts) or '<p class=quiet>No votes yet.</p>'}"


def raters_card(
    raters: Sequence[RaterReliability],
    *,
    everybody: bool,
    pairs: Sequence[PairAgreement] = (),
    haste: Mapping[str, Haste] | None = None,
) -> str:
    """Reliability and gold clips of all raters, or of the one who looks.

    Args:
        raters: to show.
        everybody: whether those are all there are; only then is anything said of pairs.
        pairs: agreement of every two of them.
        haste: votes too fast to have listened, by name.
    """
    title = "<h3>Raters</h3>" if everybody else "<h3>Your votes</h3>"
    if not raters:
        return f"{title}<p class='quiet'>You have given no label yet.</p>"
    ordered = sorted(raters, key=lambda rater: -rater.votes)
    rows = "".join(
        f'<tr><th scope="row">{as_written(rater.rater)}</th><td>'
        f"{to_clips(f'{rater.votes:,}', everybody, rater=rater.rater)}</td>"
        f'<td class="scale" aria-hidden="true">{figure_on_scale(rater.reliability, *rater.interval, 0.0)}</td>'
        f"<td>{percent(rater.reliability)} <span class='quiet'>{round(100 * rater.interval[0])} to "
        f"{round(100 * rater.interval[1])}</span></td>"
        f"<td>{to_clips(_gold(rater), everybody, rater=rater.rater, gold='yes')}</td>"
        f"<td>{_haste((haste or {}).get(rater.rater), rater.rater, everybody)}</td></tr>"
        for rater in ordered
    )
    return (
        f'{title}<table class="plain raters"><caption class="quiet">How often a rater’s label is the right one, as far '
        "as the others’ votes and the gold clips show, were all emotions equally common; with its 95 % interval. "
        "Emotions are hard to recognise: compare raters with each other, not with 100 %.</caption>"
        '<thead><tr><th scope="col">rater</th><th scope="col">votes</th><th scope="col" aria-hidden="true"></th>'
        f'<th scope="col">reliability</th><th scope="col">gold clips right</th>'
        f'<th scope="col">too fast to have listened</th></tr></thead><tbody>{rows}</tbody>'
        f"</table>{_pairs(pairs) if everybody and pairs else ''}"
    )


def disputed_card(clips: Sequence[DisputedClip], players: Mapping[int, str]) -> str:
    """The clips that people agree on least, to listen to.

    Args:
        clips: most disputed first.
        players: HTML of each clip's player; a clip without one is said to have lost its recording.
    """
    if not clips:
        return "<h3>Most disputed clips</h3><p class='quiet'>No two raters have disagreed on a clip yet.</p>"
    items = "".join(
        f'<li><h4><a href="?clip={clip.clip_id}">Clip {clip.clip_id}</a></h4>'
        f"{players.get(clip.clip_id, '<p class=quiet>Its recording is missing.</p>')}"
        f'<p class="said">{_votes(clip.votes)}{_model(clip.model)}</p></li>'
        for clip in clips
    )
    return f'<h3>Most disputed clips</h3><ol class="disputed" role="list">{items}</ol>'


def hidden_card() -> str:
    """Replaces the disputed clips for those who may not see others' votes."""
    return (
        "<h3>Most disputed clips</h3><p class='quiet'>Maintainers see them here. Until voting is over nobody else "
        "does, so that no vote leads another.</p>"
    )


def _between_raters(one: str, other: str) -> dict[str, object]:
    return {"voted": one, "votes": "several"} if one == other else {"voted": one, "also_voted": other}


def _over_time(found: Insights, links: bool) -> str:
    rows = "".join(
        f'<tr><th scope="row">{span(period)}</th><td>'
        f"{to_clips(f'{result.clips:,}', links, votes='several', voted_since=period.first, voted_until=period.last)}"
        f"</td><td>{'–' if result.alpha is None else signed(result.alpha)} <span class='quiet'>{_interval(result)}"
        "</span></td></tr>"
        for period, result in zip(found.periods, found.over_time, strict=False)
        if result.clips
    )
    if not rows:
        return ""
    return (
        "<h4>Agreement over time</h4>"
        f"{agreement_periods(found.periods, found.over_time, links)}"
        '<p class="quiet">Alpha on the clips whose last vote falls in these days, with its 95 % interval.</p>'
        '<details><summary>The numbers as a table</summary><table class="plain"><thead><tr><th scope="col">days</th>'
        '<th scope="col">clips</th><th scope="col">alpha</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></details>"
    )


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
        agreed = percent(group.agreed / group.compared) if group.compared else "–"
        rows += (
            f'<tr><th scope="row">{as_written(group.name)}</th>'
            f"<td>{to_clips(f'{group.votes:,}', links, votes='some', **where)}</td>{cells}"
            f"<td>{to_clips(agreed, links and bool(group.compared), disagreement='model', **where)}</td></tr>"
        )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="Labels by {grouping}"><table class="heat groups">'
        f'<caption class="quiet">By {grouping}: votes for each label, and how often they name the model’s</caption>'
        f'<thead><tr><th scope="col">{grouping}</th><th scope="col">votes</th>{head}'
        f'<th scope="col">as the model</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _haste(found: Haste | None, rater: str, links: bool) -> str:
    if found is None:
        return "–"
    return to_clips(f"{found.hasty} of {found.timed}", links and found.hasty > 0, rater=rater, hasty="yes")


def _progress(text: str, done: int, whole: int) -> str:
    share = done / whole if whole else 0.0
    return f'<p class="quiet bar-name">{percent(share)} {text}</p>{progress_bar(text, share)}'


def _agreement_row(name: str, kind: str, found: Agreement) -> str:
    if found.alpha is None:
        cells = '<td aria-hidden="true"></td><td>–</td>'
    else:
        low, high = (found.alpha if end is None else end for end in (found.low, found.high))
        cells = (
            f'<td class="scale {kind}" aria-hidden="true">{figure_on_scale(found.alpha, low, high, LOWEST)}</td>'
            f"<td>{signed(found.alpha)} <span class='quiet'>{_interval(found)}</span></td>"
        )
    return f'<tr><th scope="row">{name}</th>{cells}<td>{"–" if found.share is None else percent(found.share)}</td></tr>'


def _interval(found: Agreement) -> str:
    if found.low is None or found.high is None:
        return ""
    low, high = signed(found.low), signed(found.high)
    return f"{low} to {high}"


def _gold(rater: RaterReliability) -> str:
    return f"{rater.gold_right} of {rater.gold_total}" if rater.gold_total else "–"


def _votes(votes: Mapping[str, int]) -> str:
    return " · ".join(f"{icon(label)} {escape(label)} <strong>{count}</strong>" for label, count in votes.items())


def _model(label: str | None) -> str:
    return "" if label is None else f' <span class="quiet">model: {escape(label)}</span>'


def _pairs(pairs: Sequence[PairAgreement]) -> str:
    ordered = sorted(pairs, key=lambda pair: 1.0 if pair.kappa is None else pair.kappa)
    rows = ""
    for pair in ordered:
        both = {"rater": pair.first, "other_rater": pair.second}
        kappa = "–" if pair.kappa is None else signed(pair.kappa)
        rows += (
            f'<tr><th scope="row">{as_written(pair.first)} and {as_written(pair.second)}</th>'
            f"<td>{to_clips(f'{pair.clips:,}', **both)}</td><td>{percent(pair.share)}</td><td>{kappa}</td>"
            f"<td>{to_clips('where they differ', **both, disagreement='pair')}</td></tr>"
        )
    return (
        "<details><summary>Two by two</summary>"
        '<table class="plain pairs"><caption class="quiet">Cohen’s kappa on the clips that both have labelled: 1 is '
        "complete agreement, 0 no more than chance; those who agree least come first.</caption>"
        '<thead><tr><th scope="col">raters</th><th scope="col">clips of both</th><th scope="col">same label</th>'
        f'<th scope="col">kappa</th><th scope="col">clips</th></tr></thead><tbody>{rows}</tbody></table></details>'
    )
