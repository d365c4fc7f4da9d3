"""From settings and a store to a recogniser on the version in use; for the page and for the command line.

Importing it brings torch in.
"""

from annotations.learning.active_model import ActiveModel
from annotations.store import AnnotationStore
from ser.acoustic.classifier import load_acoustic_model
from ser.config import Settings
from ser.hub import pick_device
from ser.loading import load_recognizer
from ser.types import AcousticModel


def load_active_model(store: AnnotationStore, settings: Settings) -> ActiveModel:
    """Load the models that the settings name; the acoustic one is on the settings' model until `ActiveModel.settle`.

    Raises:
        SerError: where a model or a setting cannot be used.
    """
    device = pick_device(settings.device)

    def load(location: str) -> AcousticModel:
        return load_acoustic_model(location, device)

    return ActiveModel(store, load_recognizer(settings), load, base=settings.acoustic_model)
