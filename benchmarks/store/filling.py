"""A store as it is after years: clips with answers, transcripts, embeddings and votes, written in bulk by the schema.

Without recordings: the queue reads none.
"""

import json
import math
import random

import numpy as np
from tqdm import tqdm

from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from annotations.store.rows import disagreement, insert_version, margin, timestamp
from ser.labels import EMOTIONS

BATCH = 20_000
"""Clips in one transaction."""

ANSWERS = 50_000
"""Different answers, and different transcripts, of which each clip has one of each."""

SIZE = 384
"""Size of an embedding."""

VETERAN = "veteran"
"""Rater who has labelled the head of the queue: the clips that were least certain."""

WORDS = tuple(f"word{rank}" for rank in range(20_000))
"""The vocabulary; word0 is the most frequent, by Zipf's law."""

LANGUAGES = ("en", "pl", "de", "tr")
SOURCES = ("page", "api", "ravdess", "nemo", "turev", "call centre")


def fill(store: AnnotationStore, clips: int, seed: int) -> None:
    """Insert clips with a prediction, a transcript of eight words and an embedding each.

    Args:
        store: empty.
        clips: how many.
        seed: draws everything.
    """
    rng = np.random.default_rng(seed)
    versions = [store.ensure_base_version("embedded", "0" * 64).id]
    with store.database.writing() as connection:
        new = (NewVersion(f"v{n}", f"{n}" * 64, f"models/v{n}") for n in (2, 3))
        versions += [insert_version(connection, version) for version in new]
    answers = _draw_answers(rng)
    said = np.minimum(rng.zipf(1.3, (ANSWERS, 8)), len(WORDS)) - 1
    phrases = [" ".join(WORDS[word] for word in row) for row in said]
    for start in tqdm(range(1, clips + 1, BATCH), "fill", disable=None):
        _fill_batch(store, range(start, min(start + BATCH, clips + 1)), versions, answers, phrases, rng)


def _fill_batch(
    store: AnnotationStore,
    ids: range,
    versions: list[int],
    answers: list[tuple[object, ...]],
    phrases: list[str],
    rng: np.random.Generator,
) -> None:
    now, count = timestamp(), len(ids)
    drawn, spoken = rng.integers(len(answers), size=count), rng.integers(len(phrases), size=count)
    durations = rng.gamma(3.0, 1.2, count) + 0.4
    version = rng.choice(versions, count)
    vectors = rng.standard_normal((count, SIZE)).astype("<f2")
    with store.database.writing() as connection:
        connection.executemany(
            "INSERT INTO clips (id, sha256, duration, speaker, source, language, created_at) VALUES (?,?,?,?,?,?,?)",
            (
                (i, f"{i:064x}", float(seconds), f"speaker {i % 500}", SOURCES[i % 6], LANGUAGES[i % 7 % 4], now)
                for i, seconds in zip(ids, durations, strict=True)
            ),
        )
        connection.executemany(
            "INSERT INTO consents (clip_id, purpose, created_at) VALUES (?, 'research', ?)", ((i, now) for i in ids)
        )
        connection.executemany(
            "INSERT INTO predictions (clip_id, model_version_id, label, scores, entropy, margin, disagreement, "
            "transcript, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (i, int(v), *answers[answer], phrases[phrase], now)
                for i, v, answer, phrase in zip(ids, version, drawn, spoken, strict=True)
            ),
        )
        connection.executemany(
            "INSERT INTO embeddings (clip_id, encoder, vector) VALUES (?, 'benchmark', ?)",
            ((i, vector.tobytes()) for i, vector in zip(ids, vectors, strict=True)),
        )


def _draw_answers(rng: np.random.Generator) -> list[tuple[object, ...]]:
    """(label, scores, entropy, margin, disagreement) of answers that clips share; every second one has words."""
    sound, words = (rng.dirichlet(np.full(len(EMOTIONS), 0.6), ANSWERS) for _ in range(2))
    answers: list[tuple[object, ...]] = []
    for row in range(ANSWERS):
        voiced = dict(zip(EMOTIONS, sound[row].round(6).tolist(), strict=True))
        read = dict(zip(EMOTIONS, words[row].round(6).tolist(), strict=True)) if row % 2 else None
        entropy = -sum(share * math.log(share) for share in voiced.values() if share) / math.log(len(EMOTIONS))
        scores = json.dumps({"fused": voiced, "acoustic": voiced, "text": read})
        numbers = (min(max(entropy, 0.0), 1.0), margin(voiced), disagreement(voiced, read) if read else None)
        answers.append((max(voiced, key=lambda label: voiced[label]), scores, *numbers))
    return answers


def fill_votes(store: AnnotationStore, veteran: int, others: int, each: int, seed: int) -> None:
    """Insert votes: of one rater on the head of the queue, and of others on clips drawn at random.

    Args:
        store: filled.
        veteran: votes of `VETERAN`.
        others: how many more raters.
        each: votes of each of them.
        seed: draws clips and labels.
    """
    rng = random.Random(seed)
    with store.reading() as connection:
        head = connection.execute("SELECT clip_id FROM queue_clips ORDER BY entropy DESC, clip_id LIMIT ?", (veteran,))
        votes = [(VETERAN, row["clip_id"]) for row in head]
        clips = connection.execute("SELECT count(*) FROM clips").fetchone()[0]
    for number in range(others):
        votes += [(f"rater {number}", clip) for clip in rng.sample(range(1, clips + 1), min(each, clips))]
    for start in tqdm(range(0, len(votes), BATCH), "votes", disable=None):
        with store.database.writing() as connection:
            connection.executemany(
                "INSERT INTO corrections (clip_id, rater, verdict, label, created_at) VALUES (?, ?, 'correct', ?, ?)",
                ((clip, rater, rng.choice(EMOTIONS), timestamp()) for rater, clip in votes[start : start + BATCH]),
            )
