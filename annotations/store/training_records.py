"""Model versions, promotions and training runs of the store.

The half of `AnnotationStore` that knows no clip; it starts no training and loads no model.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from sqlite3 import Connection

from annotations.errors import StoreError, TrainingInProgressError, VersionNotFoundError
from annotations.store.database import StoreDatabase
from annotations.store.new_records import NewVersion, check_rater
from annotations.store.records import RUN_STATUSES, UNFINISHED, ModelVersion, TrainingRun
from annotations.store.rows import (
    insert_promotion,
    insert_row,
    insert_version,
    link_corrections,
    require_version,
    timestamp,
    to_json,
    to_model_version,
    to_training_run,
)

PROGRAM = "program"
"""Author of promotions that no person made."""

RESUMABLE = ("paused", "interrupted")
"""The statuses of runs that can go on where they were."""

UNKNOWN = "unknown"
"""In place of a hash, for a model that is only known by its name."""


class TrainingRecords:
    """Model versions, promotions and training runs of one database."""

    database: StoreDatabase

    def ensure_base_version(self, name: str, sha256: str, target: str = "acoustic") -> ModelVersion:
        """Record the model that the program starts with, once; promote it if there is no current version or an old one.

        Args:
            name: `embedded` for the weights that ship with the program, else the folder or Hub id of the model.
            sha256: of its weights file; `UNKNOWN` if only its name identifies it.
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

    def queue_training_run(
        self,
        config: Mapping[str, object],
        base_version_id: int,
        started_by: str,
        *,
        target: str = "acoustic",
        preset: str = "quick",
        cause: str = "asked",
        git_commit: str | None = None,
    ) -> TrainingRun:
        """Record that a run is wanted; it has no votes yet, and begins when nothing else runs.

        Args:
            config: the training settings as JSON values.
            base_version_id: the current version now; what it really starts from is settled when it begins.
            started_by: who asked.
            target: what is trained.
            preset: `quick` or `thorough`.
            cause: why: `asked`, or the setting that asks.
            git_commit: of the code, if known.

        Returns:
            The run; one that waits already, where the same was asked for before.

        Raises:
            VersionNotFoundError: if there is no such base version.
        """
        started_by = check_rater(started_by)
        with self.database.writing() as connection:
            waiting = connection.execute(
                "SELECT * FROM training_runs WHERE status = 'queued' AND target = ? AND config = ? "
                "AND snapshot_sha256 IS NULL ORDER BY id LIMIT 1",
                (target, to_json(config)),
            ).fetchone()
            if waiting is not None:
                return to_training_run(waiting)
            require_version(connection, base_version_id)
            run_id = insert_row(
                connection,
                "training_runs",
                status="queued",
                target=target,
                preset=preset,
                cause=cause,
                config=config,
                git_commit=git_commit,
                base_version_id=base_version_id,
                started_by=started_by,
                started_at=timestamp(),
            )
            return read_run(connection, run_id)

    def begin_training_run(
        self,
        run_id: int,
        *,
        config: Mapping[str, object],
        base_version_id: int,
        correction_ids: Iterable[int],
        snapshot_sha256: str,
    ) -> TrainingRun:
        """Let a waiting run begin on the votes as they stand now.

        Args:
            run_id: of a queued run.
            config: its settings, with what it starts from.
            base_version_id: the version it starts from.
            correction_ids: the votes it trains on.
            snapshot_sha256: of these votes.

        Raises:
            StoreError: if it does not wait.
            TrainingInProgressError: if another runs.
        """
        with self.database.writing() as connection:
            _require_status(read_run(connection, run_id), ("queued",))
            _require_nothing_runs(connection)
            require_version(connection, base_version_id)
            connection.execute(
                "UPDATE training_runs SET status = 'running', config = ?, base_version_id = ?, snapshot_sha256 = ?, "
                "reason = NULL WHERE id = ?",
                (to_json(config), base_version_id, snapshot_sha256, run_id),
            )
            connection.execute("DELETE FROM training_run_corrections WHERE training_run_id = ?", (run_id,))
            link_corrections(connection, run_id, correction_ids)
            return read_run(connection, run_id)

    def continue_training_run(self, run_id: int) -> TrainingRun:
        """Let a queued run that began before go on; `TrainingInProgressError` if another runs."""
        return self._move_run(run_id, ("queued",), "running", reason=None)

    def requeue_training_run(self, run_id: int) -> TrainingRun:
        """Let a paused or interrupted run wait for its turn to go on."""
        return self._move_run(run_id, RESUMABLE, "queued", finished_at=None)

    def pause_training_run(self, run_id: int, reason: str) -> TrainingRun:
        """Pause a running or waiting run until somebody resumes it."""
        return self._move_run(run_id, ("running", "queued"), "paused", reason=reason)

    def close_training_run(self, run_id: int, status: str, reason: str) -> TrainingRun:
        """Record that a run ends without a result: `cancelled`, `failed` or `interrupted`.

        Raises:
            StoreError: if it came to a decision or was cancelled before.
        """
        if status not in ("cancelled", "failed", "interrupted"):
            raise StoreError(f"A run cannot end as '{status}' without a result.")
        return self._move_run(run_id, (*UNFINISHED, "interrupted"), status, reason=reason, finished_at=timestamp())

    def _move_run(self, run_id: int, expected: Iterable[str], status: str, **changes: str | None) -> TrainingRun:
        """Give a run another status and other values; `StoreError` if its status is none of those expected."""
        with self.database.writing() as connection:
            _require_status(read_run(connection, run_id), expected)
            if status == "running":
                _require_nothing_runs(connection)
            columns = "".join(f", {column} = ?" for column in changes)
            connection.execute(
                f"UPDATE training_runs SET status = ?{columns} WHERE id = ?", (status, *changes.values(), run_id)
            )
            return read_run(connection, run_id)

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
            status: one of `RUN_STATUSES` that are not `UNFINISHED`; `promoted` needs a version, which becomes current.
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

    def unfinished_runs(self) -> list[TrainingRun]:
        """Runs that wait, run or are paused, in the order they are due."""
        query = "SELECT * FROM training_runs WHERE status IN ('queued', 'running', 'paused') ORDER BY id"
        with self.database.reading() as connection:
            return [to_training_run(row) for row in connection.execute(query)]


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


def read_run(connection: Connection, run_id: int) -> TrainingRun:
    """The run with that id, or `StoreError`."""
    row = connection.execute("SELECT * FROM training_runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise StoreError(f"There is no training run {run_id}. Choose one of the list of runs.")
    return to_training_run(row)


def _require_status(run: TrainingRun, statuses: Iterable[str]) -> None:
    expected = tuple(statuses)
    if run.status not in expected:
        raise StoreError(f"Training run {run.id} is {run.status}; expected {' or '.join(expected)}. Look at its state.")


def _require_nothing_runs(connection: Connection) -> None:
    other = connection.execute("SELECT id, started_by FROM training_runs WHERE status = 'running'").fetchone()
    if other is not None:
        raise TrainingInProgressError(
            f"Training run {other['id']}, started by {other['started_by']}, is still going on. "
            "Wait for its end or cancel it."
        )
