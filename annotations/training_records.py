"""What the store keeps of retraining: model versions, which of them is in use, and training runs.

The half of `AnnotationStore` that knows no clip; it starts no training and loads no model.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from sqlite3 import Connection

from annotations.database import StoreDatabase
from annotations.errors import StoreError, TrainingInProgressError, VersionNotFoundError
from annotations.records import RUN_STATUSES, UNFINISHED, ModelVersion, TrainingRun
from annotations.rows import timestamp, to_json, to_model_version
from annotations.run_records import RunRecords, read_run
from annotations.validation import check_name, check_rater
from annotations.writes import insert_promotion, insert_shadow, insert_version, link_corrections, require_version

PROGRAM = "program"
"""Who promotes the model that the program starts with, where no person did."""

UNKNOWN = "unknown"
"""In place of a hash: of a model that is only known by its name."""


@dataclass(frozen=True)
class NewVersion:
    """A model version about to be recorded; see `TrainingRecords.add_model_version`.

    Attributes:
        lineage: what is to be kept of its origin besides what its run says.
    """

    name: str
    sha256: str
    path: str
    lineage: Mapping[str, object] = field(default_factory=dict)


class TrainingRecords(RunRecords):
    """Model versions, promotions and training runs of one database."""

    database: StoreDatabase

    def add_model_version(
        self, name: str, sha256: str, path: str | None, training_run_id: int | None, metrics: Mapping[str, object]
    ) -> ModelVersion:
        """Record trained weights; nothing uses them until they are promoted.

        Args:
            name: new among the versions, such as `v2`.
            sha256: of the weights file.
            path: the version's folder relative to the store's folder; None for embedded weights.
            training_run_id: the run that made it.
            metrics: figures as JSON values.

        Raises:
            StoreError: where the name is taken or empty, or there is no such run.
        """
        cleaned = check_name("The version's name", name)
        if cleaned is None:
            raise StoreError("The version's name is empty. Give it one, such as 'v2'.")
        with self.database.writing() as connection:
            if training_run_id is not None:
                read_run(connection, training_run_id)
            version_id = insert_version(connection, cleaned, sha256, path, training_run_id, metrics)
            return to_model_version(require_version(connection, version_id))

    def ensure_base_version(self, name: str, sha256: str, target: str = "acoustic") -> ModelVersion:
        """Record the model that the program starts with, once; put it to use where nothing or an older one is in use.

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
                row = require_version(
                    connection, insert_version(connection, name, sha256, None, None, {}, target=target)
                )
            in_use = find_active_version(connection, target)
            if in_use is None:
                insert_promotion(connection, row["id"], PROGRAM, "the model that the program starts with")
            elif in_use.path is None and in_use.id != row["id"]:
                # Weights that lie outside the store are gone with the program or the setting that named them.
                insert_promotion(connection, row["id"], PROGRAM, "the program starts with another model now")
            return to_model_version(row)

    def promote(self, version_id: int, *, by: str, reason: str) -> ModelVersion:
        """Put a version to use, a newer one or an older one again; the latest promotion holds.

        Args:
            version_id: of the version.
            by: who decides.
            reason: a sentence for the record.

        Raises:
            VersionNotFoundError: where there is no such version.
        """
        by = check_rater(by)
        with self.database.writing() as connection:
            version = to_model_version(require_version(connection, version_id))
            insert_promotion(connection, version_id, by, reason.strip() or "no reason given")
            return version

    def active_version(self, target: str = "acoustic") -> ModelVersion:
        """The version of a target in use, or `VersionNotFoundError` where none was ever promoted."""
        with self.database.reading() as connection:
            return read_active_version(connection, target)

    def get_model_version(self, version_id: int) -> ModelVersion:
        """The version with that id, or `VersionNotFoundError`."""
        with self.database.reading() as connection:
            return to_model_version(require_version(connection, version_id))

    def start_training_run(
        self,
        config: Mapping[str, object],
        git_commit: str | None,
        base_version_id: int,
        started_by: str,
        correction_ids: Iterable[int],
        *,
        target: str = "acoustic",
        preset: str = "quick",
        cause: str = "asked",
        snapshot_sha256: str | None = None,
    ) -> TrainingRun:
        """Record that a run has begun; only one may be going on, whichever process asks.

        Args:
            config: the training settings as JSON values.
            git_commit: of the code, where known.
            base_version_id: the version it starts from.
            started_by: who asked.
            correction_ids: the votes it learns from.
            target: what is trained.
            preset: `quick` or `thorough`.
            cause: why it begins: `asked`, or the setting that begins it.
            snapshot_sha256: of the votes as they stand.

        Raises:
            TrainingInProgressError: where another run has not ended.
            VersionNotFoundError: where there is no such base version.
        """
        started_by = check_rater(started_by)
        with self.database.writing() as connection:
            other = connection.execute("SELECT id, started_by FROM training_runs WHERE status = 'running'").fetchone()
            if other is not None:
                raise TrainingInProgressError(
                    f"Training run {other['id']}, started by {other['started_by']}, is still going on. "
                    "Wait for its end or cancel it."
                )
            require_version(connection, base_version_id)
            cursor = connection.execute(
                "INSERT INTO training_runs (status, target, preset, cause, config, snapshot_sha256, git_commit, "
                "base_version_id, started_by, started_at) VALUES ('running', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(target, preset, cause, to_json(config), snapshot_sha256),
                    *(git_commit, base_version_id, started_by, timestamp()),
                ),
            )
            assert cursor.lastrowid is not None
            link_corrections(connection, cursor.lastrowid, correction_ids)
            return read_run(connection, cursor.lastrowid)

    def finish_training_run(
        self,
        run_id: int,
        status: str,
        metrics: Mapping[str, object],
        reason: str | None,
        version: NewVersion | None = None,
        *,
        shadow_hours: float = 0.0,
    ) -> TrainingRun:
        """Record how a run ended, the version it made and, where it is promoted, that it is in use: all or nothing.

        Args:
            run_id: of a run that is going on.
            status: one of `RUN_STATUSES` that are not `UNFINISHED`; `promoted` needs a version and puts it to use.
            metrics: figures before and after as JSON values; empty where it did not come so far.
            reason: the decision in a sentence, or what went wrong.
            version: what it made.
            shadow_hours: how long a promoted version answers on the side before it is put to use; 0 puts it to use now.

        Raises:
            StoreError: where there is no such run, it has ended before, the status is no end, or the name is taken.
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
                version_id = insert_version(
                    connection,
                    version.name,
                    version.sha256,
                    version.path,
                    run_id,
                    metrics,
                    target=run.target,
                    parent_id=run.base_version_id,
                    lineage={**lineage_of(run), **version.lineage},
                )
            if status == "promoted":
                if version_id is None:
                    raise StoreError(f"Training run {run_id} made no version; there is nothing to promote.")
                if shadow_hours > 0:
                    insert_shadow(connection, version_id, run.started_by, shadow_hours)
                else:
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
    """What a version is made of, as far as its run says; the votes themselves are linked to the run."""
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
