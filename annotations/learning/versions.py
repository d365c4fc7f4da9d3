"""The registry of model versions: what each is made of, which is in use, the way there and the way back.

Reads and writes the store; loads no model and imports no torch. Weights are looked at as files only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from annotations.erasure_log import versions_with_erased
from annotations.errors import StoreError, VersionNotFoundError
from annotations.learning.verdicts import comparison_of, refusal_of
from annotations.queries import list_versions
from annotations.records import ModelVersion
from annotations.rows import to_model_version
from annotations.store import AnnotationStore
from annotations.validation import check_rater
from annotations.writes import insert_promotion
from ser.checkpoints import META_FILE, verify, weights_sha256
from ser.errors import ModelUnavailableError

HEAVY = ("*.safetensors", "*.onnx")
"""The weights in a version's folder."""

ROLLED_BACK = "back to the version that was in use before"


@dataclass(frozen=True)
class VersionEntry:
    """A version with all that the registry knows of it.

    Attributes:
        version: the record itself.
        in_use: whether it is the one of its target that answers.
        parent: name of the version it was learnt from; None where it was not learnt here.
        decision: `promoted` or `refused` by the comparison, or `not compared` where a pulled one could not be; None
            where it came with the program.
        reason: of that decision, in a sentence.
        votes: how many its run read.
        override: the reason of whoever put it to use against the comparison, where somebody did.
        erased: clips and votes that it learnt from and that were erased since; None where there are none.
    """

    version: ModelVersion
    in_use: bool
    parent: str | None = None
    decision: str | None = None
    reason: str | None = None
    votes: int = 0
    override: str | None = None
    erased: Mapping[str, int] | None = None

    def as_dict(self) -> dict[str, object]:
        """As JSON values."""
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
        }


@dataclass(frozen=True)
class Promotion:
    """A version put to use.

    Attributes:
        overrides: whether the comparison had refused it.
        rolls_back: the promotion that this one undoes.
    """

    id: int
    version_id: int
    by: str
    reason: str
    at: str
    overrides: bool = False
    rolls_back: int | None = None


def active_versions(store: AnnotationStore) -> dict[str, ModelVersion]:
    """{target: version in use} of all targets that have one."""
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
        )
        for version in versions
        if target in (None, version.target)
    ]


def find_version(store: AnnotationStore, name_or_id: str) -> ModelVersion:
    """A version by its name, or by its id.

    Raises:
        VersionNotFoundError: where there is none, with the names that there are.
    """
    versions = list_versions(store)
    for wanted in (lambda v: v.name == name_or_id, lambda v: str(v.id) == name_or_id):
        for version in versions:
            if wanted(version):
                return version
    raise VersionNotFoundError(
        f"There is no model version '{name_or_id}'. There are {', '.join(v.name for v in versions) or 'none yet'}."
    )


def votes_of(store: AnnotationStore, version: ModelVersion) -> list[int]:
    """Ids of the votes that the version's run read, in order; erased ones are gone from it."""
    query = "SELECT correction_id FROM training_run_corrections WHERE training_run_id = ? ORDER BY 1"
    with store.reading() as connection:
        return [row["correction_id"] for row in connection.execute(query, (version.training_run_id,))]


def promote_version(
    store: AnnotationStore, version: ModelVersion, *, by: str, reason: str | None = None, loaded: bool = False
) -> Promotion:
    """Put a version to use; one that the comparison refused needs a reason, which is kept.

    Whoever answers finds out at the next answer: see `annotations.learning.active_model`.

    Args:
        store: to write to.
        version: of any target.
        by: who decides.
        reason: a sentence for the record.
        loaded: whether the caller has just loaded it; otherwise its files are looked at.

    Raises:
        StoreError: where the comparison refused it and no reason is given.
        ModelUnavailableError: where its weights are gone or damaged.
    """
    if not loaded:
        check_weights(store, version)
    refusal = refusal_of(store, version)
    given = (reason or "").strip()
    if refusal is not None and not given:
        raise StoreError(
            f"The comparison did not promote {version.name} ({refusal.rstrip('.')}). To put it to use all the same, "
            "give a reason (--reason TEXT on the command line); it is kept."
        )
    with store.database.writing() as connection:
        reason = given or "chosen from the versions"
        insert_promotion(connection, version.id, check_rater(by), reason, overrides=refusal is not None)
    return list_promotions(store, version.target)[-1]


def roll_back(
    store: AnnotationStore, *, by: str, target: str = "acoustic", reason: str | None = None, loaded: bool = False
) -> Promotion:
    """Go back to the version that was in use before; again, and it is the one before that.

    Args:
        store: to write to.
        by: who decides.
        target: which of the models.
        reason: a sentence for the record.
        loaded: as in `promote_version`.

    Raises:
        VersionNotFoundError: where there is none.
        ModelUnavailableError: where its weights are damaged.
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
        VersionNotFoundError: where nothing was in use before.
    """
    standing: list[Promotion] = []
    for promotion in list_promotions(store, target):
        if promotion.rolls_back is not None:
            # What was in use from the one undone to here is undone with it; back is where it stood before that.
            while standing and standing[-1].id >= promotion.rolls_back:
                standing.pop()
            while standing and standing[-1].version_id != promotion.version_id:
                standing.pop()
        if not standing or standing[-1].version_id != promotion.version_id:
            standing.append(promotion)
    if standing:
        for before in reversed(standing[:-1]):
            version = store.get_model_version(before.version_id)
            if version.weights_removed_at is None and (
                version.path is None or (store.data_dir / version.path).is_dir()
            ):
                return standing[-1], version
    name = store.get_model_version(standing[-1].version_id).name if standing else "one"
    raise VersionNotFoundError(f"There is no {target} version to go back to from {name}. Promote one of the list.")


def list_promotions(store: AnnotationStore, target: str = "acoustic") -> list[Promotion]:
    """What was put to use, oldest first."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT promotions.* FROM promotions JOIN model_versions ON model_versions.id = model_version_id "
            "WHERE target = ? ORDER BY promotions.id",
            (target,),
        )
        return [
            Promotion(
                id=row["id"],
                version_id=row["model_version_id"],
                by=row["promoted_by"],
                reason=row["reason"],
                at=row["created_at"],
                overrides=bool(row["overrides"]),
                rolls_back=row["rolls_back"],
            )
            for row in rows
        ]


def check_weights(store: AnnotationStore, version: ModelVersion) -> None:
    """Make sure that a version's weights are there, and are those that were recorded.

    Raises:
        ModelUnavailableError: where they are not.
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
    found = verify(folder).sha256 if (folder / META_FILE).is_file() and any(folder.glob("model.safetensors")) else None
    if found is None and any(any(folder.glob(pattern)) for pattern in HEAVY):
        found = weights_sha256(folder)
    if found is not None and found != version.sha256:
        raise ModelUnavailableError(
            f"The weights of version '{version.name}' are not those that were recorded: their SHA-256 is "
            f"{found[:12]}..., not {version.sha256[:12]}.... Choose another version."
        )
