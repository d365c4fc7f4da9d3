"""Groups regions of speech into stretches that a recogniser can take at once.

Pure functions; knows no recogniser.
"""

import math
from collections.abc import Sequence

from ser.types import SpeechRegion


def group_regions(
    regions: Sequence[SpeechRegion], duration: float, *, gap: float = 0.5, padding: float = 0.2, longest: float = 28.0
) -> tuple[SpeechRegion, ...]:
    """Join regions that belong together and pad them, so that words keep their context.

    Args:
        regions: in order.
        duration: of the recording in seconds; no stretch reaches beyond it.
        gap: regions closer than this are joined, seconds; at least twice `padding`, so that stretches stay apart.
        padding: seconds added at either side.
        longest: seconds, padding included; longer stretches are divided, in pauses where there are any.

    >>> group_regions([SpeechRegion(1.0, 2.0), SpeechRegion(2.5, 3.0), SpeechRegion(6.0, 7.0)], 7.1, gap=0.6)
    (SpeechRegion(start=0.8, end=3.2), SpeechRegion(start=5.8, end=7.1))
    """
    groups: list[list[float]] = []
    for region in regions:
        fits = groups and region.end - groups[-1][0] <= longest - 2 * padding
        if fits and region.start - groups[-1][1] < gap:
            groups[-1][1] = region.end
        else:
            groups.append([region.start, region.end])
    stretches: list[SpeechRegion] = []
    for index, (start, end) in enumerate(groups):
        # Where a long stretch was divided in a short pause, each side gets half of it.
        earliest = 0.0 if index == 0 else (groups[index - 1][1] + start) / 2
        latest = duration if index == len(groups) - 1 else (end + groups[index + 1][0]) / 2
        stretches += _divide(max(earliest, start - padding), min(latest, end + padding), longest)
    return tuple(stretches)


def _divide(start: float, end: float, longest: float) -> list[SpeechRegion]:
    """Equal parts no longer than `longest` seconds: a whole half minute without a pause of 0.1 s is rare."""
    count = max(1, math.ceil((end - start) / longest - 1e-9))
    edges = [start + (end - start) * part / count for part in range(count)] + [end]
    return [SpeechRegion(*edges[part : part + 2]) for part in range(count)]
