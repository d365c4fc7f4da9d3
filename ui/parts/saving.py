"""Draws how safe what people save is, and how long ago something was."""

from annotations.elsewhere.saver import SaveStatus
from ser.wording import counted


def ago(seconds: float) -> str:
    """Say how long ago something was.

    >>> ago(20), ago(130), ago(7300), ago(200000)
    ('just now', '2 min ago', '2 h ago', '2 days ago')
    """
    for limit, length, unit in ((45, 1, ""), (3600, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{max(int(seconds // length), 1)} {unit} ago" if unit else "just now"
    return f"{int(seconds // 86400)} days ago"


def saved_line(status: SaveStatus | None, on_space: bool) -> str:
    """Say to everybody how safe what they save is: where and when it was copied to, or that it will be lost.

    Args:
        status: of the saving elsewhere; None if there is none.
        on_space: whether the disk is emptied at every restart.
    """
    if status is None:
        if not on_space:
            return ""
        return (
            '<p class="saved gentle">Everything stored here is lost when this Space restarts: it is saved nowhere '
            "else.</p>"
        )
    if status.taken_over:
        return '<p class="saved gentle">Nothing more is saved elsewhere: another program has taken over.</p>'
    if status.error is not None:
        since = f" (last {ago(status.age)})" if status.age is not None else ""
        waiting = f"; not copied: {counted(status.waiting, 'change')}" if status.waiting else ""
        return f'<p class="saved gentle">not saved elsewhere{since}, tried again{waiting}</p>'
    return (
        f'<p class="saved">{"saving elsewhere …" if status.age is None else f"saved elsewhere {ago(status.age)}"}</p>'
    )
