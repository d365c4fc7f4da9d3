"""Small drawings: progress, feedback per label, curves of a run, figures before and after. Pure HTML and SVG."""

from collections.abc import Mapping, Sequence

from annotations.raters.votes import in_order
from ser.labels import EMOTIONS
from ser.wording import counted
from ui.parts.palette import css_class, icon
from ui.parts.presentation import escape, percent

WIDTH, HEIGHT, MARGIN = 420, 140, 26


def label_bars(counts: Mapping[str, int]) -> str:
    """Draw the number of votes of each label.

    Args:
        counts: {label: votes}.
    """
    largest = max([1, *counts.values()])
    rows = "".join(
        f'<li class="{css_class(label)}">{icon(label)}<span class="name">{label}</span>'
        '<span class="track" aria-hidden="true">'
        f'<i class="fill" style="width:{100 * counts.get(label, 0) / largest:.1f}%"></i></span>'
        f'<span class="number">{counts.get(label, 0)}</span></li>'
        for label in counts or EMOTIONS
    )
    return f'<ul class="bars counts" role="list" aria-label="Votes for each emotion">{rows}</ul>'


def curve(
    points: Sequence[Mapping[str, float | None]], key: str, title: str, *, epochs: int, top: float | None = None
) -> str:
    """One figure over the epochs of a run as a line.

    Args:
        points: {"epoch": n, key: value} of each epoch so far.
        key: which figure; points that do not have it are left out.
        title: above the drawing.
        epochs: how many are planned; the width of the drawing.
        top: highest value of the axis; by default the largest seen.
    """
    known = [(float(point["epoch"] or 0), float(value)) for point in points if (value := point.get(key)) is not None]
    latest = f"{known[-1][1]:.3f}" if known else "–"
    high = top or max([value for _, value in known], default=1.0) or 1.0
    last = max(epochs, 1)
    path = " ".join(
        f"{'M' if index == 0 else 'L'}{_x(epoch, last):.1f} {_y(value, high):.1f}"
        for index, (epoch, value) in enumerate(known)
    )
    dot = f'<circle cx="{_x(known[-1][0], last):.1f}" cy="{_y(known[-1][1], high):.1f}" r="4"/>' if known else ""
    spoken = f"{escape(title)} over {len(known)} epoch{'' if len(known) == 1 else 's'}, now {latest}"
    return (
        f'<figure class="curve"><figcaption>{escape(title)} <strong>{latest}</strong></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{spoken}">'
        f'<path class="axis" d="M{MARGIN} 8V{HEIGHT - MARGIN}H{WIDTH - 8}"/>'
        f'<text x="{MARGIN - 4}" y="14" text-anchor="end">{high:.2g}</text>'
        f'<text x="{MARGIN - 4}" y="{HEIGHT - MARGIN}" text-anchor="end">0</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 8}" text-anchor="end">epoch {last}</text>'
        f'<path class="line" d="{path}"/>{dot}</svg></figure>'
    )


def gain_curve(points: Sequence[tuple[int, float, float]]) -> str:
    """Unweighted average recall over the number of votes: of the model that training began with, and trained.

    Args:
        points: votes, recall before and after, 0..1, of each comparison on speakers that were not trained on.
    """
    last = max(votes for votes, _, _ in points)
    votes, before, after = points[-1]
    figures = f"{percent(before)} → {percent(after)}, {100 * (after - before):+.1f} points".replace("-", "−")
    lines = _line("start", [row[:2] for row in points], last) + _line("trained", [row[::2] for row in points], last)
    return (
        '<figure class="curve gain-curve"><figcaption>Estimated gain of training, on speakers left out: '
        f"<strong>{figures}</strong> with {votes} votes</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Recall over votes: {figures}">'
        f'<path class="axis" d="M{MARGIN} 8V{HEIGHT - MARGIN}H{WIDTH - 8}"/>'
        f'<text x="{MARGIN - 4}" y="14" text-anchor="end">1</text>'
        f'<text x="{MARGIN - 4}" y="{HEIGHT - MARGIN}" text-anchor="end">0</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 8}" text-anchor="end">{last} votes</text>{lines}</svg>'
        '<p class="quiet"><i class="key start"></i>before training <i class="key trained"></i>trained</p></figure>'
    )


def _line(name: str, points: Sequence[tuple[float, ...]], last: int) -> str:
    """A line through points of the plane, each marked."""
    places = [(f"{_x(across, last):.1f}", f"{_y(value, 1.0):.1f}") for across, value in points]
    path = " ".join(f"{'L' if index else 'M'}{x} {y}" for index, (x, y) in enumerate(places))
    marks = "".join(f'<circle class="{name}" cx="{x}" cy="{y}" r="3"/>' for x, y in places)
    return f'<path class="line {name}" d="{path}"/>{marks}'


def comparison_table(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Figures of the current model and of the new one, side by side; empty if there are none.

    Args:
        before: such as {"uar": 0.58, "war": 0.6, "recall": {label: 0.4}}; labels without a clip are left out.
        after: the same of the new model.
    """
    rows = [
        (name.upper(), _number(before.get(name)), _number(after.get(name))) for name in ("uar", "war") if name in after
    ]
    old, new = before.get("recall"), after.get("recall")
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        rows += [(f"recall of {label}", _number(old.get(label)), _number(new.get(label))) for label in in_order(new)]
    if not rows:
        return ""
    body = "".join(
        f"<tr><th scope='row'>{name}</th><td>{_share(one)}</td><td>{_share(other)}</td>"
        f"<td>{_change(one, other)}</td></tr>"
        for name, one, other in rows
    )
    return (
        '<table class="comparison"><thead><tr><th></th><th scope="col">before</th><th scope="col">after</th>'
        f'<th scope="col">points</th></tr></thead><tbody>{body}</tbody></table>'
    )


def change_bars(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Draw the change in recall of each label, in points, as bars to the left and right of a middle line.

    Args:
        before: as in `comparison_table`.
        after: the same of the new model; labels without a clip are left out.

    >>> change_bars({}, {})
    ''
    """
    old, new = before.get("recall"), after.get("recall")
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return ""
    changes = {label: 100 * (new[label] - old[label]) for label in in_order(new) if label in old}
    if not changes:
        return ""
    largest = max(10.0, *(abs(change) for change in changes.values()))
    rows = "".join(
        f'<li>{icon(label)}<span class="name">{label}</span><span class="track" aria-hidden="true">'
        f'<i class="{"fell" if change < 0 else "rose"}" style="width:{50 * abs(change) / largest:.1f}%"></i></span>'
        f'<span class="number">{_points(change)}</span></li>'
        for label, change in changes.items()
    )
    return (
        '<h4>Recall of each emotion, points</h4><ul class="changes" role="list" '
        f'aria-label="Change in recall of each emotion, in points">{rows}</ul>'
    )


def _points(change: float) -> str:
    # Adding zero turns a rounded -0 into 0.
    return f"{round(change) + 0:+d}".replace("-", "−") if round(change) else "0"


def _x(epoch: float, last: int) -> float:
    return MARGIN + (WIDTH - MARGIN - 8) * epoch / last


def _y(value: float, high: float) -> float:
    return 8 + (HEIGHT - MARGIN - 8) * (1 - min(value / high, 1.0))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "–"
    return f"{100 * (after - before):+.1f}".replace("-", "−")


def outside_line(outside: Mapping[str, int]) -> str:
    """Name the votes whose label has no place in the label set; empty if there are none.

    >>> outside_line({"boredom": 2, "calm": 1})
    '<p class="reason">3 votes name labels that have no place in the label set: boredom 2, calm 1.</p>'
    """
    if not outside:
        return ""
    named = ", ".join(f"{escape(label)} {count}" for label, count in outside.items())
    verb = "names a label that has" if sum(outside.values()) == 1 else "name labels that have"
    return f'<p class="reason">{counted(sum(outside.values()), "vote")} {verb} no place in the label set: {named}.</p>'


def progress_bar(name: str, share: float) -> str:
    """Draw a bar that is filled to a share from 0 to 1."""
    return (
        f'<div class="progress" role="progressbar" aria-label="{escape(name)}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{round(100 * share)}"><i style="width:{100 * share:.1f}%"></i></div>'
    )
