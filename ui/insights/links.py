"""Links from a number to the clips behind it: addresses of the clips tab."""

from collections.abc import Mapping
from urllib.parse import urlencode

from ui.parts.presentation import escape


def to_clips(text: object, links: bool = True, /, **filters: object) -> str:
    """A text of HTML as a link to the clips that filters let through.

    Args:
        text: HTML, such as a number.
        links: whether the reader may follow it; if not, the text alone is returned.
        filters: as an address says them; None leaves one out.

    >>> to_clips(3, voted="fear", votes=None)
    '<a href="?tab=clips&amp;voted=fear">3</a>'
    >>> to_clips(3, False, voted="fear")
    '3'
    """
    return f'<a href="{_address(filters)}">{text}</a>' if links else str(text)


def drawing_to_clips(drawing: str, links: bool, /, **filters: object) -> str:
    """A drawing as such a link for pointers alone: keys and screen readers have the number, which is a link too."""
    return f'<a href="{_address(filters)}" tabindex="-1" aria-hidden="true">{drawing}</a>' if links else drawing


def _address(filters: Mapping[str, object]) -> str:
    given = {name: value for name, value in filters.items() if value is not None}
    return escape(f"?{urlencode({'tab': 'clips', **given})}")
