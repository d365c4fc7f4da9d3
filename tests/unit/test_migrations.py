"""A database of every older schema, with rows in it, becomes one of today's and keeps everything."""

import json
import sqlite3

import pytest
from sqlite_utils import Database

from annotations.raters.names import key_owner
from annotations.raters.people import Access, free_name, identify
from annotations.raters.votes import effective_corrections
from annotations.review.filters import QueueFilter
from annotations.review.queue import QueueOrder, queue_page
from annotations.store import AnnotationStore, NewVote, queries
from annotations.store.database import migrate
from annotations.store.migrations import MIGRATIONS
from tests.unit.stored import recording

SCORES = {
    "fused": {"fear": 0.75, "anger": 0.25},
    "acoustic": {"fear": 1.0},
    "text": {"anger": 1.0},
}

ROWS = (
    (
        "clips",
        "id, sha256, duration, speaker, source, uncertainty, created_at",
        (1, "{0}", 0.5, "s1", "page", 0.3, "t1"),
    ),
    (
        "clips",
        "id, sha256, duration, speaker, source, uncertainty, created_at",
        (2, "{1}", 0.5, None, "nemo", None, "t2"),
    ),
    (
        "clips",
        "id, sha256, duration, speaker, source, uncertainty, created_at",
        (3, "{2}", 0.5, None, "nemo", None, "t3"),
    ),
    ("consents", "clip_id, purpose, given_by, created_at", (1, "training", "ann", "t1")),
    ("consents", "clip_id, purpose, given_by, created_at", (2, "research", None, "t1")),
    ("model_versions", "id, name, sha256, created_at", (1, "embedded", "a", "t1")),
    ("promotions", "model_version_id, promoted_by, reason, created_at", (1, "ann", "first", "t1")),
    (
        "predictions",
        "id, clip_id, model_version_id, label, scores, entropy, transcript, details, created_at",
        (1, 1, 1, "fear", json.dumps(SCORES), 0.3, "kids are talking", '{"transcript": {"language": "en"}}', "t1"),
    ),
    (
        "corrections",
        "id, clip_id, prediction_id, rater, verdict, label, created_at",
        (1, 1, 1, "ann", "accept", "fear", "t2"),
    ),
    (
        "corrections",
        "id, clip_id, prediction_id, rater, verdict, label, created_at",
        (2, 1, None, "bob", "correct", "anger", "t3"),
    ),
    (
        "corrections",
        "id, clip_id, prediction_id, rater, verdict, label, created_at",
        (3, 1, None, "bob", "skip", None, "t4"),
    ),
    (
        "corrections",
        "id, clip_id, prediction_id, rater, verdict, label, created_at",
        (4, 2, None, "ann", "unsure", None, "t5"),
    ),
    (
        "corrections",
        "id, clip_id, prediction_id, rater, verdict, label, created_at",
        (5, 2, None, "import:nemo", "correct", "fear", "t6"),
    ),
    ("correction_retractions", "correction_id, retracted_at", (3, "t7")),
    (
        "training_runs",
        "id, status, config, base_version_id, started_by, started_at, finished_at",
        (1, "failed", "{{}}", 1, "ann", "t1", "t2"),
    ),
    ("training_run_corrections", "training_run_id, correction_id", (1, 1)),
)

NAMES = [migration.name for migration in MIGRATIONS.pending(Database(memory=True))]


def fill(connection, columns_of):
    hashes = [recording(seed).sha256 for seed in range(3)]
    for table, columns, values in ROWS:
        given = {
            name: value.format(*hashes)
            if isinstance(value, str) and "{" in value and name != "scores" and name != "details"
            else value
            for name, value in zip(columns.split(", "), values, strict=True)
            if name in columns_of(table)
        }
        marks = ", ".join("?" * len(given))
        connection.execute(f"INSERT INTO {table} ({', '.join(given)}) VALUES ({marks})", [*given.values()])


def dump(connection, tables):
    found = {}
    for table, columns in tables.items():
        rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2").fetchall()
        found[table] = [tuple(row) for row in rows]
    return found


@pytest.mark.parametrize("last", range(1, len(NAMES) + 1))
def test_every_older_database_keeps_its_rows_and_fills_the_queue(tmp_path, last):
    connection = sqlite3.connect(tmp_path / "annotations.db", isolation_level=None)
    MIGRATIONS.apply(Database(connection), stop_before=NAMES[last:])
    old = Database(connection)

    def columns_of(table):
        return [column.name for column in old[table].columns]

    fill(connection, columns_of)
    kept = {table: [name for name in columns_of(table) if name != "uncertainty"] for table, _, _ in ROWS}
    before = dump(connection, kept)
    connection.close()
    with AnnotationStore(tmp_path) as store:
        with store.reading() as migrated:
            assert dump(migrated, kept) == before
            assert not MIGRATIONS.pending(Database(migrated))
            assert migrated.execute("SELECT count(*) FROM clips").fetchone()[0] == 3
            (first, second, third) = migrated.execute("SELECT * FROM queue_clips ORDER BY clip_id").fetchall()
        assert (first["label"], first["entropy"], first["language"]) == ("fear", 0.3, "en")
        if last == 1:  # Rows that an older program wrote; newer ones write these numbers themselves.
            assert (first["margin"], first["disagreement"]) == (0.5, 1.0)
        assert (first["votes"], first["judged"], first["dispute"]) == (2, 2, 0.5)
        assert (second["votes"], second["judged"], second["entropy"]) == (1, 1, None)
        assert (third["votes"], third["judged"]) == (0, 0)
        assert store.database.problems() == []
        search = QueueFilter(text="talking")
        assert [item.clip.id for item in queue_page(store, "cid", QueueOrder.OLDEST, search)] == [1]
        assert [item.clip.id for item in queue_page(store, "bob", QueueOrder.OLDEST)] == [2, 3]
        votes = [(vote.rater, vote.label, vote.answer_shown) for vote in effective_corrections(store)]
        assert votes == [
            ("ann", "fear", None),
            ("bob", "anger", None),
            ("ann", None, None),
            ("import:nemo", "fear", None),
        ]
        store.add_correction(3, NewVote("bob", "correct", distribution={"fear": 1, "anger": 1}, valence=20))
        assert queries.clip_history(store, 3)[-1].correction.distribution == {"anger": 0.5, "fear": 0.5}


def test_owners_get_a_kind_and_names_that_look_alike_a_number(tmp_path):
    connection = sqlite3.connect(tmp_path / "annotations.db", isolation_level=None)
    old = NAMES.index("m012_type_owners_of_names")
    MIGRATIONS.apply(Database(connection), stop_before=NAMES[old:])
    fill(connection, lambda table: [column.name for column in Database(connection)[table].columns])
    key = key_owner("key of Ann").removeprefix("key:")
    connection.executemany(
        "INSERT INTO rater_names (name, owner, created_at) VALUES (?, ?, ?)",
        [("Ann", key, "t1"), ("ann", "login", "t5"), ("b\u0435th", key[::-1], "t2"), ("zoe", key, "t8")],
    )
    connection.executemany(
        "INSERT INTO role_grants (name, role, granted_by, created_at) VALUES (?, ?, ?, ?)",
        [("Ann", "maintainer", "mia", "t2"), ("zoe", "maintainer", "mia", "t7"), ("Bob", "visitor", "mia", "t9")],
    )
    connection.execute(
        "INSERT INTO corrections (id, clip_id, rater, verdict, label, created_at) "
        "VALUES (6, 1, 'Ann', 'correct', 'anger', 't6')"
    )
    connection.close()
    access = Access(role_without_login="annotator")
    with AnnotationStore(tmp_path) as store:
        with store.reading() as migrated:
            owners = dict(migrated.execute("SELECT name, owner FROM rater_names").fetchall())
        assert owners == {
            "Ann-2": f"key:{key}", "ann": "login:ann", "b\u0435th": f"key:{key[::-1]}", "zoe": f"key:{key}",
        }  # fmt: skip
        assert [(vote.rater, vote.label) for vote in effective_corrections(store) if vote.clip_id == 1] == [
            ("ann", "fear"),
            ("bob", "anger"),
            ("Ann-2", "anger"),
        ]
        assert store.database.problems() == []
        assert identify(store, access, "ann", login=True).role == "annotator"
        assert free_name(store, access, "Ann", "key of Ann") == "Ann-2"
        assert identify(store, access, "Ann-2", login=False, key="key of Ann").role == "maintainer"
        assert identify(store, access, "zoe", login=False, key="key of Ann").role == "annotator", "claimed after it"
        assert identify(store, access, "zoe", login=True).role == "maintainer"
        assert identify(store, access, "bob", login=True).role == "annotator", "the role was Bob-2's"
        assert [vote.clip_id for vote in [store.undo_last_correction("Ann-2")]] == [1]


def test_what_the_migration_fills_is_what_the_triggers_keep(tmp_path):
    """The same rows before and after the migration give the same tables."""
    found = []
    for last in (1, len(NAMES)):
        connection = sqlite3.connect(tmp_path / f"{last}.db", isolation_level=None)
        database = Database(connection)
        MIGRATIONS.apply(database, stop_before=NAMES[last:])
        fill(connection, lambda table, db=database: [column.name for column in db[table].columns])
        migrate(connection)
        found.append(
            dump(
                connection,
                {
                    "queue_clips": [
                        "clip_id",
                        "source",
                        "language",
                        "prediction_id",
                        "label",
                        "entropy",
                        "votes",
                        "judged",
                        "dispute",
                    ],
                    "judgements": ["clip_id", "rater", "correction_id", "verdict", "label"],
                    "clip_texts": ["clip_id", "text"],
                },
            )
        )
        connection.close()
    filled, kept = found
    kept["clip_texts"] = [row for row in kept["clip_texts"] if row[1]]
    assert filled == kept
