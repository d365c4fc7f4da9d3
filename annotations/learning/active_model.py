"""Keeps a recogniser on the model version that the store says is in use.

Whoever promotes a version, on this page, on another, or in the training process, only writes to the
store; every process that answers finds out here, at its next answer.
"""

import threading
from collections.abc import Callable

from annotations.records import ModelVersion
from annotations.store import AnnotationStore
from annotations.training_records import PROGRAM
from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError
from ser.recognizer import Recognizer
from ser.types import AcousticModel

LoadModel = Callable[[str], AcousticModel]
"""From `embedded`, a folder or a Hub id to a model; raises ModelUnavailableError."""


class ActiveModel:
    """A recogniser and the version it answers with.

    Args:
        store: says which version is in use.
        recognizer: answers; its acoustic model is replaced when the version changes.
        load: turns a version's folder into a model.
        base: name of the model that the recogniser came with; registered as a version where it is new.

    Attributes:
        version: the one that answers.
        base_version: the version of `base`.
    """

    def __init__(
        self, store: AnnotationStore, recognizer: Recognizer, load: LoadModel, *, base: str = EMBEDDED
    ) -> None:
        self.store = store
        self.recognizer = recognizer
        self._load = load
        self._lock = threading.Lock()
        self._base = base
        self.base_version = self.version = store.ensure_base_version(base, recognizer.acoustic.sha256)

    def refresh(self) -> ModelVersion:
        """Load the version in use where it is not the one loaded; a look at the database otherwise.

        Raises:
            ModelUnavailableError: where the version cannot be loaded; the model loaded before stays.
        """
        wanted = self.store.active_version()
        if wanted.id != self.version.id:
            with self._lock:
                if wanted.id != self.version.id:
                    self.recognizer.replace_acoustic(self._load(self.location(wanted)))
                    self.version = wanted
        return self.version

    def settle(self) -> str | None:
        """Answer with the version in use; go back to the base where it cannot be loaded any more.

        Returns:
            What a person should know of the latter, None otherwise; the store keeps it as the promotion's reason.
        """
        try:
            self.refresh()
        except ModelUnavailableError as error:
            self.use(self.base_version.id, by=PROGRAM, reason=str(error))
            return f"{error} Going back to the model '{self.base_version.name}'."
        return None

    def use(self, version_id: int, *, by: str, reason: str | None = None) -> ModelVersion:
        """Put another version to use, here and in every other process.

        The version is loaded before it is promoted: one that cannot be loaded is never in use.

        Raises:
            VersionNotFoundError: where there is none of that id.
            ModelUnavailableError: where it cannot be loaded.
        """
        version = self.store.get_model_version(version_id)
        with self._lock:
            model = self._load(self.location(version))
            self.store.promote(version.id, by=by, reason=reason or "chosen on the list of versions")
            self.recognizer.replace_acoustic(model)
            self.version = version
        return version

    def location(self, version: ModelVersion) -> str:
        """What `load` takes for a version: its folder, or the name of the model that the program started with.

        Raises:
            ModelUnavailableError: for a model that an earlier program or setting brought along.
        """
        if version.path is not None:
            return str(self.store.data_dir / version.path)
        if version.id == self.base_version.id:
            return self._base
        raise ModelUnavailableError(
            f"The weights of version '{version.name}' came with an earlier program or setting and are gone. "
            "Choose another version."
        )
