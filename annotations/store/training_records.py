"""Model versions, promotions and training runs of the store.

The half of `AnnotationStore` that knows no clip; it starts no training and loads no model.
"""

from collections.abc import Mapping
from dataclasses import replace
from sqlite3 import Connection

from annotations.errors import StoreError, VersionNotFoundError
from annotations.store.database import StoreDatabase
from annotations.store.new_records import NewVersion
from annotations.store.records import RUN_STATUSES, UNFINISHED, ModelVersion, TrainingRun
from annotations.store.tables.rows import timestamp, to_json, to_model_version
from annotations.store.tables.run_records import RunRecords, read_run
from annotations.store.tables.writes import insert_promotion, insert_version, require_version

PROGRAM = "program"
"""Author of promotions that no person made."""

UNKNOWN = "unknown"
"""In place of a hash, for a model that is only known by its name."""


class TrainingRecords(RunRecords):
    """Model versions, promotions and training runs of one database."""

    database: StoreDatabase

    def ensure_base_version(self, name: str, sha256: str, target: str = "acoustic") -> ModelVersion:
        """Record the model that the program starts with, once; promote it if there is no current version or an old one.

        Args:
            name: `embedded` for the weights that ship with the program, else the folder or Hub id of the model.
            sha256: of its weights file; `UNKNOWN` where it can only be told by its name.
            target: which of the models it is.

        Returns:
            Its version: of that name, or with the hash's start behind it where other weights had that name.
        """
        with self.database.writing() as connection:
            row = connection.execute(
                "SELECT * FROM model_versions WHERE path IS NULL AND sha256 = ? AND target = ? "
                "AND (sha256 <> ? OR name = ?) ORDER BY id LIMIT 1",
                (sha256, target, UNKNOWN, name),
            ).fetchone()
            if row is None:
                taken = connection.execute("SELECT 1 FROM model_versions WHERE name = ?", (name,)).fetchone()
                name = f"{name}-{sha256[:8]}" if taken else name
                row = require_version(connection, insert_version(connection, NewVersion(name, sha256), target))
            in_use = find_active_version(connection, target)
            if in_use is None:
                insert_promotion(connection, row["id"], PROGRAM, "the model that the program starts with")
            elif in_use.path is None and in_use.id != row["id"]:
                # Weights that lie outside the store are gone with the program or the setting that named them.
                insert_promotion(connection, row["id"], PROGRAM, "the program starts with another model now")
            return to_model_version(row)

    def active_version(self, target: str = "acoustic") -> ModelVersion:
        """Return the current version of a target, or raise `VersionNotFoundError`."""
        with self.database.reading() as connection:
            return read_active_version(connection, target)

    def get_model_version(self, version_id: int) -> ModelVersion:
        """The version with that id, or `VersionNotFoundError`."""
        with self.database.reading() as connection:
            return to_model_version(require_version(connection, version_id))

    def finish_training_run(
        self,
        run_id: int,
        status: str,
        metrics: Mapping[str, object],
        reason: str | None,
        version: NewVersion | None = None,
    ) -> TrainingRun:
        """Record the end of a run, the version it made and, if it is promoted, the promotion: all or nothing.

        Args:
            run_id: of a run that is going on.
            status: one of `RUN_STATUSES` that are not `UNFINISHED`; `promoted` needs a version and puts it to use.
            metrics: figures before and after as JSON values; empty if it did not come so far.
            reason: the decision in a sentence, or what went wrong.
            version: what it made.

        Raises:
            StoreError: if there is no such run, it has ended before, the status is no end, or the name is taken.
        """
        ends = [known for known in RUN_STATUSES if known not in UNFINISHED]
        if status not in ends:
            raise StoreError(f"A run cannot end as '{status}'; expected one of {', '.join(ends)}.")
        with self.database.writing() as connection:
            run = read_run(connection, run_id)
            if run.status != "running":
                raise StoreError(f"Training run {run_id} has ended before: it is {run.status}.")
            version_id = None
            if version is not None:
                lineage = {**lineage_of(run), **version.lineage}
                new = replace(version, metrics=metrics, lineage=lineage, parent_id=run.base_version_id, run_id=run_id)
                version_id = insert_version(connection, new, run.target)
            if status == "promoted":
                if version_id is None:
                    raise StoreError(f"Training run {run_id} made no version; there is nothing to promote.")
                insert_promotion(connection, version_id, run.started_by, reason or f"training run {run_id}")
            connection.execute(
                "UPDATE training_runs SET status = ?, metrics = ?, reason = ?, new_version_id = ?, finished_at = ? "
                "WHERE id = ?",
                (status, to_json(metrics), reason, version_id, timestamp(), run_id),
            )
            return read_run(connection, run_id)

    def get_training_run(self, run_id: int) -> TrainingRun:
        """The run with that id, or `StoreError`."""
        with self.database.reading() as connection:
            return read_run(connection, run_id)


def lineage_of(run: TrainingRun) -> dict[str, object]:
    """Describe the origin of a version from its run; the votes themselves are linked to the run."""
    return {
        "run": run.id,
        "snapshot_sha256": run.snapshot_sha256,
        "config": dict(run.config),
        "git_commit": run.git_commit,
        "seed": run.config.get("seed"),
        "preset": run.preset,
        "cause": run.cause,
    }


def find_active_version(connection: Connection, target: str = "acoustic") -> ModelVersion | None:
    """The version of the target's latest promotion, if there is one."""
    row = connection.execute(
        "SELECT model_versions.* FROM promotions JOIN model_versions ON model_versions.id = model_version_id "
        "WHERE model_versions.target = ? ORDER BY promotions.id DESC LIMIT 1",
        (target,),
    ).fetchone()
    return to_model_version(row) if row else None


def read_active_version(connection: Connection, target: str = "acoustic") -> ModelVersion:
    """The version of the target's latest promotion, or `VersionNotFoundError`."""
    version = find_active_version(connection, target)
    if version is None:
        raise VersionNotFoundError("No model version is in use yet. Start the app once, or promote a version.")
    return version
