"""The registry of model versions: origin, promotion, and the way back.

Reads and writes the store; loads no model and imports no torch. Weights are looked at as files only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from annotations.errors import VersionNotFoundError
from annotations.store import AnnotationStore
from annotations.store.queries import list_versions
from annotations.store.records import ModelVersion
from annotations.store.tables.erasure_log import versions_with_erased
from annotations.store.tables.rows import to_model_version
from ser.acoustic.classifier import is_retired
from ser.acoustic.head import HEAD_FILE, is_head
from ser.checkpoints.folder import META_FILE, WEIGHTS_FILE, verify, weights_sha256
from ser.errors import ModelUnavailableError

HEAVY = ("*.safetensors", "*.onnx", "model.bin")
"""The weights in a version's folder."""


@dataclass(frozen=True)
class VersionEntry:
    """A version with all that the registry knows of it.

    Attributes:
        version: the record itself.
        in_use: whether it is the one of its target that answers.
        parent: name of the version it was trained on; None if it was not trained here.
        decision: `promoted` or `refused` by the comparison, or `not compared` if it was pulled; None if it
            came with the program.
        reason: of that decision, in a sentence.
        votes: how many its run read.
        override: the reason of whoever put it to use against the comparison, if somebody did.
        erased: clips and votes that it trained on and that were erased since; None if there are none.
        retired: whether it is a network of an earlier version of the program, which nothing can run any more.
    """

    version: ModelVersion
    in_use: bool
    parent: str | None = None
    decision: str | None = None
    reason: str | None = None
    votes: int = 0
    override: str | None = None
    erased: Mapping[str, int] | None = None
    retired: bool = False

    @property
    def can_be_used(self) -> bool:
        """True if it may be promoted: not current, its weights there, and of a kind that runs."""
        return not self.in_use and not self.retired and self.version.weights_removed_at is None

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        version = self.version
        return {
            "id": version.id,
            "name": version.name,
            "target": version.target,
            "in_use": self.in_use,
            "created_at": version.created_at,
            "sha256": version.sha256,
            "path": version.path,
            "parent": self.parent,
            "run": version.training_run_id,
            "decision": self.decision,
            "reason": self.reason,
            "override": self.override,
            "votes": self.votes,
            "lineage": dict(version.lineage),
            "metrics": dict(version.metrics),
            "weights_removed_at": version.weights_removed_at,
            "erased": None if self.erased is None else dict(self.erased),
            "retired": self.retired,
        }


def active_versions(store: AnnotationStore) -> dict[str, ModelVersion]:
    """List {target: current version} of all targets that have one."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT model_versions.* FROM promotions JOIN model_versions ON model_versions.id = model_version_id "
            "WHERE promotions.id IN (SELECT max(promotions.id) FROM promotions "
            "JOIN model_versions ON model_versions.id = model_version_id GROUP BY target)"
        )
        return {row["target"]: to_model_version(row) for row in rows}


def list_entries(store: AnnotationStore, target: str | None = None) -> list[VersionEntry]:
    """All versions, or those of a target, newest first."""
    versions = list_versions(store)
    names = {version.id: version.name for version in versions}
    in_use = {version.id for version in active_versions(store).values()}
    marked = versions_with_erased(store)
    with store.reading() as connection:
        runs = {
            row["new_version_id"]: row
            for row in connection.execute("SELECT * FROM training_runs WHERE new_version_id IS NOT NULL")
        }
        votes = dict(
            connection.execute("SELECT training_run_id, count(*) FROM training_run_corrections GROUP BY 1").fetchall()
        )
        overrides = dict(
            connection.execute("SELECT model_version_id, reason FROM promotions WHERE overrides ORDER BY id").fetchall()
        )
    return [
        VersionEntry(
            version=version,
            in_use=version.id in in_use,
            parent=None if version.parent_id is None else names.get(version.parent_id),
            decision=runs[version.id]["status"] if version.id in runs else comparison_of(version).get("decision"),
            reason=runs[version.id]["reason"] if version.id in runs else comparison_of(version).get("reason"),
            votes=votes.get(version.training_run_id, 0),
            override=overrides.get(version.id),
            erased=marked.get(version.id),
            retired=_is_retired(store, version),
        )
        for version in versions
        if target in (None, version.target)
    ]


def find_version(store: AnnotationStore, name_or_id: str) -> ModelVersion:
    """A version by its name, or by its id.

    Raises:
        VersionNotFoundError: if there is none, with the names that there are.
    """
    versions = list_versions(store)
    for wanted in (lambda v: v.name == name_or_id, lambda v: str(v.id) == name_or_id):
        for version in versions:
            if wanted(version):
                return version
    raise VersionNotFoundError(
        f"There is no model version '{name_or_id}'. There are {', '.join(v.name for v in versions) or 'none yet'}."
    )


def comparison_of(version: ModelVersion) -> Mapping[str, str]:
    """Return the decision on a version from the Hub: its `decision` and `reason`; empty for one of a run."""
    said = version.metrics.get("comparison")
    if isinstance(said, Mapping):
        return said
    if "origin" in version.lineage:
        return {
            "decision": "not compared",
            "reason": "It came from elsewhere and was not compared with the current one.",
        }
    return {}


def votes_of(store: AnnotationStore, version: ModelVersion) -> list[int]:
    """Ids of the votes that the version's run read, in order; erased ones are gone from it."""
    query = "SELECT correction_id FROM training_run_corrections WHERE training_run_id = ? ORDER BY 1"
    with store.reading() as connection:
        return [row["correction_id"] for row in connection.execute(query, (version.training_run_id,))]


def _is_retired(store: AnnotationStore, version: ModelVersion) -> bool:
    """True if a version's folder holds a network that nothing can run any more."""
    if version.target != "acoustic" or version.path is None:
        return False
    folder = store.data_dir / version.path
    return (folder / "config.json").is_file() and not is_head(folder) and is_retired(folder)


def check_weights(store: AnnotationStore, version: ModelVersion) -> None:
    """Make sure that a version's weights are there, and are those that were recorded.

    Raises:
        ModelUnavailableError: if they are not.
    """
    if version.weights_removed_at is not None:
        raise ModelUnavailableError(
            f"The weights of version '{version.name}' were removed on {version.weights_removed_at[:10]} to save space. "
            "Choose another version, or pull it from where it was published."
        )
    if version.path is None:
        return
    folder = store.data_dir / version.path
    if not folder.is_dir():
        raise ModelUnavailableError(f"The weights of version '{version.name}' are gone: there is no folder {folder}.")
    found = None
    for weights in (WEIGHTS_FILE, HEAD_FILE):
        if (folder / META_FILE).is_file() and (folder / weights).is_file():
            found = verify(folder, weights).sha256
    if found is None and any(any(folder.glob(pattern)) for pattern in HEAVY):
        found = weights_sha256(folder)
    if found is not None and found != version.sha256:
        raise ModelUnavailableError(
            f"The weights of version '{version.name}' are not those that were recorded: their SHA-256 is "
            f"{found[:12]}..., not {version.sha256[:12]}.... Choose another version."
        )
