"""A stored recording as a player: its waveform as a drawing, its sound within the page.

The sound travels inside the HTML, so that no copy of a stored clip is left in a public cache folder and the
next clip needs no second request. Knows files; knows no component.
"""

import base64
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import soundfile

from annotations.errors import ClipNotFoundError
from annotations.store import AnnotationStore
from ui.parts.presentation import clock, escape

BINS = 160
"""Bars of the waveform; about one for four pixels of a wide page."""

WIDTH, HEIGHT = 960, 120


def player(path: Path, duration: float, name: str) -> str:
    """HTML of a player for a FLAC file, its sound within.

    Args:
        path: of the file.
        duration: seconds.
        name: what screen readers call it.

    Raises:
        OSError: if the file cannot be read.
    """
    return silent_player(
        path, duration, name, f'<audio preload="auto" src="data:audio/flac;base64,{sound(path)}"></audio>'
    )


class _ClipOfStore(Protocol):
    @property
    def clip_id(self) -> int: ...


def clip_players(store: AnnotationStore, clips: Iterable[_ClipOfStore]) -> dict[int, str]:
    """Draw {clip id: player}; a clip that was erased since, or whose file is gone, has none."""
    drawn = {}
    for clip in clips:
        with suppress(ClipNotFoundError):
            stored = store.get_clip(clip.clip_id)
            drawn[stored.id] = player(store.clip_path(stored), stored.duration, f"Clip {stored.id}")
    return drawn


def silent_player(path: Path, duration: float, name: str, audio: str = "") -> str:
    """Draw the player without its sound, which the page's script has loaded already."""
    signal, _ = soundfile.read(path, dtype="float32", always_2d=True)
    drawing = waveform(signal.mean(axis=1))
    return (
        f'<div class="player" role="group" aria-label="{escape(name)}">{audio}'
        '<button type="button" class="play" aria-label="Play or pause (Space)">'
        '<span aria-hidden="true"></span></button>'
        f'<div class="wave" aria-hidden="true"><svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        f'<path class="base" d="{drawing}"/><path class="done" d="{drawing}"/></svg></div>'
        f'<span class="time"><span class="now">0:00.0</span> / {clock(duration)}'
        '<button type="button" class="closely" aria-expanded="false">Listen closely</button></span></div>'
    )


def broken(why: str) -> str:
    """Stands where a player would, if there is nothing to play."""
    return f'<p class="status gentle" role="alert">{escape(why)}</p>'


def sound(path: Path) -> str:
    """The bytes of a file in base64."""
    return base64.b64encode(path.read_bytes()).decode("ascii")


def waveform(signal: npt.NDArray[np.float32], bins: int = BINS) -> str:
    """The loudest sample of each stretch as the path of an SVG of `WIDTH` x `HEIGHT`.

    Args:
        signal: shape (samples,), full scale ±1; drawn relative to its own peak, so that quiet clips can be seen.
        bins: how many bars.

    >>> waveform(np.array([0.0, 1.0], dtype=np.float32), bins=2)
    'M240.0 59.0V61.0M720.0 4.0V116.0'
    """
    stretches = np.array_split(np.abs(signal), bins)
    peaks = np.array([stretch.max() if len(stretch) else 0.0 for stretch in stretches])
    halves = np.maximum(1.0, peaks / max(float(peaks.max()), 1e-6) * (HEIGHT / 2 - 4))
    step, middle, places = WIDTH / bins, HEIGHT / 2, 1 if bins < WIDTH else 2
    return "".join(
        f"M{(index + 0.5) * step:.{places}f} {middle - half:.1f}V{middle + half:.1f}"
        for index, half in enumerate(halves)
    )
