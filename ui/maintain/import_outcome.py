"""Preview, progress and outcome of an import as HTML. Pure."""

from collections.abc import Sequence

from annotations.exchange.imports.options import ImportProgress, ImportReport, failure_lines
from annotations.exchange.imports.preview import Preview
from ui.parts.charts import label_bars, progress_bar
from ui.parts.presentation import as_written, escape, size

ON_THE_PAGE = {
    "--labels counts them as votes, --gold as known answers.": "Choose above if they count.",
    "--speaker-column NAME or --speaker-from PATTERN tells who speaks.": "Say above how speakers are found.",
    "(--readmit takes them again)": "(the command line's --readmit takes them again)",
}
"""Words of the command line, and what the page has in their place."""


def progress(step: ImportProgress) -> str:
    """Draw the progress of an import as HTML."""
    failed = f" · {step.failed} failed" if step.failed else ""
    return (
        f'<p role="status"><strong>{step.done}</strong> of {step.total} · {step.added} new{failed} · '
        f"{escape(step.name)}</p>{progress_bar('Import', step.done / max(step.total, 1))}"
    )


def summary(report: ImportReport, background: bool) -> str:
    """Describe an import as HTML."""
    # On the command line they stand above what is printed at the end.
    lines = [line.replace("named above", "named below") for line in report.lines()]
    if background:
        lines.append("The model pre-labels them in the background, so that the least sure can come first.")
    return _card(lines, report.failed, good=report.exit_code == 0)


def preview_card(preview: Preview) -> str:
    """Describe what an import would do as HTML."""
    lines = [
        line.replace("named above", "named below").replace(
            "name it with --consent", "tick what the speakers consented to"
        )
        for line in preview.lines()
    ]
    return _numbers(preview) + _card(lines, preview.report.failed, good=preview.exit_code == 0)


def _numbers(preview: Preview) -> str:
    """The size of an import at one glance: files, bytes, speakers, votes of each label."""
    speakers, votes = len(preview.report.speakers.keys() - {""}), preview.votes.total()
    clips, read = preview.clips, size(preview.size) if preview.size else "–"
    tiles = (
        f"<li><strong>{clips:,}</strong> {'recording' if clips == 1 else 'recordings'}</li>"
        f"<li><strong>{read}</strong> to read</li>"
        f"<li><strong>{speakers:,}</strong> known {'speaker' if speakers == 1 else 'speakers'}</li>"
        f"<li><strong>{votes:,}</strong> {'vote' if votes == 1 else 'votes'}</li>"
    )
    bars = label_bars(dict(preview.by_label.most_common())) if preview.by_label else ""
    return f'<ul class="tiles" role="list">{tiles}</ul>{bars}'


def _card(lines: Sequence[str], failed: Sequence[tuple[str, str]], good: bool) -> str:
    items = []
    for line in lines:
        for command, words in ON_THE_PAGE.items():
            line = line.replace(command, words)
        items.append(escape(line.partition(" --map-label ")[0]))
    named = [
        f"<li><strong>{as_written(name)}</strong>: {escape(reason)}</li>" for name, reason in failure_lines(failed)
    ]
    rest = "".join(f"<li>{item}</li>" for item in items[1:])
    return (
        f'<p class="status {"good" if good else "gentle"}" role="status">{items[0]}</p>'
        f'<ul class="notes">{rest}{"".join(named)}</ul>'
    )
