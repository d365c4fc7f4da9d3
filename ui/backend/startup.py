"""Builds the services of the page from settings: models loaded, store opened.

Brings torch in when real models are loaded; a page on stand-ins does not need it.
"""

import importlib
import sys
from pathlib import Path

from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.versions.active import ActiveModel
from annotations.raters.people import Access
from annotations.store import AnnotationStore
from ser.config import EMBEDDED, Settings
from ser.protocols import AcousticModel
from ser.testing import BandEnergyModel, fake_recognizer
from ui.backend.services import Services


def load_parts(data_dir: Path, settings: Settings, *, fake: bool = False, access: Access | None = None) -> Services:
    """Load the models and open the store.

    Args:
        data_dir: the store's folder; made if it is missing.
        settings: which models.
        fake: small untrained stand-ins in place of the models.
        access: which roles people have; by default everybody is maintainer, as on a machine of one's own.

    Raises:
        SerError: if a model or the store cannot be used.
    """
    store = AnnotationStore(data_dir)
    if fake:
        active = ActiveModel(store, fake_recognizer(), _load_stand_in, base=EMBEDDED)
    else:
        active = importlib.import_module("annotations.learning.versions.loading").load_active_model(store, settings)
    remark = active.settle()
    if remark:
        print(remark, file=sys.stderr)
    active.recognizer.warm_up()
    return Services(active, Retrainer(active), access=access or Access())


def _load_stand_in(name: str) -> AcousticModel:
    return BandEnergyModel(0 if name == EMBEDDED else 1)
