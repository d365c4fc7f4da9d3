"""Keeps a recogniser on the current model versions of the store.

A promotion, on this page, on another, or in the training process, only writes to the
store; every process that answers finds out here, at its next answer.
"""

import copy
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from annotations.learning.versions.registry import active_versions, promote_version, roll_back, way_back
from annotations.store import AnnotationStore
from annotations.store.records import ModelVersion
from annotations.store.training_records import PROGRAM
from ser.config import EMBEDDED, Settings
from ser.errors import ModelUnavailableError
from ser.recognizer import Recognizer

LoadModel = Callable[[str], Any]
"""Loader of a model from `embedded`, a folder or a Hub id; raises ModelUnavailableError."""

PutModel = Callable[[Recognizer, Any], None]
"""Puts a loaded model into a recogniser that nobody answers with yet."""

WARM = 2
"""Models of each target that stay loaded: the current one and the one before, so that the way back takes no loading."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the recogniser that has versions.

    Attributes:
        load: turns a version's location into a model.
        put: puts it into a recogniser.
        base: name of the model that the recogniser came with, as `load` takes it.
        base_version: its version.
    """

    load: LoadModel
    put: PutModel
    base: str
    base_version: ModelVersion


@dataclass(frozen=True, eq=False)
class Serving:
    """A recogniser that is never changed, and the versions that it is made of.

    Attributes:
        recognizer: its models belong together; another version is another recogniser.
        versions: {target: version}.
    """

    recognizer: Recognizer
    versions: Mapping[str, ModelVersion]

    @property
    def version(self) -> ModelVersion:
        """The acoustic one, which an answer is recorded under."""
        return self.versions["acoustic"]


class ActiveModel:
    """A recogniser and the versions it answers with.

    An answer that begins with `serving()` is wholly from the versions named there, however often others are promoted
    meanwhile. While one thread loads a new version the others go on answering with the one before.

    Args:
        store: says which versions are in use.
        recognizer: what to begin with; it is copied, and not changed, when a version changes.
        load: turns an acoustic version's folder into a model.
        base: name of the model that the recogniser came with; registered as a version if it is new.

    Attributes:
        base_version: the version of `base`.
        remark: why a version that should be in use is not, for people; None if all are.
    """

    def __init__(
        self, store: AnnotationStore, recognizer: Recognizer, load: LoadModel, *, base: str = EMBEDDED
    ) -> None:
        self.store = store
        self.remark: str | None = None
        self._lock = threading.RLock()
        self._failed: set[int] = set()
        self.base_version = store.ensure_base_version(base, recognizer.acoustic.sha256)
        self._parts = {"acoustic": Part(load, Recognizer.replace_acoustic, base, self.base_version)}
        self._serving = Serving(recognizer, {"acoustic": self.base_version})
        self._warm: dict[int, tuple[str, Any]] = {self.base_version.id: ("acoustic", recognizer.acoustic)}

    def follow(self, target: str, load: LoadModel, put: PutModel, base: str, base_version: ModelVersion) -> None:
        """Keep a further part of the recogniser on its current version.

        Args:
            target: one of `records.TARGETS`.
            load: turns a version's location into a model.
            put: puts that into a recogniser.
            base: name of what the recogniser came with, as `load` takes it.
            base_version: its version, from `AnnotationStore.ensure_base_version`.
        """
        with self._lock:
            self._parts[target] = Part(load, put, base, base_version)
            self._serving = Serving(self._serving.recognizer, {**self._serving.versions, target: base_version})

    @property
    def targets(self) -> tuple[str, ...]:
        """The parts that are kept on their versions."""
        return tuple(self._parts)

    @property
    def recognizer(self) -> Recognizer:
        """Recogniser that answers now; `serving` gives it together with its versions."""
        return self._serving.recognizer

    @property
    def version(self) -> ModelVersion:
        """The acoustic version that answers now."""
        return self._serving.version

    def serving(self) -> Serving:
        """Return the recogniser for a request: the current versions, as far as they can be loaded.

        One that cannot be loaded leaves the one before in use here, and a sentence in `remark`.
        """
        try:
            self._update(again=False)
        except ModelUnavailableError as error:
            self.remark = str(error)
        return self._serving

    def refresh(self) -> ModelVersion:
        """Load the current versions that are not loaded; costs one look at the database otherwise.

        Raises:
            ModelUnavailableError: if one cannot be loaded; the model loaded before stays.
        """
        self._update(again=True)
        return self.version

    def settle(self) -> str | None:
        """Answer with the current versions; go back to a target's base if its version cannot be loaded any more.

        Returns:
            A sentence on what was gone back from, else None; the store keeps it as the promotion's reason.
        """
        remarks = []
        for target, part in self._parts.items():
            try:
                self._update(again=True, only=target)
            except ModelUnavailableError as error:
                self.use(part.base_version.id, by=PROGRAM, reason=str(error))
                remarks.append(f"{error} Going back to the model '{part.base_version.name}'.")
        return " ".join(remarks) or None

    def use(self, version_id: int, *, by: str, reason: str | None = None) -> ModelVersion:
        """Promote another version, here and in every other process.

        The version is loaded before it is promoted: one that cannot be loaded is never in use.

        Raises:
            VersionNotFoundError: if there is none of that id.
            StoreError: if the comparison refused it and no reason is given.
            ModelUnavailableError: if it cannot be loaded.
        """
        version = self.store.get_model_version(version_id)
        with self._lock:
            model = self._load(version)
            promote_version(self.store, version, by=by, reason=reason, loaded=True)
            self._swap(version, model)
        return version

    def roll_back(self, *, by: str, target: str = "acoustic", reason: str | None = None) -> ModelVersion:
        """Return to the previous version, which is still loaded if it was used here.

        Raises:
            VersionNotFoundError: if there is none.
            ModelUnavailableError: if it cannot be loaded.
        """
        with self._lock:
            version = way_back(self.store, target)[1]
            model = self._load(version)
            roll_back(self.store, by=by, target=target, reason=reason, loaded=True)
            self._swap(version, model)
        return version

    def recognizer_of(self, version: ModelVersion) -> Recognizer:
        """Copy the recogniser with one of its models replaced by another version; nothing is promoted.

        Raises:
            ModelUnavailableError: if the version cannot be loaded, or its target is not followed.
        """
        recognizer = copy.copy(self._serving.recognizer)
        self._part(version.target).put(recognizer, self._load(version))
        return recognizer

    def load(self, target: str, location: str) -> Any:
        """Load a model of one of the targets from a folder, for a look at it; nothing is promoted.

        Raises:
            ModelUnavailableError: if it cannot be loaded, or the target is not followed.
        """
        return self._part(target).load(location)

    def location(self, version: ModelVersion) -> str:
        """Return the location of a version for `load`: its folder, or the model that the program started with.

        Raises:
            ModelUnavailableError: for a model that an earlier program or setting brought along, or whose weights are
                not kept any more.
        """
        if version.weights_removed_at is not None:
            raise ModelUnavailableError(
                f"The weights of version '{version.name}' were removed to save space. Choose another version."
            )
        if version.path is not None:
            return str(self.store.data_dir / version.path)
        part = self._parts.get(version.target)
        if part is not None and version.id == part.base_version.id:
            return part.base
        raise ModelUnavailableError(
            f"The weights of version '{version.name}' came with an earlier program or setting and are gone. "
            "Choose another version."
        )

    def _part(self, target: str) -> Part:
        if target not in self._parts:
            raise ModelUnavailableError(
                f"This program has no {target} model that could be replaced; it has {', '.join(self._parts)}."
            )
        return self._parts[target]

    def _load(self, version: ModelVersion) -> Any:
        if version.id in self._warm:
            return self._warm[version.id][1]
        return self._part(version.target).load(self.location(version))

    def _update(self, *, again: bool, only: str | None = None) -> None:
        """Load current versions that are not loaded; with `again` also those that could not be loaded before."""
        wanted = [
            version
            for target, version in active_versions(self.store).items()
            if target in self._parts
            and only in (None, target)
            and version.id != self._serving.versions[target].id
            and (again or version.id not in self._failed)
        ]
        # Who finds another thread loading does not wait for it: the version before answers as well.
        if not wanted or not self._lock.acquire(blocking=again):
            return
        try:
            for version in wanted:
                if version.id != self._serving.versions[version.target].id:
                    try:
                        self._swap(version, self._load(version))
                    except ModelUnavailableError:
                        self._failed.add(version.id)
                        raise
        finally:
            self._lock.release()

    def _swap(self, version: ModelVersion, model: Any) -> None:
        recognizer = copy.copy(self._serving.recognizer)
        self._part(version.target).put(recognizer, model)
        self._serving = Serving(recognizer, {**self._serving.versions, version.target: version})
        self._failed.discard(version.id)
        self.remark = None
        self._warm.pop(version.id, None)
        self._warm[version.id] = (version.target, model)
        alike = [number for number, (target, _) in self._warm.items() if target == version.target]
        for number in alike[:-WARM]:
            del self._warm[number]


def origins_of(settings: Settings) -> dict[str, str]:
    """List the models that the program starts with by target, without the acoustic one.

    >>> origins_of(Settings())["text"]
    'embedded'
    """
    return {"text": settings.text_model, "fusion": EMBEDDED, "transcriber": settings.transcriber_model}
