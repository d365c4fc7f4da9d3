"""A picture -> one face that can be read, or the reason why there is none. Imports OpenCV with the first picture."""

import importlib
import io
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from ser.errors import ModelUnavailableError, PictureError
from ser.face import Picture

Pixels = npt.NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""

MOST_PIXELS = 50_000_000
"""Of a picture; a small file may hold many more."""

LONGEST_SIDE = 800
"""Pixels to which a larger picture is brought: searching takes time with the square of it."""

SMALLEST_FACE = 48
"""Pixels of a face's side. Source: FER2013, on which most networks of expressions are trained, has 48 (Goodfellow et
al. 2013, https://arxiv.org/abs/1307.0414)."""

LUMINANCE = (35.0, 225.0)
"""Mean of a face's grey values, 0..255, beyond which it is too dark or too bright. A test picture read as happiness at
100 % falls to 82 % at 29, and its face is not found at all below that, or above 230."""

MIN_CONTRAST = 14.0
"""Deviation of a face's grey values: the same picture falls to 78 % at 12."""

MARGIN = 0.1
"""Share of the face's side that is added around it, as the embedded network was trained with."""

CASCADE = "haarcascade_frontalface_alt2.xml"
"""A detector that OpenCV brings along. Of its detectors of faces from the front this one found none in 25 pictures
without a face, the default one six in a photograph of coins."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face with a narrow margin.

    Attributes:
        pixels: RGB.
        box: left, top, width and height in the searched picture.
    """

    pixels: Pixels
    box: tuple[int, int, int, int]

    def as_jpeg(self) -> bytes:
        """The face alone: nothing of what is around it, nor of where and when it was taken."""
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "JPEG", quality=90)
        return file.getvalue()


def read_picture(picture: Picture) -> Pixels:
    """Decode a picture, turned as the camera was held, at most `LONGEST_SIDE` pixels a side.

    Raises:
        PictureError: if it is none, damaged, or far too large.
    """
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
            raise PictureError(f"The picture is {picture.dtype} of shape {picture.shape}; RGB as uint8 is expected.")
        image = Image.fromarray(picture)
    else:
        name = "The picture" if isinstance(picture, bytes) else f"'{Path(picture).name}'"
        try:
            image = Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture)
            if image.width * image.height > MOST_PIXELS:
                raise PictureError(
                    f"{name} has {image.width} x {image.height} pixels; at most {MOST_PIXELS // 1_000_000} million are "
                    "read. Make it smaller."
                )
            image = ImageOps.exif_transpose(image).convert("RGB")
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise PictureError(f"{name} cannot be read as a picture. JPEG, PNG or WebP is expected.") from error
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    return np.asarray(image, np.uint8)


class FaceFinder:
    """Finds the one face of a picture; safe to call from several threads.

    Raises:
        ModelUnavailableError: if OpenCV has no detector.
    """

    def __init__(self) -> None:
        self._cv2: Any = importlib.import_module("cv2")
        if not hasattr(self._cv2, "CascadeClassifier"):
            raise ModelUnavailableError(
                f"OpenCV {self._cv2.__version__} has no detector of faces. Run: pip install 'opencv-python-headless<5'"
            )
        self._cascade = self._cv2.CascadeClassifier(str(Path(self._cv2.data.haarcascades) / CASCADE))
        self._lock = threading.Lock()

    def find(self, pixels: Pixels) -> Face | str:
        """The face, or the reason why there is none to read, as a sentence."""
        grey = self._cv2.cvtColor(pixels, self._cv2.COLOR_RGB2GRAY)
        with self._lock:
            found = self._cascade.detectMultiScale(grey, 1.1, 5, minSize=(SMALLEST_FACE // 2,) * 2)
        if len(found) > 1:
            return f"{len(found)} faces were found in the picture; it must show one person alone."
        if not len(found):
            light = _trouble(grey, "The picture")
            return light or "No face was found in the picture. Take one from the front, near, with nothing before it."
        left, top, width, height = map(int, found[0])
        if width < SMALLEST_FACE:
            return f"The face is {width} pixels wide; at least {SMALLEST_FACE} are needed. Take it from nearer by."
        light = _trouble(grey[top : top + height, left : left + width], "The face")
        if light:
            return light
        more = round(MARGIN * width)
        rows, columns = slice(max(0, top - more), top + height + more), slice(max(0, left - more), left + width + more)
        return Face(pixels[rows, columns], (left, top, width, height))


def _trouble(grey: npt.NDArray[np.uint8], name: str) -> str | None:
    """Say in a sentence what is wrong with the light; None if it suffices."""
    mean, deviation = float(grey.mean()), float(grey.std())
    advice = "Take it with light from the front."
    for wrong, words in ((mean < LUMINANCE[0], "dark"), (mean > LUMINANCE[1], "bright")):
        if wrong:
            return f"{name} is too {words} (brightness {mean:.0f} of 255). {advice}"
    if deviation < MIN_CONTRAST:
        return f"{name} has too little contrast ({deviation:.0f} of 255; at least {MIN_CONTRAST:.0f}). {advice}"
    return None
