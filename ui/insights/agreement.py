"""Cards of agreement and of raters as HTML, each figure with the clips behind it. Knows no component."""

from collections.abc import Mapping, Sequence

from annotations.group_insights import Haste
from annotations.insights import Insights
from annotations.raters.agreement import Agreement, PairAgreement, in_words
from annotations.raters.reliability import RaterReliability
from ui.insights.charts import agreement_periods, figure_on_scale, signed, span
from ui.insights.links import drawing_to_clips, to_clips
from ui.parts.palette import css_class, icon
from ui.parts.presentation import as_written, percent

LOWEST = -0.2
"""Left end of the scale that alpha is drawn on; agreement below it is drawn there."""

SCALE_NAMES = {"intensity": "intensity", "valence": "pleasantness (valence)", "arousal": "activation (arousal)"}

ENDS = ' data-ends="low,high"'
"""Heading of a figure with an interval, whose ends are columns of their own in a file."""

OF = ' data-ends="of"'
"""Heading of a part and its whole, such as "3 of 5", which are two columns of a file."""


def agreement_card(found: Insights, links: bool = False) -> str:
    """Krippendorff's alpha in words and figures: on the label, on each label, on the scales, and over time."""
    whole = found.agreement
    if not whole.clips and not any(result.clips for result in found.scales.values()):
        return f"<h3>Agreement between raters</h3><p class='quiet'>{in_words(whole)}</p>"
    figure = "–" if whole.alpha is None else to_clips(signed(whole.alpha), links, votes="several")
    behind = to_clips(_interval(whole), links, votes="several")
    range_ = "" if whole.low is None else f" <span class='quiet'>(95 % interval {behind})</span>"
    agree = "" if whole.share is None else to_clips(percent(whole.share), links, votes="several")
    share = f" Two raters of a clip agree {agree} of the time." if agree else ""
    by_label = "".join(
        _agreement_row(
            f"{icon(label)} {label}", css_class(label), found.by_label[label], links, voted=label, votes="several"
        )
        for label in found.labels
    )
    scales = "".join(
        _agreement_row(SCALE_NAMES.get(name, name), "", result, links, rated=name)
        for name, result in found.scales.items()
        if result.clips
    )
    sample = "<p class='quiet'>Computed on a sample of the clips.</p>" if found.sampled else ""
    return (
        "<h3>Agreement between raters</h3>"
        f'<p class="alpha"><strong>{figure}</strong>{range_}</p><p>{in_words(whole)}{share}</p>'
        '<table class="plain agreement"><caption class="quiet">Krippendorff’s alpha: 1 is complete agreement, 0 no '
        "more than chance. The line is the 95 % interval.</caption>"
        f'<thead><tr><th scope="col">on</th><th scope="col" aria-hidden="true"></th><th scope="col"{ENDS}>alpha</th>'
        '<th scope="col">agreement when one rater chose it</th></tr></thead>'
        f"<tbody>{_agreement_row('all labels', '', whole, links, votes='several')}{by_label}{scales}</tbody></table>"
        f"{_over_time(found, links)}{sample}"
    )


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
        f"{to_clips(f'{rater.votes:,}', True, **({'rater': rater.rater} if everybody else {'mine': 'yes'}))}</td>"
        f'<td class="scale" aria-hidden="true">{_reliability_drawn(rater, everybody)}</td>'
        f"<td{_values(rater.reliability, *rater.interval)}>{_reliability(rater, everybody)}</td>"
        f"<td{_values(rater.gold_right, rater.gold_total)}>"
        f"{to_clips(_gold(rater), everybody and rater.gold_total > 0, rater=rater.rater, gold='yes')}</td>"
        f"{_haste((haste or {}).get(rater.rater), rater.rater, everybody)}</tr>"
        for rater in ordered
    )
    return (
        f'{title}<table class="plain raters"><caption class="quiet">How often a rater’s label is the right one, as far '
        "as the others’ votes and the gold clips show, were all emotions equally common; with its 95 % interval. "
        "Emotions are hard to recognise: compare raters with each other, not with 100 %.</caption>"
        '<thead><tr><th scope="col">rater</th><th scope="col">votes</th><th scope="col" aria-hidden="true"></th>'
        f'<th scope="col"{ENDS}>reliability</th><th scope="col"{OF}>gold clips right</th>'
        f'<th scope="col"{OF}>too fast to have listened</th></tr></thead><tbody>{rows}</tbody>'
        f"</table>{_pairs(pairs) if everybody and pairs else ''}"
    )


def _over_time(found: Insights, links: bool) -> str:
    rows = ""
    for period, result in zip(found.periods, found.over_time, strict=False):
        if result.clips:
            days = {"votes": "several", "voted_since": period.first, "voted_until": period.last}
            alpha = "–" if result.alpha is None else signed(result.alpha)
            said = f"{alpha} <span class='quiet'>{_interval(result)}</span>"
            rows += (
                f'<tr><th scope="row">{span(period)}</th><td>{to_clips(f"{result.clips:,}", links, **days)}</td>'
                f"<td{_values(result.alpha, result.low, result.high)}>{to_clips(said, links, **days)}</td></tr>"
            )
    if not rows:
        return ""
    return (
        "<h4>Agreement over time</h4>"
        f"{agreement_periods(found.periods, found.over_time, links)}"
        '<p class="quiet">Alpha on the clips whose last vote falls in these days, with its 95 % interval.</p>'
        '<details><summary>The numbers as a table</summary><table class="plain"><thead><tr><th scope="col">days</th>'
        f'<th scope="col">clips</th><th scope="col"{ENDS}>alpha</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></details>"
    )


def _values(*numbers: float | None) -> str:
    """The numbers of a cell as a file has them: a figure and the ends of its interval."""
    return (
        ' data-values="'
        + ",".join(
            "" if number is None else f"{number:.4g}" if isinstance(number, float) else str(number)
            for number in numbers
        )
        + '"'
    )


def _reliability_drawn(rater: RaterReliability, links: bool) -> str:
    drawn = figure_on_scale(rater.reliability, *rater.interval, 0.0)
    return drawing_to_clips(drawn, links, rater=rater.rater, votes="several")


def _reliability(rater: RaterReliability, links: bool) -> str:
    low, high = (round(100 * end) for end in rater.interval)
    said = f"{percent(rater.reliability)} <span class='quiet'>{low} to {high}</span>"
    return to_clips(said, links, rater=rater.rater, votes="several")


def _haste(found: Haste | None, rater: str, links: bool) -> str:
    if found is None:
        return '<td data-values=",">–</td>'
    whose = {"rater": rater} if links else {"mine": "yes"}
    said = to_clips(f"{found.hasty} of {found.timed}", found.hasty > 0, **whose, hasty="yes")
    return f"<td{_values(found.hasty, found.timed)}>{said}</td>"


def _agreement_row(name: str, kind: str, found: Agreement, links: bool, **behind: object) -> str:
    # A label that nobody has given on a clip of several votes has no share.
    links = links and found.clips > 0 and (found.share is not None or "rated" in behind)
    if found.alpha is None:
        cells = '<td aria-hidden="true"></td><td data-values=",,">–</td>'
    else:
        low, high = (found.alpha if end is None else end for end in (found.low, found.high))
        drawn = drawing_to_clips(figure_on_scale(found.alpha, low, high, LOWEST), links, **behind)
        said = f"{signed(found.alpha)} <span class='quiet'>{_interval(found)}</span>"
        cells = (
            f'<td class="scale {kind}" aria-hidden="true">{drawn}</td>'
            f"<td{_values(found.alpha, found.low, found.high)}>{to_clips(said, links, **behind)}</td>"
        )
    share = "–" if found.share is None else to_clips(percent(found.share), links, **behind)
    return f'<tr><th scope="row">{to_clips(name, links, **behind)}</th>{cells}<td>{share}</td></tr>'


def _interval(found: Agreement) -> str:
    if found.low is None or found.high is None:
        return ""
    low, high = signed(found.low), signed(found.high)
    return f"{low} to {high}"


def _gold(rater: RaterReliability) -> str:
    return f"{rater.gold_right} of {rater.gold_total}" if rater.gold_total else "–"


def _pairs(pairs: Sequence[PairAgreement]) -> str:
    ordered = sorted(pairs, key=lambda pair: 1.0 if pair.kappa is None else pair.kappa)
    rows = ""
    for pair in ordered:
        both = {"rater": pair.first, "other_rater": pair.second}
        kappa = "–" if pair.kappa is None else signed(pair.kappa)
        rows += (
            f'<tr><th scope="row">{as_written(pair.first)} and {as_written(pair.second)}</th>'
            f"<td>{to_clips(f'{pair.clips:,}', **both)}</td>"
            f"<td>{to_clips(percent(pair.share), pair.share > 0, **both, disagreement='not-pair')}</td>"
            f"<td>{to_clips(kappa, **both)}</td>"
            f"<td>{to_clips('where they differ', **both, disagreement='pair')}</td></tr>"
        )
    return (
        "<details><summary>Two by two</summary>"
        '<table class="plain pairs"><caption class="quiet">Cohen’s kappa on the clips that both have labelled: 1 is '
        "complete agreement, 0 no more than chance; those who agree least come first.</caption>"
        '<thead><tr><th scope="col">raters</th><th scope="col">clips of both</th><th scope="col">same label</th>'
        f'<th scope="col">kappa</th><th scope="col">clips</th></tr></thead><tbody>{rows}</tbody></table></details>'
    )
