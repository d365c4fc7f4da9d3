"""Cards of the insights tab as HTML: counts, agreement, raters, disputed clips. Knows no component.

Every drawing has its numbers in words or in a table, so that nothing depends on colour or shape alone.
"""

from collections.abc import Mapping, Sequence

from annotations.insights import DisputedClip, Insights
from annotations.raters.agreement import Agreement, PairAgreement, in_words
from annotations.raters.reliability import RaterReliability
from ui.insights.charts import figure_on_scale, heat_table, stacked_periods
from ui.parts.palette import css_class, icon
from ui.parts.presentation import as_written, counted, escape, outside_line, percent, progress_bar

LOWEST = -0.2
"""Left end of the scale that alpha is drawn on; agreement below it is drawn there."""

SCALE_NAMES = {"intensity": "intensity", "valence": "pleasantness (valence)", "arousal": "activation (arousal)"}

EMPTY = (
    '<div class="empty-queue"><h3>No votes yet</h3><p>As soon as clips have votes, this page shows how far '
    "raters agree, where the model differs from people, and which clips are disputed. Open "
    "<strong>Review</strong> and label the first clip: one key is a vote.</p></div>"
)


def summary_card(found: Insights) -> str:
    """Draw the number of votes and clips, and the progress of the collection."""
    if not found.votes:
        return EMPTY
    numbers = (
        (found.votes, "vote" if found.votes == 1 else "votes"),
        (found.labelled, f"of {found.clips} clips labelled"),
        (found.several, "clips with two votes or more"),
        (found.unsure, "times somebody was unsure"),
    )
    tiles = "".join(f"<li><strong>{count:,}</strong> {text}</li>" for count, text in numbers)
    return (
        f'<h3>Progress</h3><ul class="tiles" role="list">{tiles}</ul>'
        + _progress("one vote or more", found.labelled, found.clips)
        + _progress("two votes or more", found.several, found.clips)
        + outside_line(found.outside)
    )


def agreement_card(found: Insights) -> str:
    """Krippendorff's alpha in words and figures, on the label, on each label and on the scales."""
    whole = found.agreement
    figure = "–" if whole.alpha is None else f"{whole.alpha:.2f}"
    range_ = "" if whole.low is None else f" <span class='quiet'>(95 % interval {_interval(whole)})</span>"
    share = "" if whole.share is None else f" Two raters of a clip agree {percent(whole.share)} of the time."
    by_label = "".join(
        _agreement_row(f"{icon(label)} {label}", css_class(label), found.by_label[label]) for label in found.labels
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
        f"<tbody>{by_label}{scales}</tbody></table>{sample}"
    )


def time_card(found: Insights) -> str:
    """Votes over time, by label."""
    return "<h3>Labels over time</h3>" + stacked_periods(found.periods, found.labels)


def model_card(found: Insights) -> str:
    """Draw votes against model labels, and confusions between raters."""
    total = found.model.sum()
    agreed = (
        f"People and model agree on {percent(found.model.trace() / total)} of {counted(round(total), 'vote')}."
        if total
        else ""
    )
    table = (
        heat_table(
            found.model,
            corner="people ↓ model →",
            caption="Of people’s votes for the row, the model said the column, in %",
            labels=found.labels,
        )
        if total
        else "<p class='quiet'>No model has analysed the clips that have votes.</p>"
    )
    between = heat_table(
        found.mistaken,
        corner="one ↓ another →",
        caption="Where one person says the row, another says the column, in %",
        labels=found.labels,
    )
    return (
        f"<h3>Model against people</h3><p>{agreed}</p>{table}"
        f"<details><summary>How people take one label for another</summary>{between}</details>"
    )


def raters_card(raters: Sequence[RaterReliability], *, everybody: bool, pairs: Sequence[PairAgreement] = ()) -> str:
    """Reliability and gold clips of all raters, or of the one who looks.

    Args:
        raters: to show.
        everybody: whether those are all there are; only then is anything said of pairs.
        pairs: agreement of every two of them.
    """
    title = "<h3>Raters</h3>" if everybody else "<h3>Your votes</h3>"
    if not raters:
        return f"{title}<p class='quiet'>You have given no label yet.</p>"
    ordered = sorted(raters, key=lambda rater: -rater.votes)
    rows = "".join(
        f'<tr><th scope="row">{as_written(rater.rater)}</th><td>{rater.votes:,}</td>'
        f'<td class="scale" aria-hidden="true">{figure_on_scale(rater.reliability, *rater.interval, 0.0)}</td>'
        f"<td>{percent(rater.reliability)} <span class='quiet'>{round(100 * rater.interval[0])} to "
        f"{round(100 * rater.interval[1])}</span></td><td>{_gold(rater)}</td></tr>"
        for rater in ordered
    )
    return (
        f'{title}<table class="plain raters"><caption class="quiet">How often a rater’s label is the right one, as far '
        "as the others’ votes and the gold clips show, were all emotions equally common; with its 95 % interval. "
        "Emotions are hard to recognise: compare raters with each other, not with 100 %.</caption>"
        '<thead><tr><th scope="col">rater</th><th scope="col">votes</th><th scope="col" aria-hidden="true"></th>'
        f'<th scope="col">reliability</th><th scope="col">gold clips right</th></tr></thead><tbody>{rows}</tbody>'
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
        f"<li><h4>Clip {clip.clip_id}</h4>{players.get(clip.clip_id, '<p class=quiet>Its recording is missing.</p>')}"
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
            f"<td>{found.alpha:.2f} <span class='quiet'>{_interval(found)}</span></td>"
        )
    return f'<tr><th scope="row">{name}</th>{cells}<td>{"–" if found.share is None else percent(found.share)}</td></tr>'


def _interval(found: Agreement) -> str:
    return "" if found.low is None or found.high is None else f"{found.low:.2f} to {found.high:.2f}".replace("-", "−")


def _gold(rater: RaterReliability) -> str:
    return f"{rater.gold_right} of {rater.gold_total}" if rater.gold_total else "–"


def _votes(votes: Mapping[str, int]) -> str:
    return " · ".join(f"{icon(label)} {escape(label)} <strong>{count}</strong>" for label, count in votes.items())


def _model(label: str | None) -> str:
    return "" if label is None else f' <span class="quiet">model: {escape(label)}</span>'


def _pairs(pairs: Sequence[PairAgreement]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{as_written(pair.first)} and {as_written(pair.second)}</th><td>{pair.clips:,}</td>'
        f"<td>{percent(pair.share)}</td><td>{'–' if pair.kappa is None else f'{pair.kappa:.2f}'}</td></tr>"
        for pair in sorted(pairs, key=lambda pair: 1.0 if pair.kappa is None else pair.kappa)
    )
    return (
        "<details><summary>Two by two</summary>"
        '<table class="plain pairs"><caption class="quiet">Cohen’s kappa on the clips that both have labelled: 1 is '
        "complete agreement, 0 no more than chance; those who agree least come first.</caption>"
        '<thead><tr><th scope="col">raters</th><th scope="col">clips of both</th><th scope="col">same label</th>'
        f'<th scope="col">kappa</th></tr></thead><tbody>{rows}</tbody></table></details>'
    )
