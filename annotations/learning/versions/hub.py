"""Publishes model versions on the Hub, private unless asked otherwise, and takes models of the Hub as versions.

Weights travel as safetensors, or in CTranslate2's form: others can run foreign code when they are opened.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from annotations.errors import ExchangeError
from annotations.exchange.exports.publishing import make_repository, plain_hub_errors, reach_hub
from annotations.learning.versions.card import RECORD
from annotations.learning.versions.registry import check_weights
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion, check_name
from annotations.store.queries import list_versions
from annotations.store.records import TARGETS, ModelVersion
from annotations.store.rows import insert_version, require_version, to_model_version
from ser.acoustic.folders import HEAD_FILE, is_head
from ser.checkpoints.folder import META_FILE, verify, weights_sha256
from ser.checkpoints.hub import CHECKPOINT_FILES, CTRANSLATE2_WEIGHTS, resolve_checkpoint

FILES = [*CHECKPOINT_FILES, "README.md"]

WEIGHTS = ["*.safetensors", CTRANSLATE2_WEIGHTS]

Load = Callable[[str, str], Any]
"""Loader from a target and a folder to a model; raises ModelUnavailableError if the folder holds none of that kind."""


@dataclass(frozen=True)
class PublishedVersion:
    """Address of a published version.

    Attributes:
        private: whether only its owners see it.
        commit: on the Hub.
    """

    url: str
    private: bool
    commit: str

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        return asdict(self)


def push_version(
    store: AnnotationStore, version: ModelVersion, name: str, *, private: bool = True, api: HfApi | None = None
) -> PublishedVersion:
    """Put a version's folder into a model repository on the Hub, in place of the weights that were there before.

    Args:
        store: where it is registered.
        version: with a folder of its own, and a card in it (see `annotations.learning.versions.card`).
        name: ORG/NAME of the repository; made if it is missing.
        private: whether one that is made now is seen by its owners alone.
        api: with another address or token than the machine's own.

    Raises:
        ExchangeError: if the Hub is out of reach or refuses, or the version has no weights to publish.
        ModelUnavailableError: if its weights are not those that were recorded.
    """
    if version.path is None:
        raise ExchangeError(
            f"Version '{version.name}' came with the program or its settings; there is nothing of it to publish here."
        )
    check_weights(store, version)
    folder = store.data_dir / version.path
    if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        raise ExchangeError(f"Version '{version.name}' has no *.safetensors in {folder}; nothing else is published.")
    api = reach_hub(api)
    with plain_hub_errors(
        f"The Hub refuses to take {name} ({{reason}}). Log in with `hf auth login`, and name a model that you may "
        "write to."
    ):
        url, hidden = make_repository(api, name, "model", private)
        commit = api.upload_folder(
            repo_id=name,
            repo_type="model",
            folder_path=folder,
            allow_patterns=FILES,
            delete_patterns=WEIGHTS,
            commit_message=f"Version {version.name}",
        )
    return PublishedVersion(url, hidden, commit.oid)


def pull_version(
    store: AnnotationStore,
    repository: str,
    *,
    load: Load,
    name: str | None = None,
    revision: str | None = None,
    api: HfApi | None = None,
) -> ModelVersion:
    """Take a model of the Hub as a version that can be promoted, with a reason; it is checked and loaded once before.

    Args:
        store: where it is registered; its files go under `models`.
        repository: ORG/NAME on the Hub.
        load: to try whether it can answer.
        name: of the version; by default the repository's, with a number where that is taken.
        revision: branch, tag or commit; by default the newest.
        api: with another address or token than the machine's own.

    Raises:
        ExchangeError: if the Hub is out of reach or refuses, or the weights are in another form than safetensors.
        ModelUnavailableError: if it is no emotion model or lacks the labels, or its weights differ from its record.
    """
    api = reach_hub(api)
    chosen = _free_name(store, check_name("The version's name", name) or repository.rpartition("/")[2])
    models = store.data_dir / "models"
    models.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{chosen}-", dir=models))
    try:
        commit = _download(api, repository, revision, scratch)
        # What the library notes of the download is of no use in the version.
        shutil.rmtree(scratch / ".cache", ignore_errors=True)
        record = _read_record(scratch)
        target = str(record.get("target", "acoustic"))
        sha256 = _check(scratch, target, load)
        origin = {"origin": {"repository": repository, "commit": commit, "name": record.get("name")}}
        scratch.chmod(0o755)
        os.replace(scratch, models / chosen)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    with store.database.writing() as connection:
        lineage = {**origin, "there": record.get("lineage", {}), "metrics_there": record.get("metrics", {})}
        new = NewVersion(chosen, sha256, f"models/{chosen}", lineage=lineage)
        version_id = insert_version(connection, new, target)
        return to_model_version(require_version(connection, version_id))


def _download(api: HfApi, repository: str, revision: str | None, folder: Path) -> str:
    """Download a model's files into a folder; returns the commit."""
    with plain_hub_errors(
        f"The Hub does not give out {repository} ({{reason}}). Check the name; for a private one log in with "
        "`hf auth login`."
    ):
        info = api.model_info(repository, revision=revision)
        files = [sibling.rfilename for sibling in info.siblings or []]
        if not any(file.endswith(".safetensors") or file == CTRANSLATE2_WEIGHTS for file in files):
            raise ExchangeError(
                f"The model {repository} has no *.safetensors (it has {', '.join(files[:5]) or 'no files'}); other "
                "forms of weights can run foreign code. Convert it, or take another."
            )
        api.snapshot_download(repository, revision=info.sha, local_dir=folder, allow_patterns=FILES)
    return str(info.sha)


def _read_record(folder: Path) -> dict[str, Any]:
    """Read what `card.write_card` wrote; empty for a model that this program did not publish."""
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
    if is_head(folder):
        sha256 = verify(folder, HEAD_FILE).sha256
    else:
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
