"""What the store knows of a clip or a person before it is erased: the words, the sources, the models that learnt.

Within the transaction of an erasure; deletes nothing.
"""

import sqlite3

SHORTEST_TEXT = 12
"""Characters of a transcript that is looked for in logs; shorter ones, such as 'yes', stand there for other reasons."""


def words_of(connection: sqlite3.Connection, listed: str) -> list[str]:
    """What was said in clips, as models and raters wrote it down; too short a text tells nothing from others."""
    chosen = "IN (SELECT value FROM json_each(?1))"
    rows = connection.execute(
        f"SELECT transcript FROM clips WHERE id {chosen} "
        f"UNION SELECT transcript FROM predictions WHERE clip_id {chosen} "
        f"UNION SELECT transcript FROM corrections WHERE clip_id {chosen} "
        f"UNION SELECT comment FROM corrections WHERE clip_id {chosen}",
        (listed,),
    )
    return [row["transcript"] for row in rows if row["transcript"] and len(row["transcript"]) >= SHORTEST_TEXT]


def forget_sources(connection: sqlite3.Connection, name: str) -> None:
    """A folder that was imported may be named after a person."""
    connection.execute("UPDATE imports SET source = 'erased' WHERE instr(source, ?)", (name,))


def mark_runs(connection: sqlite3.Connection, number: int, concerned: str, parameters: tuple[object, ...]) -> list[str]:
    """Note which training runs learnt from votes that are about to go.

    Args:
        connection: within the erasure's transaction.
        number: of the erasure.
        concerned: SQL that is true of the votes.
        parameters: of that SQL.

    Returns:
        Names of the versions that came of these runs, and of those that started from such a version.
    """
    connection.execute(
        "INSERT INTO erasure_runs SELECT ?, training_run_id, count(DISTINCT clip_id), count(*) "
        "FROM training_run_corrections JOIN corrections ON corrections.id = correction_id "
        f"WHERE {concerned} GROUP BY training_run_id",
        (number, *parameters),
    )
    rows = connection.execute(
        "WITH RECURSIVE marked (id, run) AS ("
        "SELECT model_versions.id, model_versions.training_run_id FROM model_versions "
        "JOIN erasure_runs ON erasure_runs.training_run_id = model_versions.training_run_id WHERE erasure_id = ? "
        "UNION SELECT model_versions.id, model_versions.training_run_id FROM marked "
        "JOIN training_runs ON training_runs.base_version_id = marked.id "
        "JOIN model_versions ON model_versions.training_run_id = training_runs.id) "
        "SELECT name FROM model_versions WHERE id IN (SELECT id FROM marked) ORDER BY id",
        (number,),
    )
    return [row["name"] for row in rows]
