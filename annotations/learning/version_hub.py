"""Publishes model versions on the Hub, private unless asked otherwise, and takes models of the Hub as versions.

Weights travel as safetensors only: other forms can run foreign code when they are opened.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

from annotations.errors import ExchangeError
from annotations.learning.version_card import RECORD
from annotations.learning.versions import check_weights
from annotations.queries import list_versions
from annotations.records import TARGETS, ModelVersion
from annotations.rows import to_model_version
from annotations.store import AnnotationStore
from annotations.validation import check_name
from annotations.writes import insert_version, require_version
from ser.checkpoints import META_FILE, verify, weights_sha256
from ser.hub import CHECKPOINT_FILES, hub_reachable, resolve_checkpoint

FILES = [*CHECKPOINT_FILES, "README.md"]

Load = Callable[[str, str], Any]
"""From a target and a folder to a model; raises ModelUnavailableError where the folder holds none of that kind."""

Compare = Callable[[str, str], Mapping[str, object]]
"""From a target and a folder to what a comparison says; see `annotations.learning.pulled_comparison`."""

REFUSALS = (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError)
OUT_OF_REACH = (OfflineModeIsEnabled, httpx2.HTTPError, OSError)


@dataclass(frozen=True)
class PublishedVersion:
    """Where a version was published.

    Attributes:
        private: whether only its owners see it.
        commit: on the Hub.
    """

    url: str
    private: bool
    commit: str

    def as_dict(self) -> dict[str, object]:
        """As JSON values."""
        return asdict(self)


def push_version(
    store: AnnotationStore, version: ModelVersion, name: str, *, private: bool = True, api: HfApi | None = None
) -> PublishedVersion:
    """Put a version's folder into a model repository on the Hub, in place of the weights that were there before.

    Args:
        store: where it is registered.
        version: with a folder of its own, and a card in it (see `annotations.learning.version_card`).
        name: ORG/NAME of the repository; made where it is missing.
        private: whether one that is made now is seen by its owners alone.
        api: with another address or token than the machine's own.

    Raises:
        ExchangeError: where the Hub is out of reach or refuses, or the version has no weights to publish.
        ModelUnavailableError: where its weights are not those that were recorded.
    """
    if version.path is None:
        raise ExchangeError(
            f"Version '{version.name}' came with the program or its settings; there is nothing of it to publish here."
        )
    check_weights(store, version)
    folder = store.data_dir / version.path
    if not any(folder.glob("*.safetensors")):
        raise ExchangeError(f"Version '{version.name}' has no *.safetensors in {folder}; nothing else is published.")
    api = _reach(api)
    try:
        url = api.create_repo(name, repo_type="model", private=private, exist_ok=True)
        hidden = bool(api.repo_info(name, repo_type="model").private)
        if private and not hidden:
            raise ExchangeError(
                f"The model {name} is there already and everybody can see it; nothing was uploaded. Name another one, "
                "make it private on the Hub, or say --public."
            )
        commit = api.upload_folder(
            repo_id=name,
            repo_type="model",
            folder_path=folder,
            allow_patterns=FILES,
            delete_patterns="*.safetensors",
            commit_message=f"Version {version.name}",
        )
    except REFUSALS as error:
        raise ExchangeError(
            f"The Hub refuses to take {name} ({str(error).splitlines()[0]}). Log in with `hf auth login`, and name a "
            "model that you may write to."
        ) from error
    except OUT_OF_REACH as error:
        raise ExchangeError(f"The Hub cannot be reached ({error}). Try again with a connection.") from error
    return PublishedVersion(str(url), hidden, commit.oid)


def pull_version(
    store: AnnotationStore,
    repository: str,
    *,
    load: Load,
    compare: Compare | None = None,
    name: str | None = None,
    revision: str | None = None,
    api: HfApi | None = None,
) -> ModelVersion:
    """Take a model of the Hub as a version that can be promoted; it is checked and loaded once before.

    Args:
        store: where it is registered; its files go under `models`.
        repository: ORG/NAME on the Hub.
        load: to try whether it can answer.
        compare: with the model in use; without it, and where it is not better, it takes a reason to promote it.
        name: of the version; by default the repository's, with a number where that is taken.
        revision: branch, tag or commit; by default the newest.
        api: with another address or token than the machine's own.

    Raises:
        ExchangeError: where the Hub is out of reach or refuses, or the weights are in another form than safetensors.
        ModelUnavailableError: where it is no model of ours or lacks our labels, or its weights differ from its record.
    """
    api = _reach(api)
    chosen = _free_name(store, check_name("The version's name", name) or repository.rpartition("/")[2])
    models = store.data_dir / "models"
    models.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{chosen}-", dir=models))
    try:
        try:
            info = api.model_info(repository, revision=revision)
            files = [sibling.rfilename for sibling in info.siblings or []]
            if not any(file.endswith(".safetensors") for file in files):
                raise ExchangeError(
                    f"The model {repository} has no *.safetensors (it has {', '.join(files[:5]) or 'no files'}); other "
                    "forms of weights can run foreign code. Convert it, or take another."
                )
            api.snapshot_download(repository, revision=info.sha, local_dir=scratch, allow_patterns=FILES)
        except REFUSALS as error:
            raise ExchangeError(
                f"The Hub does not give out {repository} ({str(error).splitlines()[0]}). Check the name; for a private "
                "one log in with `hf auth login`."
            ) from error
        except OUT_OF_REACH as error:
            raise ExchangeError(f"The Hub cannot be reached ({error}). Try again with a connection.") from error
        # What the library notes of the download is of no use in the version.
        shutil.rmtree(scratch / ".cache", ignore_errors=True)
        record = _read_record(scratch)
        target = str(record.get("target", "acoustic"))
        sha256 = _check(scratch, target, load)
        metrics = compare(target, str(scratch)) if compare is not None else {}
        origin = {"origin": {"repository": repository, "commit": info.sha, "name": record.get("name")}}
        scratch.chmod(0o755)
        os.replace(scratch, models / chosen)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    with store.database.writing() as connection:
        lineage = {**origin, "there": record.get("lineage", {}), "metrics_there": record.get("metrics", {})}
        version_id = insert_version(
            connection, chosen, sha256, f"models/{chosen}", None, metrics, target=target, lineage=lineage
        )
        return to_model_version(require_version(connection, version_id))


def _reach(api: HfApi | None) -> HfApi:
    if api is None and not hub_reachable():
        raise ExchangeError("The Hub cannot be reached from here. Try again with a connection; nothing was changed.")
    return api or HfApi()


def _read_record(folder: Path) -> dict[str, Any]:
    """What `version_card.write_card` wrote there; empty for a model of others."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ExchangeError(f"{RECORD} of the model is damaged: {error}. Ask its owner to publish it again.") from error
    if not isinstance(record, dict) or record.get("target", "acoustic") not in TARGETS:
        raise ExchangeError(f"{RECORD} of the model names no target that is known here: {', '.join(TARGETS)}.")
    return record


def _check(folder: Path, target: str, load: Load) -> str:
    """Check a folder's files and labels; returns the hash of its weights."""
    resolve_checkpoint(folder)
    sha256 = verify(folder).sha256 if (folder / META_FILE).is_file() else weights_sha256(folder)
    load(target, str(folder))
    return sha256


def _free_name(store: AnnotationStore, name: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".") or "pulled"
    taken = {version.name for version in list_versions(store)}
    numbers = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(
        free for free in (name, *numbers) if free not in taken and not (store.data_dir / "models" / free).exists()
    )
