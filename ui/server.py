"""Puts the program together and serves it: settings -> models and store -> page -> web server.

`app.py` imports this module when the options are known, as the models' libraries take seconds to load.
"""

import sys
from pathlib import Path

from annotations.active_model import ActiveModel, LoadModel
from annotations.retraining import Retrainer
from annotations.store import AnnotationStore
from annotations.training_records import PROGRAM
from ser.acoustic.classifier import load_acoustic_model
from ser.config import Settings
from ser.errors import ModelUnavailableError
from ser.hub import pick_device
from ser.loading import load_recognizer
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, fake_recognizer
from ser.types import AcousticModel
from ui.app import build_app, launch_options
from ui.services import Services

FAKE = "fake"


def build_services(data_dir: Path, settings: Settings, *, fake: bool = False) -> Services:
    """Open the store and load the models, the acoustic one in the version that the store has in use.

    Args:
        data_dir: of the store; made where missing.
        settings: which models to use.
        fake: take small untaught stand-ins instead.

    Raises:
        SerError: where the store cannot be opened or a model not be loaded.
    """
    store = AnnotationStore(data_dir)
    if fake:
        recognizer, load, base = fake_recognizer(), load_fake_model, FAKE
    else:
        recognizer, load, base = load_recognizer(settings), _loader(settings), settings.acoustic_model
    active_model = _open_active_model(store, recognizer, load, base)
    return Services(recognizer, store, Retrainer(active_model), active_model)


def serve(services: Services, *, host: str, port: int, logins: list[tuple[str, str]] | None) -> None:
    """Serve the page until interrupted; prints its address."""
    demo = build_app(services)
    demo.launch(server_name=host, server_port=port, auth=logins, **launch_options(services))


def load_fake_model(location: str) -> AcousticModel:
    """The stand-in that `--fake` begins with; no other has a fake form.

    Raises:
        ModelUnavailableError: for anything else.
    """
    if location != FAKE:
        raise ModelUnavailableError(f"{location} cannot be loaded with --fake. Start the program without it.")
    return BandEnergyModel()


def _loader(settings: Settings) -> LoadModel:
    device = pick_device(settings.device)
    return lambda location: load_acoustic_model(location, device)


def _open_active_model(store: AnnotationStore, recognizer: Recognizer, load: LoadModel, base: str) -> ActiveModel:
    """Answer with the version in use; go back to the base where it cannot be loaded any more, and say so."""
    active_model = ActiveModel(store, recognizer, load, base=base)
    try:
        active_model.refresh()
    except ModelUnavailableError as error:
        name = active_model.base_version.name
        print(f"{error} Going back to the model '{name}'.", file=sys.stderr)
        active_model.use(active_model.base_version.id, by=PROGRAM, reason=str(error))
    return active_model
