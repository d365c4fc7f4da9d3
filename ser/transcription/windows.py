"""The windows in which a recording is transcribed: cut in pauses, so that no word is lost at an edge."""

import itertools
import math
from collections.abc import Sequence

from ser.types import SpeechRegion

MAX_CLIP_DURATION = 28.0
"""Seconds; longer recordings are cut in pauses."""

MAX_PAUSE, REGION_MARGIN = 5.0, 0.5
"""Seconds. A longer pause ends a window of a long recording. The margin is kept around speech there, as closer cuts
lose first words; a word further than that from any speech is left out."""


def cut_recording(regions: Sequence[SpeechRegion], duration: float) -> tuple[SpeechRegion, ...]:
    """Cut a recording into the windows that are transcribed: one up to `MAX_CLIP_DURATION`, else cut in pauses.

    >>> cut_recording([SpeechRegion(1.0, 2.0)], 9.0)
    (SpeechRegion(start=0.0, end=9.0),)
    >>> cut_recording([SpeechRegion(1.0, 20.0), SpeechRegion(21.0, 40.0)], 60.0)
    (SpeechRegion(start=0.5, end=20.5), SpeechRegion(start=20.5, end=40.5))
    """
    if not regions:
        return ()
    if duration <= MAX_CLIP_DURATION:
        return (SpeechRegion(0.0, duration),)
    return group_regions(regions, duration, gap=MAX_PAUSE, padding=REGION_MARGIN, longest=MAX_CLIP_DURATION)


def group_regions(
    regions: Sequence[SpeechRegion], duration: float, *, gap: float = 0.5, padding: float = 0.2, longest: float = 28.0
) -> tuple[SpeechRegion, ...]:
    """Join regions that belong together and pad them, so that words keep their context.

    Args:
        regions: in order.
        duration: of the recording in seconds; no stretch reaches beyond it.
        gap: regions closer than this are joined, seconds; at least twice `padding`, so that stretches stay apart.
        padding: seconds added at either side.
        longest: seconds, padding included; longer stretches are divided, in pauses if there are any.

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
        # If a long stretch was divided in a short pause, each side gets half of it.
        earliest = 0.0 if index == 0 else (groups[index - 1][1] + start) / 2
        latest = duration if index == len(groups) - 1 else (end + groups[index + 1][0]) / 2
        stretches += _divide(max(earliest, start - padding), min(latest, end + padding), longest)
    return tuple(stretches)


def _divide(start: float, end: float, longest: float) -> list[SpeechRegion]:
    """Equal parts no longer than `longest` seconds: a whole half minute without a pause of 0.1 s is rare."""
    count = max(1, math.ceil((end - start) / longest - 1e-9))
    edges = [start + (end - start) * part / count for part in range(count)] + [end]
    return [SpeechRegion(*edges[part : part + 2]) for part in range(count)]


def halve_window(window: SpeechRegion, regions: Sequence[SpeechRegion]) -> tuple[SpeechRegion, ...]:
    """Cut a window in the middle of the pause that is nearest to its own middle; none if there is no pause in it.

    >>> halve_window(SpeechRegion(0.0, 20.0), [SpeechRegion(0.5, 8.0), SpeechRegion(9.0, 19.0)])
    (SpeechRegion(start=0.0, end=8.5), SpeechRegion(start=8.5, end=20.0))
    """
    pauses = [(one.end + other.start) / 2 for one, other in itertools.pairwise(regions)]
    inside = [time for time in pauses if window.start < time < window.end]
    if not inside:
        return ()
    middle = min(inside, key=lambda time: abs(time - (window.start + window.end) / 2))
    return (SpeechRegion(window.start, middle), SpeechRegion(middle, window.end))
