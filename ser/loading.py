"""Builds a `Recognizer` from `Settings`: the one place that knows which model stands behind which protocol.

Importing it brings torch and transformers in; `import ser` alone does not.
"""

from ser.acoustic.classifier import load_acoustic_model
from ser.audio.vad import SileroDetector
from ser.checkpoints.hub import pick_device
from ser.config import Settings
from ser.face import FaceReader
from ser.language_model.client import load_language_model
from ser.language_model.opinion import SecondOpinion
from ser.protocols import AcousticModel
from ser.recognizer import Recognizer
from ser.text.classifier import load_text_model
from ser.transcription import load_transcriber


def load_recognizer(settings: Settings | None = None, *, acoustic: AcousticModel | None = None) -> Recognizer:
    """Load the models that the settings name.

    Args:
        settings: by default read from the environment (`Settings.from_env`).
        acoustic: an acoustic model that is already loaded, in place of the one the settings name.

    Returns:
        A recogniser ready to answer.

    Raises:
        ModelUnavailableError: if a named model is absent, damaged, incompatible or out of reach.
        SettingsError: if an environment variable holds a value that cannot be used.
    """
    settings = settings or Settings.from_env()
    device = pick_device(settings.device)
    choice = load_transcriber(settings)
    recognizer = Recognizer(
        SileroDetector(),
        acoustic or load_acoustic_model(settings.acoustic_model, device),
        load_text_model(settings.text_model, device),
        choice.transcriber,
        max_duration=settings.max_duration,
        transcriber_reason=choice.reason,
    )
    model = load_language_model(settings.language_model, device)
    recognizer.opinion = None if model is None else SecondOpinion(model)
    recognizer.face = FaceReader(settings.face, device)
    return recognizer
