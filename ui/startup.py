"""From settings to what the page works with: models loaded, store opened.

Importing it brings torch in; a page on stand-ins needs it not.
"""

import importlib
import sys
from pathlib import Path

from annotations.active_model import ActiveModel, LoadModel
from annotations.retraining import Retrainer
from annotations.store import AnnotationStore
from annotations.training_records import PROGRAM
from ser.config import EMBEDDED, Settings
from ser.errors import ModelUnavailableError
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, fake_recognizer
from ser.types import AcousticModel
from ui.services import Services


def load_parts(data_dir: Path, settings: Settings, *, fake: bool = False) -> Services:
    """Load the models and open the store.

    Args:
        data_dir: the store's folder; made where it is missing.
        settings: which models.
        fake: small untaught stand-ins in place of the models.

    Raises:
        SerError: where a model or the store cannot be used.
    """
    if fake:
        return connect(data_dir, fake_recognizer(), _load_stand_in, base=EMBEDDED)
    loading = importlib.import_module("ser.loading")
    classifier = importlib.import_module("ser.acoustic.classifier")
    device = importlib.import_module("ser.hub").pick_device(settings.device)

    def load(name: str) -> AcousticModel:
        return classifier.load_acoustic_model(name, device)

    services = connect(data_dir, loading.load_recognizer(settings), load, base=settings.acoustic_model)
    services.recognizer.warm_up()
    return services


def connect(data_dir: Path, recognizer: Recognizer, load: LoadModel, *, base: str) -> Services:
    """Open the store and put a recogniser to work on it, on the version in use.

    A version that cannot be loaded any more is replaced by the base, and the store says why.

    Args:
        data_dir: the store's folder.
        recognizer: ready to answer.
        load: turns a version's folder into a model.
        base: name of the acoustic model that the recogniser came with.
    """
    store = AnnotationStore(data_dir)
    active = ActiveModel(store, recognizer, load, base=base)
    try:
        active.refresh()
    except ModelUnavailableError as error:
        print(f"{error} Going back to the model '{active.base_version.name}'.", file=sys.stderr)
        active.use(active.base_version.id, by=PROGRAM, reason=str(error))
    return Services(active, Retrainer(active))


def _load_stand_in(name: str) -> AcousticModel:
    return BandEnergyModel(0 if name == EMBEDDED else 1)
