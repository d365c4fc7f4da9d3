"""Links from a number to the clips behind it: addresses of the clips tab."""

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
    if not links:
        return str(text)
    query = urlencode({"tab": "clips", **{name: value for name, value in filters.items() if value is not None}})
    return f'<a href="?{escape(query)}">{text}</a>'
