"""Builds the services of the page from settings: models loaded, store opened.

Brings torch in when real models are loaded; a page on stand-ins does not need it.
"""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

from annotations.elsewhere.journal import end_journal
from annotations.elsewhere.saver import WINDOW, Saver, connect
from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.versions.active import ActiveModel
from annotations.raters.people import Access
from annotations.store import AnnotationStore
from ser.config import EMBEDDED, Settings
from ser.protocols import AcousticModel
from ser.testing import BandEnergyModel, fake_recognizer
from ui.backend.services import Services


@dataclass(frozen=True)
class Saving:
    """The place that a store is saved to.

    Attributes:
        url: of the place, as `annotations.elsewhere.places.open_place` takes it.
        window: seconds that a change may wait until it is safe there.
    """

    url: str
    window: float = WINDOW


def load_parts(
    data_dir: Path,
    settings: Settings,
    *,
    fake: bool = False,
    access: Access | None = None,
    saving: Saving | None = None,
) -> Services:
    """Load the models and open the store, after it was restored if the disk is empty.

    Args:
        data_dir: the store's folder; made if it is missing.
        settings: which models.
        fake: small untrained stand-ins in place of the models.
        access: which roles people have; by default everybody is maintainer, as on a machine of one's own.
        saving: where the store is saved, from now on in the background; None for nowhere.

    Raises:
        SerError: if a model or the store cannot be used.
    """
    place = None
    if saving is not None:
        place, restored = connect(saving.url, data_dir)
        print("\n".join(restored.lines()) if restored else f"The store is saved to {place.url}, too.", flush=True)
    store = AnnotationStore(data_dir)
    # Before anything is written: each change is noted for the place elsewhere, or none if there is none.
    saver = None
    if saving and place:
        saver = Saver(store, place, window=saving.window).start()
    else:
        end_journal(store)
    if fake:
        active = ActiveModel(store, fake_recognizer(), _load_stand_in, base=EMBEDDED)
    else:
        active = importlib.import_module("annotations.learning.versions.loading").load_active_model(store, settings)
    remark = active.settle()
    if remark:
        print(remark, file=sys.stderr)
    active.recognizer.warm_up()
    return Services(active, Retrainer(active), access=access or Access(), saver=saver)


def _load_stand_in(name: str) -> AcousticModel:
    return BandEnergyModel(0 if name == EMBEDDED else 1)
