"""Settings of recognition and of training: frozen, checked when they are made.

Knows the environment's variables; knows nothing of pages or databases.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ser.errors import SettingsError

EMBEDDED = "embedded"
"""Names the weights that ship with the project, wherever a model id or folder may stand."""

NO_MODEL = "none"
"""Names the deliberate absence of a text model or transcriber."""

TRANSCRIBERS = ("auto", "pocketsphinx", "whisper", NO_MODEL)
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Settings:
    """Which models recognise, and where they run.

    Attributes:
        acoustic_model: `embedded`, a folder, or a Hub id of an audio classification checkpoint.
        text_model: `embedded`, `none`, a folder, or a Hub id of a text classification checkpoint.
        transcriber: `auto` takes Whisper where it is cached or reachable and otherwise pocketsphinx.
        whisper_model: folder or Hub id of the speech recognition checkpoint.
        device: `auto` takes CUDA where there is one.
        max_duration: longest accepted recording in seconds; None for no limit.
    """

    acoustic_model: str = EMBEDDED
    text_model: str = EMBEDDED
    transcriber: str = "auto"
    whisper_model: str = "openai/whisper-base"
    device: str = "auto"
    max_duration: float | None = 60.0

    def __post_init__(self) -> None:
        _require_one_of("transcriber", self.transcriber, TRANSCRIBERS)
        _require_one_of("device", self.device, DEVICES)
        if self.max_duration is not None and self.max_duration <= 0:
            raise SettingsError(
                f"max_duration is {self.max_duration} s; it must be above 0. Leave it out for no limit."
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read `SER_ACOUSTIC_MODEL`, `SER_TEXT_MODEL`, `SER_TRANSCRIBER`, `SER_WHISPER_MODEL`, `SER_DEVICE`
        and `SER_MAX_DURATION`; what is unset or empty keeps its default.

        Raises:
            SettingsError: where a variable holds a value that cannot be used.

        >>> Settings.from_env({"SER_TRANSCRIBER": "none"}).transcriber
        'none'
        """
        duration = environ.get("SER_MAX_DURATION", "")
        try:
            max_duration = float(duration) if duration else cls.max_duration
        except ValueError as error:
            raise SettingsError(f"SER_MAX_DURATION is '{duration}'; a number of seconds is needed.") from error
        return cls(
            acoustic_model=environ.get("SER_ACOUSTIC_MODEL") or cls.acoustic_model,
            text_model=environ.get("SER_TEXT_MODEL") or cls.text_model,
            transcriber=environ.get("SER_TRANSCRIBER") or cls.transcriber,
            whisper_model=environ.get("SER_WHISPER_MODEL") or cls.whisper_model,
            device=environ.get("SER_DEVICE") or cls.device,
            max_duration=max_duration,
        )


def _require_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} is '{value}'; expected one of {', '.join(allowed)}.")
