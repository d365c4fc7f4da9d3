"""Numbers in sentences."""


def counted(count: int, noun: str, *, more: bool = False) -> str:
    """Say a count with its noun.

    >>> counted(1, "speaker"), counted(1200, "vote"), counted(2, "clip", more=True)
    ('1 speaker', '1,200 votes', '2 more clips')
    """
    return f"{count:,} {'more ' if more else ''}{noun if count == 1 else noun + 's'}"
