"""Draws learning curves as a picture of lines; knows no model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7a5195", "#6b6b6b")
"""Colours that colour-blind readers can tell apart. Source: Wong 2011, "Points of view: Color blindness", Nature
Methods 8, https://doi.org/10.1038/nmeth.1618 (the first three)."""

MARKS = "osD^v"


def draw_curves(curves: Mapping[str, Sequence[Sequence[float]]], path: Path, corpus: str) -> None:
    """Write a PNG file with a line for each curve, on a white ground so that it is legible on any page.

    Args:
        curves: {name: [[corrections, UAR 0..1], ...]}.
        path: of the file.
        corpus: that is new to the model.
    """
    figure = Figure(figsize=(8, 4.4), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
        (line,) = axes.plot([p[0] for p in curve], [p[1] for p in curve], label=name, color=colour, marker=mark)
        line.set(linewidth=2, markersize=5)
    # By the root of the number: the first corrections bring the most.
    axes.set_xscale("function", functions=(lambda n: abs(n) ** 0.5, lambda root: root**2))
    axes.set_xlim(0, 1.05 * max(point[0] for curve in curves.values() for point in curve))
    counts = sorted({point[0] for curve in curves.values() for point in curve})
    # Numbers that lie close together would be written over one another.
    apart = [n for before, n in zip([-1.0, *counts], counts, strict=False) if n >= 1.4 * before]
    axes.xaxis.set_major_locator(FixedLocator(apart))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="corrected clips", ylabel="UAR on speakers nobody corrected", title=f"New to the model: {corpus}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, format="png")
