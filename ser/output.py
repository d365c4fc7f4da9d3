"""Names of files on the terminal and in tables: not every name is text, and none may end a batch.

Python holds bytes of a name that are no UTF-8 as lone surrogates, which strict streams and UTF-8 files refuse.
"""

import sys


def printable(text: str) -> str:
    r"""Write what is no Unicode character as a backslash escape; in JSON it is then read back as it was.

    >>> printable("caf\udce9.wav")
    'caf\\udce9.wav'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def print_everything() -> None:
    """Let stdout print any text: what its encoding lacks is written as a backslash escape, as stderr does anyway."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
