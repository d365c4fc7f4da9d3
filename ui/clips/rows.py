"""The table of the clips tab as HTML. Pure; knows no component."""

from collections.abc import Mapping, Sequence

from annotations.review.table import ClipRow
from annotations.store.records import CONSENT_PURPOSES
from ser.wording import counted
from ui.clips.options import NAMES, words_of
from ui.parts.palette import css_class, icon
from ui.parts.presentation import as_written, clock, escape, percent

PAGE = 50
"""Clips on one page."""

COLUMNS = (
    ("stored", "Clip", "clip"),
    (None, "Words, file", "words"),
    ("label", "Model", "model"),
    ("votes", "People", "people"),
    (None, "Mine", "mine"),
    ("speaker", "Speaker", "speaker"),
    ("source", "Source", "source"),
    ("duration", "Length", "length"),
    (None, "Allowed for", "allowed"),
)
"""(order, heading, class) of each column."""

NARROW_HEADS = ('<span class="narrow-head">Model</span> ', '<span class="narrow-head">People</span> ')
"""Heads of the two columns that look alike, shown on a phone, where a clip is a card."""

MORE_ORDERS = (
    ("-stored", "Newest first"),
    ("stored", "Oldest first"),
    ("-voted", "Last voted first"),
    ("certainty", "Model least sure first"),
    ("-words", "Voice and words disagree"),
    ("-dispute", "Raters disagree"),
    ("-votes", "Most votes first"),
    ("votes", "Fewest votes first"),
    ("-duration", "Longest first"),
    ("duration", "Shortest first"),
    ("label", "Model label, A to Z"),
    ("speaker", "Speaker, A to Z"),
    ("source", "Source, A to Z"),
)
"""(order as addresses say it, words)"""

EMPTY = (
    '<div class="empty-queue"><h3>No clips yet</h3><p>Recordings that are saved under <strong>Recognize</strong>, or '
    "imported by a maintainer, are listed here.</p></div>"
)
NOTHING_FITS = (
    '<div class="empty-queue"><h3>No clip fits</h3><p>No clip has all that the filters ask for. '
    '<button type="button" class="clips-clear">Clear filters</button></p></div>'
)


WRITTEN = frozenset({"rater", "other_rater", "speaker", "source", "language"})
"""Filters whose values people wrote."""


def table(rows: Sequence[ClipRow], order: str, *, selects: bool) -> str:
    """Draw a page of clips.

    Args:
        rows: of the page.
        order: as an address says it, such as `-stored`.
        selects: whether clips can be selected.
    """
    heads = "".join(_head(column, title, kind, order) for column, title, kind in COLUMNS)
    box = (
        '<th scope="col" class="pick"><label><input type="checkbox" class="pick-page" '
        'aria-label="Select all on this page"></label></th>'
    )
    return (
        '<div class="scrolls" tabindex="0" role="region" aria-label="Clips"><table class="plain clips">'
        f"<thead><tr>{box if selects else ''}{heads}</tr></thead>"
        f"<tbody>{''.join(_row(row, selects) for row in rows)}</tbody></table></div>"
    )


def _head(column: str | None, title: str, kind: str, order: str) -> str:
    if column is None:
        return f'<th scope="col" class="{kind}">{title}</th>'
    now = {column: "ascending", f"-{column}": "descending"}.get(order)
    mark = {"ascending": " ▲", "descending": " ▼", None: ""}[now]
    return (
        f'<th scope="col" class="{kind}"{f" aria-sort={now}" if now else ""}><button type="button" class="sort" '
        f'data-order="{column}">{title}<span aria-hidden="true">{mark}</span></button></th>'
    )


def _row(row: ClipRow, selects: bool) -> str:
    clip = row.clip
    box = (
        f'<td class="pick"><label><input type="checkbox" value="{clip.id}" aria-label="Select clip {clip.id}"></label>'
        "</td>"
        if selects
        else ""
    )
    gold = f' <span class="badge gold" title="Gold clip: {escape(row.gold)}">gold</span>' if row.gold else ""
    words = f"“{as_written(row.text)}”" if row.text.strip() else '<span class="quiet">no words</span>'
    file = f'<br><span class="quiet file-name" translate="no">{escape(row.file)}</span>' if row.file else ""
    return (
        f'<tr data-clip="{clip.id}">{box}<td class="clip"><a href="?clip={clip.id}" data-clip="{clip.id}">{clip.id}</a>'
        f"{gold}<br><span class='quiet'>{clip.created_at[:10]}</span></td>"
        f'<td class="words" dir="auto">{words}{file}</td><td class="model">{NARROW_HEADS[0]}{_model(row)}</td>'
        f'<td class="people">{NARROW_HEADS[1]}{_people(row)}</td>'
        f'<td class="mine">{_label(row.mine) if row.mine else ""}</td>'
        f'<td class="speaker">{as_written(clip.speaker) if clip.speaker else "–"}</td>'
        f'<td class="source">{as_written(clip.source)}</td><td class="length">{clock(clip.duration)}</td>'
        f'<td class="allowed">{allowed(clip.consent)}</td></tr>'
    )


def allowed(purposes: Sequence[str]) -> str:
    """The purposes that a clip may be used for.

    >>> allowed(["training"])
    '<span class="purpose">training</span>'
    """
    return "".join(f'<span class="purpose">{purpose}</span>' for purpose in CONSENT_PURPOSES if purpose in purposes)


def _model(row: ClipRow) -> str:
    if row.label is None:
        return '<span class="quiet">–</span>'
    return f'{_label(row.label)} <span class="quiet">{percent(row.confidence or 0.0)}</span>'


def _people(row: ClipRow) -> str:
    if row.votes:
        named = sorted(row.votes.items(), key=lambda pair: -pair[1])
        return "<br>".join(f"{_label(name)}{f' ×{count}' if count > 1 else ''}" for name, count in named)
    return f'<span class="quiet">{counted(row.count, "vote") if row.count else "–"}</span>'


def _label(name: str) -> str:
    if name in ("unsure", "skip"):
        return f"<span>{'skipped' if name == 'skip' else name}</span>"
    return f'<span class="labelled {css_class(name)}">{icon(name)} {escape(name)}</span>'


def chips(given: Mapping[str, object], versions: Mapping[str, str]) -> str:
    """Draw the filters that hold, each with a button that takes it away.

    Args:
        given: {filter: value} as an address says it.
        versions: {id: name} of model versions.
    """
    parts = []
    for name, value in given.items():
        if name not in NAMES or name in ("text", "mine") or not str(value).strip():
            continue
        text = versions.get(str(value), str(value)) if name == "version_id" else words_of(name, str(value))
        if name == "clips":
            text = counted(text.count(",") + 1, "clip") + " of a list"
        parts.append(
            f'<button type="button" class="chip" data-filter="{name}" aria-label="Remove filter {NAMES[name]}">'
            f"{NAMES[name]}: <strong>{as_written(text) if name in WRITTEN else escape(text)}</strong> "
            '<span aria-hidden="true">×</span></button>'
        )
    return "".join(parts)
