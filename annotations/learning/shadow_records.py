"""What the store keeps of versions that answer on the side: since when, what they said, and how people judged it.

Loads no model; who answers is `annotations.learning.shadow`.
"""

from collections import Counter
from dataclasses import dataclass
from sqlite3 import Connection, Row

from annotations.errors import StoreError
from annotations.learning.versions import Promotion, list_promotions
from annotations.records import ModelVersion
from annotations.rows import timestamp
from annotations.store import AnnotationStore
from annotations.training_records import find_active_version
from annotations.validation import check_rater
from annotations.writes import insert_promotion, insert_shadow, require_version

MIN_JUDGED = 10
"""Votes on clips answered differently, under which they say too little to stop a version that the gate let pass."""


@dataclass(frozen=True)
class Shadow:
    """A version that answers on the side.

    Attributes:
        takes_over_at: when it is put to use unless people's votes speak against it, ISO 8601, UTC; None for never.
        ended_at: None while it answers.
        outcome: what became of it, in a sentence.
    """

    id: int
    version_id: int
    started_by: str
    started_at: str
    takes_over_at: str | None
    ended_at: str | None
    outcome: str | None


@dataclass(frozen=True)
class ShadowReport:
    """How a version does beside the one in use.

    Attributes:
        shadow: since when, and until when.
        answers: recordings that both answered.
        agreement: share of them with the same answer; None without any.
        differing: {(answer in use, its own): how often} of the others, most frequent first.
        votes: votes that people gave since on clips of these, where the two differ.
        right: share of those votes that name its own answer; None without any.
        right_in_use: share that name the answer in use.
    """

    shadow: Shadow
    answers: int
    agreement: float | None
    differing: dict[tuple[str, str], int]
    votes: int
    right: float | None
    right_in_use: float | None

    def as_dict(self) -> dict[str, object]:
        """As JSON values."""
        differing = [{"in_use": a, "shadow": b, "count": count} for (a, b), count in self.differing.items()]
        return {**vars(self), "shadow": dict(vars(self.shadow)), "differing": differing}

    def line(self) -> str:
        """For people."""
        if self.agreement is None:
            return "Nothing was answered since it began."
        said = f"The two agree on {100 * self.agreement:.0f} % of {self.answers} recordings"
        if self.right is None or self.right_in_use is None:
            return f"{said}; nobody has judged the others yet."
        return (
            f"{said}; of {self.votes} {'vote' if self.votes == 1 else 'votes'} on the others "
            f"{100 * self.right:.0f} % are for its answer and "
            f"{100 * self.right_in_use:.0f} % for the one in use."
        )


def start_shadow(store: AnnotationStore, version: ModelVersion, *, by: str, hours: float | None = None) -> Shadow:
    """Let a version answer on the side; where it does so already, that goes on.

    Args:
        store: to write to.
        version: not in use.
        by: who decides.
        hours: after which it is put to use, unless people's votes speak against it; None for never.

    Raises:
        StoreError: where it is in use, or its weights are gone.
    """
    by = check_rater(by)
    with store.database.writing() as connection:
        require_version(connection, version.id)
        in_use = find_active_version(connection, version.target)
        if in_use is not None and in_use.id == version.id:
            raise StoreError(f"{version.name} is in use; a shadow is a version that is not. Choose another.")
        if version.weights_removed_at is not None:
            raise StoreError(f"The weights of {version.name} were removed to save space. Choose another version.")
        insert_shadow(connection, version.id, by, hours)
        return _to_shadow(_open(connection, version.id)[0])


def end_shadow(store: AnnotationStore, version: ModelVersion, outcome: str = "stopped") -> None:
    """Let a version answer on the side no more; what it answered stays."""
    with store.database.writing() as connection:
        _end(connection, version.id, outcome)


def open_shadows(store: AnnotationStore) -> list[Shadow]:
    """Versions that answer on the side now, oldest first."""
    with store.reading() as connection:
        return [_to_shadow(row) for row in _open(connection)]


def shadow_report(store: AnnotationStore, version: ModelVersion) -> ShadowReport | None:
    """How a version has done on the side the last time; None where it never was."""
    with store.reading() as connection:
        row = connection.execute(
            "SELECT * FROM shadows WHERE version_id = ? ORDER BY id DESC LIMIT 1", (version.id,)
        ).fetchone()
        if row is None:
            return None
        pairs = Counter(
            (answer["main_label"], answer["label"])
            for answer in connection.execute("SELECT * FROM shadow_answers WHERE shadow_id = ?", (row["id"],))
        )
        votes = connection.execute(
            "SELECT DISTINCT shadow_answers.clip_id, rater, judgements.label AS vote, shadow_answers.label AS own, "
            "main_label FROM shadow_answers JOIN judgements ON judgements.clip_id = shadow_answers.clip_id "
            "WHERE shadow_id = ? AND judgements.label IS NOT NULL AND shadow_answers.label <> main_label",
            (row["id"],),
        ).fetchall()
    total = pairs.total()
    agreed = sum(count for (main, own), count in pairs.items() if main == own)
    return ShadowReport(
        shadow=_to_shadow(row),
        answers=total,
        agreement=agreed / total if total else None,
        differing={pair: count for pair, count in pairs.most_common() if pair[0] != pair[1]},
        votes=len(votes),
        right=sum(vote["vote"] == vote["own"] for vote in votes) / len(votes) if votes else None,
        right_in_use=sum(vote["vote"] == vote["main_label"] for vote in votes) / len(votes) if votes else None,
    )


def take_over_due(store: AnnotationStore) -> list[Promotion]:
    """Put to use what has answered on the side for as long as it should, unless people's votes speak against it.

    Returns:
        What was put to use.
    """
    taken = []
    for shadow in open_shadows(store):
        if shadow.takes_over_at is None or shadow.takes_over_at > timestamp():
            continue
        version = store.get_model_version(shadow.version_id)
        report = shadow_report(store, version)
        assert report is not None
        worse = report.right is not None and report.right_in_use is not None and report.right < report.right_in_use
        with store.database.writing() as connection:
            # Another process may have been quicker.
            if not _open(connection, version.id):
                continue
            if worse and report.votes >= MIN_JUDGED:
                _end(connection, version.id, f"Not put to use: {report.line()}")
                continue
            reason = f"It has answered beside the model in use since {shadow.started_at[:16]}. {report.line()}"
            _end(connection, version.id, "put to use")
            insert_promotion(connection, version.id, shadow.started_by, reason)
        taken.append(list_promotions(store, version.target)[-1])
    return taken


def _open(connection: Connection, version_id: int | None = None) -> list[Row]:
    return connection.execute(
        "SELECT * FROM shadows WHERE ended_at IS NULL AND version_id = coalesce(?, version_id) ORDER BY id",
        (version_id,),
    ).fetchall()


def _end(connection: Connection, version_id: int, outcome: str) -> None:
    connection.execute(
        "UPDATE shadows SET ended_at = ?, outcome = ? WHERE version_id = ? AND ended_at IS NULL",
        (timestamp(), outcome, version_id),
    )


def _to_shadow(row: Row) -> Shadow:
    return Shadow(
        id=row["id"],
        version_id=row["version_id"],
        started_by=row["started_by"],
        started_at=row["started_at"],
        takes_over_at=row["takes_over_at"],
        ended_at=row["ended_at"],
        outcome=row["outcome"],
    )
