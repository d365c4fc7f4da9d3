"""Promotions of model versions: the way to a version, and the way back."""

from dataclasses import dataclass

from annotations.errors import StoreError, VersionNotFoundError
from annotations.learning.versions.registry import check_weights, comparison_of
from annotations.store import AnnotationStore
from annotations.store.records import ModelVersion
from annotations.store.tables.writes import insert_promotion
from annotations.store.validation import check_rater

ROLLED_BACK = "back to the version that was in use before"


@dataclass(frozen=True)
class Promotion:
    """A version promoted.

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


def refusal_of(store: AnnotationStore, version: ModelVersion) -> str | None:
    """Explain why the comparison did not promote a version; None if it did, or if it came with the program."""
    with store.reading() as connection:
        row = connection.execute(
            "SELECT status, reason FROM training_runs WHERE new_version_id = ?", (version.id,)
        ).fetchone()
    if row is None:
        said = comparison_of(version)
        return None if said.get("decision") in (None, "promoted") else said["reason"]
    return None if row["status"] == "promoted" else str(row["reason"] or row["status"])


def promote_version(
    store: AnnotationStore, version: ModelVersion, *, by: str, reason: str | None = None, loaded: bool = False
) -> Promotion:
    """Promote a version; one that the comparison refused needs a reason, which is kept.

    Whoever answers finds out at the next answer: see `annotations.learning.versions.active`.

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
    """List promotions, oldest first."""
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
