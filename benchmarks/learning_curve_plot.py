"""Draws learning curves as a picture of lines; knows no model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 420, 60, 30, 200, 50
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")


def draw_curves(curves: Mapping[str, Sequence[Sequence[float]]], path: Path) -> None:
    """Write an SVG file with a line for each curve.

    Args:
        curves: {name: [[corrections, UAR 0..1], ...]}.
        path: of the file.
    """
    points = [point for curve in curves.values() for point in curve]
    most = max(point[0] for point in points) or 1
    low, high = min(p[1] for p in points) - 0.02, max(p[1] for p in points) + 0.02

    def place(point: Sequence[float]) -> tuple[float, float]:
        # By the root of the number: the first corrections bring the most.
        across = LEFT + (WIDTH - LEFT - RIGHT) * (point[0] / most) ** 0.5
        return across, TOP + (HEIGHT - TOP - BOTTOM) * (high - point[1]) / (high - low)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for count in sorted({point[0] for point in points}):
        x, _ = place((count, low))
        lines.append(f'<text x="{x:.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{count:g}</text>')
    for step in range(5):
        uar = low + (high - low) * step / 4
        y = place((0, uar))[1]
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.0f}" y2="{y:.0f}" stroke="#dddddd"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{100 * uar:.0f}</text>')
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, curve))
        lines.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = TOP + 16 * number + 8
        lines.append(f'<text x="{WIDTH - RIGHT + 12}" y="{y}" fill="{colour}">{name}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    lines.append(f'<text x="{middle:.0f}" y="{HEIGHT - 12}" text-anchor="middle">corrected clips</text>')
    lines.append(f'<text x="{LEFT - 40}" y="{TOP - 12}">UAR on unheard speakers, %</text></svg>')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
