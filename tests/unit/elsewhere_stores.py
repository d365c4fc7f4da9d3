"""Stores with something in every table, and comparisons of a store with what was brought back of it."""

import sqlite3
from pathlib import Path

from annotations.elsewhere.copying import Copier
from annotations.elsewhere.journal import in_order
from annotations.elsewhere.places import open_place
from annotations.elsewhere.restoring import take_over
from annotations.exchange.exports.exporting import export_store
from annotations.exchange.imports.importing import import_sources
from annotations.exchange.imports.options import ImportOptions
from annotations.labels.label_set import LabelSet, emotion_label
from annotations.labels.stored import change_label_set
from annotations.raters.guidelines import write_guidelines
from annotations.raters.names import move_aside
from annotations.raters.people import Access, Person, identify, set_role
from annotations.raters.replies import RatedReply, save_reply
from annotations.raters.votes import mark_gold
from annotations.review.leases import take_lease
from annotations.store import AnnotationStore, NewClip, NewVote, grant
from annotations.store.embeddings import insert_embedding
from annotations.store.faces import NewFace
from annotations.store.new_records import NewVersion
from annotations.store.settings import AnnotationSettings, change_settings
from ser.types import Embedding
from tests.unit.stored import answer, begin_run, recording, write_wav

SECRET = "the quick purple hippopotamus whispers"
RATER = "Persephone Quillfeather"
KEY = "a browser's secret"

DERIVED = {"judgements": ("changed",), "queue_clips": ("chance", "changed"), "clip_texts": ("changed",)}
"""Tables that triggers keep, and their columns that differ from one history to another."""


def save_vote(store: AnnotationStore, seed: int, rater: str = RATER, said: str = SECRET) -> tuple[int, int]:
    """Store a recording with a vote on it; returns the ids of the two."""
    vote = NewVote(
        rater, "correct", "fear", 60, transcript=f"{said} {seed}", comment=f"{said}!", valence=20, seconds=2.5
    )
    face = NewFace(b"\xff\xd8" + bytes(range(256)) + said.encode(), "Keep this picture", rater)
    clip = NewClip("page", f"speaker {seed % 2}", grants=grant(["research", "training"], rater, "I agree"), face=face)
    stored, cast = store.save_feedback(recording(seed), answer(), vote, clip)
    with store.database.writing() as connection:
        insert_embedding(connection, stored.id, Embedding((0.5, -1.25, float(seed)), "a" * 64))
    return stored.id, cast.id


def begin(data_dir: Path) -> AnnotationStore:
    """A store with the program's own model."""
    store = AnnotationStore(data_dir)
    store.ensure_base_version("embedded", "a" * 64)
    return store


def do_everything(store: AnnotationStore, scratch: Path) -> None:
    """Write to every table, by every kind of statement."""
    me = Person("boss", "maintainer")
    first, vote = save_vote(store, 1)
    second, _ = save_vote(store, 2)
    said = RatedReply("helpful", (("Ann", SECRET),), f"{SECRET}?", f"{SECRET}!", "ask", "fear", "sentences", "en")
    save_reply(store, said, RATER, ["research", "training"])
    store.add_correction(first, NewVote("bob", "unsure"))
    store.add_correction(first, NewVote("bob", "correct", "anger"))
    store.undo_last_correction("bob")
    mark_gold(store, second, "sadness", by="boss")
    change_settings(store, AnnotationSettings(overlap=3, blind=True), by="boss")
    write_guidelines(store, "Listen twice.", me)
    change_label_set(store, LabelSet((emotion_label("anger", "1"), emotion_label("fear", "2"))), by="boss")
    identify(store, Access(), RATER, login=False, key=KEY, claim=True)
    set_role(store, RATER, "annotator", me)
    with store.database.writing() as connection:
        move_aside(connection, RATER, "another key")
        connection.execute("INSERT INTO missing_media VALUES (?, 'test', '2026')", (second,))
        connection.execute("DELETE FROM missing_media")
    take_lease(store, "bob", [first, second], overlap=5, minutes=5.0)
    write_wav(scratch / "in" / "a.wav", 3)
    import_sources(store, [scratch / "in"], ImportOptions(consent=("research",), consent_by="boss"))
    export_store(store, "csv", scratch / "out.csv", "research")
    run = begin_run(store, store.active_version().id, "boss", [vote])
    folder = store.data_dir / "models" / "v1"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "README.md").write_text("A card.", encoding="utf-8")
    with store.database.writing() as connection:
        connection.execute("INSERT INTO run_clips VALUES (?, ?, 'training')", (run.id, first))
        connection.execute("INSERT INTO requeues VALUES (?, ?, 'boss', '2026')", (second, vote))
        connection.execute("INSERT INTO suspects VALUES (?, ?, 'fear', 'anger', 0.9, ?, '2026')", (first, run.id, vote))
    store.finish_training_run(run.id, "promoted", {}, "better", NewVersion("v1", "b" * 64, "models/v1"))


def contents(store: AnnotationStore) -> dict[str, list[tuple[object, ...]]]:
    """{table: rows} of all that matters."""
    with store.reading() as connection:
        return {table: _rows(connection, table, DERIVED.get(table, ())) for table in (*in_order(connection), *DERIVED)}


def _rows(connection: sqlite3.Connection, table: str, without: tuple[str, ...]) -> list[tuple[object, ...]]:
    columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})") if row["name"] not in without]
    return sorted(map(tuple, connection.execute(f"SELECT {', '.join(columns)} FROM {table}")), key=repr)


def joined(store: AnnotationStore, url: object) -> Copier:
    """A copier that has joined a place."""
    copier = Copier(store, open_place(str(url)))
    copier.join()
    return copier


def rebuilt(url: object, data_dir: Path) -> AnnotationStore:
    """The store that a new disk gets from a place."""
    take_over(open_place(str(url)), data_dir, say=lambda text: None)
    return AnnotationStore(data_dir)
