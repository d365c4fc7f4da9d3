"""Runs that wait their turn, rest, and go on: what the store keeps of them between a request and a decision.

Starts no process; the part of `annotations.store.training_records` that knows no model.
"""

from collections.abc import Iterable, Mapping
from sqlite3 import Connection

from annotations.errors import StoreError, TrainingInProgressError
from annotations.store.database import StoreDatabase
from annotations.store.records import UNFINISHED, TrainingRun
from annotations.store.tables.rows import timestamp, to_json, to_training_run
from annotations.store.tables.writes import link_corrections, require_version
from annotations.store.validation import check_rater

RESUMABLE = ("paused", "interrupted")
"""The statuses of runs that can go on if they were."""


class RunRecords:
    """The queue of training runs of one database."""

    database: StoreDatabase

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
            cursor = connection.execute(
                "INSERT INTO training_runs (status, target, preset, cause, config, git_commit, base_version_id, "
                "started_by, started_at) VALUES ('queued', ?, ?, ?, ?, ?, ?, ?, ?)",
                (target, preset, cause, to_json(config), git_commit, base_version_id, started_by, timestamp()),
            )
            assert cursor.lastrowid is not None
            return read_run(connection, cursor.lastrowid)

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
        """Let a queued run that began before go on.

        Raises:
            StoreError: if it does not wait.
            TrainingInProgressError: if another runs.
        """
        with self.database.writing() as connection:
            _require_status(read_run(connection, run_id), ("queued",))
            _require_nothing_runs(connection)
            connection.execute("UPDATE training_runs SET status = 'running', reason = NULL WHERE id = ?", (run_id,))
            return read_run(connection, run_id)

    def requeue_training_run(self, run_id: int) -> TrainingRun:
        """Let a paused or interrupted run wait for its turn to go on.

        Raises:
            StoreError: if it is neither.
        """
        with self.database.writing() as connection:
            _require_status(read_run(connection, run_id), RESUMABLE)
            connection.execute(
                "UPDATE training_runs SET status = 'queued', finished_at = NULL WHERE id = ?",
                (run_id,),
            )
            return read_run(connection, run_id)

    def pause_training_run(self, run_id: int, reason: str) -> TrainingRun:
        """Record that a running or waiting run rests until somebody continues it.

        Raises:
            StoreError: if it has ended.
        """
        with self.database.writing() as connection:
            _require_status(read_run(connection, run_id), ("running", "queued"))
            connection.execute("UPDATE training_runs SET status = 'paused', reason = ? WHERE id = ?", (reason, run_id))
            return read_run(connection, run_id)

    def close_training_run(self, run_id: int, status: str, reason: str) -> TrainingRun:
        """Record that a run ends without a result: `cancelled`, `failed` or `interrupted`.

        Raises:
            StoreError: if it came to a decision or was cancelled before.
        """
        if status not in ("cancelled", "failed", "interrupted"):
            raise StoreError(f"A run cannot end as '{status}' without a result.")
        with self.database.writing() as connection:
            _require_status(read_run(connection, run_id), (*UNFINISHED, "interrupted"))
            connection.execute(
                "UPDATE training_runs SET status = ?, reason = ?, finished_at = ? WHERE id = ?",
                (status, reason, timestamp(), run_id),
            )
            return read_run(connection, run_id)

    def unfinished_runs(self) -> list[TrainingRun]:
        """Runs that wait, run or rest, in the order they are due."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM training_runs WHERE status IN ('queued', 'running', 'paused') ORDER BY id"
            )
            return [to_training_run(row) for row in rows]


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
