"""Drawings of the insights tab: a figure with its interval, a table of shares, votes over time. Pure HTML and SVG."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from annotations.insights import Period
from annotations.raters.agreement import Agreement
from ser.labels import EMOTIONS
from ser.wording import counted
from ui.insights.links import drawing_to_clips, to_clips
from ui.parts.palette import css_class, icon
from ui.parts.presentation import escape

WIDTH, HEIGHT, BOTTOM, TOP = 640, 200, 22, 16
"""Size of the drawing over time, with room for days below and the largest number above."""

DARKEST = 32
"""Percent of ink in the fullest cell of a table of shares: text on it stays above 4.5:1 in light and dark."""


def figure_on_scale(value: float, low: float, high: float, left: float) -> str:
    """A dot with the line of its interval on a scale from `left` to 1.

    >>> figure_on_scale(0.5, 0.25, 0.75, 0.0).count("left:25.0%")
    1
    """
    start, middle, end = (100 * (min(max(at, left), 1.0) - left) / (1 - left) for at in (low, value, high))
    zero = f'<i class="zero" style="left:{100 * -left / (1 - left):.1f}%"></i>' if left < 0 else ""
    return (
        f'<span class="interval">{zero}<i class="line" style="left:{start:.1f}%;width:{end - start:.1f}%"></i>'
        f'<i class="dot" style="left:{middle:.1f}%"></i></span>'
    )


Filters = Callable[[str, str], Mapping[str, object]]
"""From the labels of a row and a column to the filters of the clips behind that cell."""


def heat_table(
    counts: npt.NDArray[np.float64],
    *,
    corner: str,
    caption: str,
    labels: Sequence[str] = EMOTIONS,
    filters: Filters | None = None,
) -> str:
    """Shares of each row in percent, the fuller the darker; rows of nothing show dashes.

    Args:
        counts: shape (labels, labels); NaN counts as nothing.
        corner: what rows and columns are.
        caption: what the numbers mean.
        labels: of the rows and columns.
        filters: of the clips behind each cell; None draws no links.
    """
    filled = np.nan_to_num(counts)
    total = filled.sum(1, keepdims=True)
    shares = np.divide(filled, total, out=np.zeros_like(filled), where=total > 0)
    head = "".join(f'<th scope="col">{icon(label)}<span>{label}</span></th>' for label in labels)
    rows = "".join(
        f'<tr><th scope="row">{icon(label)} <span>{label}</span></th>'
        f"{_cells(shares[index], bool(total[index, 0]), index, labels, filters)}</tr>"
        for index, label in enumerate(labels)
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="heat">'
        f'<caption class="quiet">{escape(caption)}</caption><thead><tr><td class="quiet">{escape(corner)}</td>{head}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def stacked_periods(periods: Sequence[Period], labels: Sequence[str] = EMOTIONS, links: bool = False) -> str:
    """Votes of each stretch of days as a column of labels, with the same numbers as a table below."""
    if not periods:
        return "<p class='quiet'>No votes yet.</p>"
    largest = max(sum(period.labels.values()) for period in periods) or 1
    step = WIDTH / len(periods)
    columns = "".join(
        _column(period, step * index, step, largest, labels, links) for index, period in enumerate(periods)
    )
    spoken = f"Votes by label from {periods[0].first} to {periods[-1].last}; the table below has the numbers"
    dates = (
        f'<text x="2" y="{HEIGHT - 5}">{periods[0].first}</text>'
        f'<text x="{WIDTH - 2}" y="{HEIGHT - 5}" text-anchor="end">{periods[-1].last}</text>'
    )
    voted = {label for period in periods for label in period.labels}
    legend = " ".join(
        f'<span class="{css_class(label)}"><i></i>{to_clips(label, links and label in voted, voted=label)}</span>'
        for label in labels
    )
    return (
        f'<figure class="periods"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{spoken}">'
        f'<path class="axis" d="M0 {HEIGHT - BOTTOM}H{WIDTH}"/><text x="2" y="12">{counted(largest, "vote")}</text>'
        f'{columns}{dates}</svg><figcaption class="key">{legend}</figcaption></figure>'
        f"<details><summary>The numbers as a table</summary>{_period_table(periods, labels, links)}</details>"
    )


def agreement_periods(periods: Sequence[Period], found: Sequence[Agreement], links: bool = False) -> str:
    """Alpha of each stretch of days as a dot with its interval, joined by a line; a dot leads to its clips.

    Args:
        periods: oldest first.
        found: agreement in each of them; one without an alpha leaves a gap.
        links: whether the reader may open the clips.
    """
    ends = [end for result in found for end in (result.alpha, result.low) if end is not None]
    lowest = min([-0.2, *ends])
    floor, room, step = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP, WIDTH / max(len(periods), 1)

    def at(alpha: float) -> float:
        return floor - room * (min(alpha, 1.0) - lowest) / (1 - lowest)

    dots, line, joined = "", "", False
    for index, (period, result) in enumerate(zip(periods, found, strict=False)):
        if result.alpha is None:
            joined = False
            continue
        x = step * (index + 0.5)
        line += f"{'L' if joined else 'M'}{x:.1f} {at(result.alpha):.1f}"
        joined = True
        low, high = (result.alpha if end is None else end for end in (result.low, result.high))
        behind = {"votes": "several", "voted_since": period.first, "voted_until": period.last}
        drawn = (
            f'<path class="range" d="M{x:.1f} {at(low):.1f}V{at(high):.1f}"/><circle cx="{x:.1f}" '
            f'cy="{at(result.alpha):.1f}" r="6"><title>{span(period)}: {signed(result.alpha)}, '
            f"{counted(result.clips, 'clip')}</title></circle>"
        )
        dots += drawing_to_clips(drawn, links, **behind)
    if not dots:
        return ""
    marks = "".join(
        f'<path class="axis" d="M0 {at(alpha):.1f}H{WIDTH}"/><text x="2" y="{at(alpha) - 4:.1f}">{alpha:g}</text>'
        for alpha in (0, 0.5, 1)
    )
    return (
        f'<figure class="periods"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="Agreement over time">'
        f'{marks}<path class="joined" d="{line}"/>{dots}<text x="2" y="{HEIGHT - 5}">{periods[0].first}</text>'
        f'<text x="{WIDTH - 2}" y="{HEIGHT - 5}" text-anchor="end">{periods[-1].last}</text></svg></figure>'
    )


def _cells(
    shares: npt.NDArray[np.float64], known: bool, own: int, labels: Sequence[str], filters: Filters | None
) -> str:
    if not known:
        return "<td>–</td>" * len(shares)
    cells = ""
    for index, share in enumerate(shares.tolist()):
        leads = filters is not None and share > 0
        behind = filters(labels[own], labels[index]) if filters is not None else {}
        mark = " class=own" if index == own else ""
        number = to_clips(round(100 * share), leads, **behind)
        cells += f'<td{mark} style="--full:{DARKEST * share:.1f}%">{number}</td>'
    return cells


def _column(period: Period, left: float, step: float, largest: int, labels: Sequence[str], links: bool) -> str:
    room = HEIGHT - BOTTOM - TOP
    gap = min(8.0, step * 0.15)
    floor = float(HEIGHT - BOTTOM)
    parts = []
    for label in labels:
        height = room * period.labels.get(label, 0) / largest
        if height:
            floor -= height
            bar = (
                f'<rect class="{css_class(label)}" x="{left + gap / 2:.1f}" y="{floor:.1f}" width="{step - gap:.1f}" '
                f'height="{height:.1f}"><title>{span(period)}: {label} {period.labels[label]}</title></rect>'
            )
            days = {"voted_since": period.first, "voted_until": period.last}
            parts.append(drawing_to_clips(bar, links, voted=label, **days))
    return "".join(parts)


def _period_table(periods: Sequence[Period], labels: Sequence[str], links: bool) -> str:
    head = "".join(f'<th scope="col">{label}</th>' for label in labels)
    rows = "".join(
        f'<tr><th scope="row">{span(period)}</th>'
        + "".join(f"<td>{_period_cell(period, label, links)}</td>" for label in labels)
        + "</tr>"
        for period in periods
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Votes over time"><table class="plain">'
        f'<thead><tr><th scope="col">days</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _period_cell(period: Period, label: str, links: bool) -> str:
    count = period.labels.get(label, 0)
    days = {"voted_since": period.first, "voted_until": period.last}
    return to_clips(count, links and count > 0, voted=label, **days)


def signed(value: float) -> str:
    """A coefficient with two decimals and a true minus.

    >>> signed(-0.3)
    '−0.30'
    """
    return f"{value:.2f}".replace("-", "−")


def span(period: Period) -> str:
    """The days of a period, or its one day."""
    return period.first if period.first == period.last else f"{period.first} to {period.last}"
