"""Retraining that begins by itself: after so many new votes, or at a time of day.

Looks and asks; the run itself is `annotations.learning.runs.retrainer`'s. What it found is kept in a file, so that a
request that was refused is not made again on the same votes, and so that people can see why nothing happens.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.runs.status import AFTER, AT, TriggerReport, read_trigger, write_trigger
from annotations.raters.votes import training_examples, votes_hash
from annotations.store import AnnotationStore
from annotations.store.queries import list_training_runs
from annotations.store.records import FeedbackExample, TrainingRun
from annotations.store.settings import AnnotationSettings, read_settings
from annotations.store.training_records import PROGRAM
from ser.errors import SerError

GRACE = timedelta(hours=1)
"""Time window in which a daily run may still start: nobody may look at that very minute."""


class Triggers:
    """The settings' own requests for runs.

    Args:
        retrainer: whom to ask.
    """

    def __init__(self, retrainer: Retrainer) -> None:
        self.retrainer = retrainer
        self.store = retrainer.store
        self._seen: tuple[object, ...] | None = None

    def check(self, now: datetime | None = None) -> TriggerReport:
        """Ask for a run if one is due; if it is refused, that is kept and not asked again on the same votes.

        Args:
            now: with a zone; the present by default.
        """
        now = now or datetime.now(UTC)
        settings = read_settings(self.store)
        last = read_trigger(self.store.data_dir)
        due_at = settings.retrain_at is not None and is_time(settings.retrain_at, now, last)
        seen = (*_votes_mark(self.store), settings, due_at)
        if seen == self._seen and last is not None:
            return replace(last, began=False)
        report = self._look(settings, due_at, now, last or TriggerReport(""))
        self._seen = seen if not self.store.unfinished_runs() else None
        if report != last:
            write_trigger(self.store.data_dir, report)
        return report

    def _look(self, settings: AnnotationSettings, due_at: bool, now: datetime, last: TriggerReport) -> TriggerReport:
        if settings.retrain_after is None and settings.retrain_at is None:
            return replace(last, message="Retraining begins only when it is asked for.", began=False)
        if self.store.unfinished_runs():
            return replace(last, message="A run is under way.", began=False)
        examples = training_examples(self.store)
        new = count_new(examples, _last_begun(self.store), self.store)
        by_count = settings.retrain_after is not None and new >= settings.retrain_after
        cause = AFTER if by_count else AT if due_at and new else None
        if cause is None:
            return replace(last, message=_waiting(settings, new), began=False)
        votes = votes_hash(examples)
        if last.votes == votes and last.run_id is None:
            return replace(last, began=False)
        at = now.astimezone(UTC).isoformat(timespec="seconds")
        try:
            run = self.retrainer.start(PROGRAM, cause=cause)
        except SerError as error:
            return TriggerReport(f"No run began by itself: {error}", at, cause, None, votes)
        return TriggerReport(
            f"Run {run.id} began by itself on {new} new vote{'' if new == 1 else 's'}.",
            at,
            cause,
            run.id,
            votes,
            began=True,
        )


def is_time(setting: str, now: datetime, last: TriggerReport | None) -> bool:
    """True if the time of day came within the last hour and no run was requested since.

    >>> is_time("23:30", datetime(2026, 1, 2, 0, 10, tzinfo=UTC), None)
    True
    >>> is_time("23:30", datetime(2026, 1, 2, 12, 0, tzinfo=UTC), None)
    False
    """
    now = now.astimezone(UTC)
    hour, minute = map(int, setting.split(":"))
    moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if moment > now:
        moment -= timedelta(days=1)
    if now - moment > GRACE:
        return False
    return last is None or last.at is None or datetime.fromisoformat(last.at) < moment


def count_new(examples: Sequence[FeedbackExample], run: TrainingRun | None, store: AnnotationStore) -> int:
    """Count the votes that the last run did not read, whatever its outcome."""
    votes = {vote for example in examples for vote in example.correction_ids}
    if run is None:
        return len(votes)
    rows = store.fetch("SELECT correction_id FROM training_run_corrections WHERE training_run_id = ?", (run.id,))
    return len(votes - {row["correction_id"] for row in rows})


def _waiting(settings: AnnotationSettings, new: int) -> str:
    conditions = []
    if settings.retrain_after is not None:
        conditions.append(f"after {settings.retrain_after} new vote{'' if settings.retrain_after == 1 else 's'}")
    if settings.retrain_at is not None:
        conditions.append(f"at {settings.retrain_at} UTC if there is any")
    return f"Retraining begins by itself {' and '.join(conditions)}; there are {new}."


def _last_begun(store: AnnotationStore) -> TrainingRun | None:
    begun = (run for run in list_training_runs(store) if run.snapshot_sha256 is not None and run.target == "acoustic")
    return next(begun, None)


def _votes_mark(store: AnnotationStore) -> tuple[int | None, ...]:
    """A value that changes whenever a vote or a consent comes or goes; costs no look at the votes themselves."""
    query = (
        "SELECT (SELECT max(id) FROM corrections), (SELECT count(*) FROM correction_retractions), "
        "(SELECT max(id) FROM training_runs)"
    )
    return tuple(store.fetch(query)[0])
