"""The registry of model versions: origin, promotion, and the way back.

Reads and writes the store; loads no model and imports no torch. Weights are looked at as files only.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from annotations.errors import StoreError, VersionNotFoundError
from annotations.store import AnnotationStore
from annotations.store.erasure_log import versions_with_erased
from annotations.store.new_records import check_rater
from annotations.store.queries import has_weights, list_versions
from annotations.store.records import ModelVersion
from annotations.store.rows import insert_promotion, to_model_version, to_record
from ser.acoustic.folders import HEAD_FILE, is_head, is_retired
from ser.checkpoints.folder import META_FILE, WEIGHTS_FILE, verify, weights_sha256
from ser.errors import ModelUnavailableError

HEAVY = ("*.safetensors", "*.onnx", "model.bin")
"""The weights in a version's folder."""


ROLLED_BACK = "back to the version that was in use before"


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
        override: the reason of who promoted it against the comparison, if somebody did.
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
        version = {**asdict(self.version), "run": self.version.training_run_id}
        left_out = ("training_run_id", "parent_id")
        own = {**vars(self), "erased": None if self.erased is None else dict(self.erased)}
        return {name: value for name, value in {**version, **own}.items() if name not in ("version", *left_out)}


def active_versions(store: AnnotationStore) -> dict[str, ModelVersion]:
    """List {target: current version} of all targets that have one."""
    rows = store.fetch(
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
    ended = store.fetch("SELECT * FROM training_runs WHERE new_version_id IS NOT NULL")
    runs = {row["new_version_id"]: dict(row) for row in ended}
    counted = store.fetch("SELECT training_run_id, count(*) FROM training_run_corrections GROUP BY 1")
    votes = {run_id: count for run_id, count in counted}
    overridden = store.fetch("SELECT model_version_id, reason FROM promotions WHERE overrides ORDER BY id")
    overrides = {version_id: reason for version_id, reason in overridden}
    decisions = {version.id: runs.get(version.id, comparison_of(version)) for version in versions}
    return [
        VersionEntry(
            version=version,
            in_use=version.id in in_use,
            parent=None if version.parent_id is None else names.get(version.parent_id),
            decision=decisions[version.id].get("status") or decisions[version.id].get("decision"),
            reason=decisions[version.id].get("reason"),
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
    return [row["correction_id"] for row in store.fetch(query, (version.training_run_id,))]


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


@dataclass(frozen=True)
class Promotion:
    """A version promoted.

    Attributes:
        overrides: whether the comparison had refused it.
        rolls_back: the promotion that this one undoes.
    """

    id: int
    model_version_id: int
    promoted_by: str
    reason: str
    created_at: str
    overrides: bool = False
    rolls_back: int | None = None


def refusal_of(store: AnnotationStore, version: ModelVersion) -> str | None:
    """Explain why the comparison did not promote a version; None if it did, or if it came with the program."""
    row = next(
        iter(store.fetch("SELECT status, reason FROM training_runs WHERE new_version_id = ?", (version.id,))), None
    )
    if row is None:
        said = comparison_of(version)
        return None if said.get("decision") in (None, "promoted") else said["reason"]
    return None if row["status"] == "promoted" else str(row["reason"] or row["status"])


def promote_version(
    store: AnnotationStore, version: ModelVersion, *, by: str, reason: str | None = None, loaded: bool = False
) -> Promotion:
    """Promote a version; one that the comparison refused needs a reason, which is kept.

    Processes that answer find out at their next answer: see `annotations.learning.versions.active`.

    Args:
        store: to write to.
        version: of any target.
        by: who decides.
        reason: a sentence for the record.
        loaded: whether the caller has just loaded it; otherwise its files are looked at.

    Raises:
        StoreError: if the comparison refused it and no reason is given.
        ModelUnavailableError: if its weights are gone or damaged.
    """
    if not loaded:
        check_weights(store, version)
    refusal = refusal_of(store, version)
    given = (reason or "").strip()
    if refusal is not None and not given:
        raise StoreError(
            f"The comparison did not promote {version.name} ({refusal.rstrip('.')}). To promote it all the same, "
            "give a reason (--reason TEXT on the command line); it is kept."
        )
    with store.database.writing() as connection:
        reason = given or "chosen from the versions"
        insert_promotion(connection, version.id, check_rater(by), reason, overrides=refusal is not None)
    return list_promotions(store, version.target)[-1]


def roll_back(
    store: AnnotationStore, *, by: str, target: str = "acoustic", reason: str | None = None, loaded: bool = False
) -> Promotion:
    """Return to the previous version; again, and it is the one before that.

    Args:
        store: to write to.
        by: who decides.
        target: which of the models.
        reason: a sentence for the record.
        loaded: as in `promote_version`.

    Raises:
        VersionNotFoundError: if there is none.
        ModelUnavailableError: if its weights are damaged.
    """
    undone, version = way_back(store, target)
    if not loaded:
        check_weights(store, version)
    with store.database.writing() as connection:
        given = (reason or "").strip() or ROLLED_BACK
        insert_promotion(connection, version.id, check_rater(by), given, rolls_back=undone.id)
    return list_promotions(store, target)[-1]


def way_back(store: AnnotationStore, target: str = "acoustic") -> tuple[Promotion, ModelVersion]:
    """The promotion that a roll-back would undo, and the version it would go back to.

    Versions whose weights are not kept any more are passed over.

    Raises:
        VersionNotFoundError: if nothing was in use before.
    """
    standing: list[Promotion] = []
    for promotion in list_promotions(store, target):
        if promotion.rolls_back is not None:
            # What was in use from the one undone to here is undone with it; back is where it stood before that.
            while standing and standing[-1].id >= promotion.rolls_back:
                standing.pop()
            while standing and standing[-1].model_version_id != promotion.model_version_id:
                standing.pop()
        if not standing or standing[-1].model_version_id != promotion.model_version_id:
            standing.append(promotion)
    if standing:
        for before in reversed(standing[:-1]):
            version = store.get_model_version(before.model_version_id)
            if has_weights(store, version):
                return standing[-1], version
    name = store.get_model_version(standing[-1].model_version_id).name if standing else "one"
    raise VersionNotFoundError(f"There is no {target} version to go back to from {name}. Promote one of the list.")


def list_promotions(store: AnnotationStore, target: str = "acoustic") -> list[Promotion]:
    """List promotions, oldest first."""
    rows = store.fetch(
        "SELECT promotions.* FROM promotions JOIN model_versions ON model_versions.id = model_version_id "
        "WHERE target = ? ORDER BY promotions.id",
        (target,),
    )
    return [to_record(row, Promotion) for row in rows]
