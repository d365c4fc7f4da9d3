"""In which order clips are put before raters."""

import numpy as np
import pytest

from annotations.errors import ClipNotFoundError, StoreError
from annotations.review.order import POOL, best_places, covering
from annotations.review.queue import QueueOrder, next_clip, order_note
from annotations.review.suspects import Suspect, record_suspects
from annotations.store import AnnotationStore
from ser.labels import EMOTIONS
from ser.types import Embedding
from tests.unit.queued import add, page, predict, scores, vote
from tests.unit.stored import add_embedding, begin_run


@pytest.fixture
def store(tmp_path):
    with AnnotationStore(tmp_path) as opened:
        opened.ensure_base_version("embedded", "a" * 64)
        yield opened


def test_each_order_puts_first_what_it_promises(store):
    clips = [add(store, seed) for seed in range(4)]
    predict(store, clips[0], scores(fear=0.5, anger=0.5), scores(fear=0.5, anger=0.5))
    predict(store, clips[1], scores(fear=0.4, anger=0.2, sadness=0.2), scores(fear=1.0))
    predict(store, clips[2], scores(fear=0.9), scores(happiness=1.0))
    for rater, label in (("bob", "fear"), ("cid", "anger")):
        vote(store, clips[3], rater, label)
    for rater in ("bob", "cid"):
        vote(store, clips[2], rater)
    one, two, three, unheard = clips
    assert page(store, QueueOrder.LEAST_CERTAIN) == [two, one, three, unheard]
    assert page(store, QueueOrder.SMALLEST_MARGIN) == [one, two, three, unheard]
    assert page(store, QueueOrder.SOUND_AGAINST_WORDS) == [three, two, one, unheard]
    assert page(store, QueueOrder.MOST_DISPUTED) == [unheard, one, two, three]
    assert page(store, QueueOrder.OLDEST) == clips
    assert sorted(page(store, QueueOrder.RANDOM)) == clips
    assert page(store, QueueOrder.RANDOM) == page(store, QueueOrder.RANDOM)
    assert next_clip(store, "ann", order=QueueOrder.MOST_DISPUTED).clip.id == unheard


def test_the_most_informative_stand_for_the_others_and_not_for_what_has_votes(store):
    clips = [add(store, seed, 0.2 + seed / 100) for seed in range(5)]
    assert sorted(page(store, QueueOrder.MOST_INFORMATIVE)) == clips
    assert order_note(store, QueueOrder.MOST_INFORMATIVE).startswith("No clip has been embedded yet")
    for clip_id, vector in zip(clips, ([9, 1], [9, 1.2], [9, 1.1], [-9, -1], [-9, -1.1]), strict=True):
        add_embedding(store, clip_id, Embedding(np.array(vector, np.float32), "e"))
    order = page(store, QueueOrder.MOST_INFORMATIVE)
    assert sorted(order) == clips
    assert order[0] in clips[:3] and order[1] in clips[3:]
    assert order_note(store, QueueOrder.MOST_INFORMATIVE) is None
    assert [*page(store, QueueOrder.MOST_INFORMATIVE, limit=2)] == order[:2]
    vote(store, clips[1], "bob")
    assert page(store, QueueOrder.MOST_INFORMATIVE)[0] in clips[3:]


def test_an_embedding_that_is_none_is_refused(store):
    clip_id = add(store, 0)
    with pytest.raises(StoreError, match=r"^The embedding of clip 1 has the shape \(2, 2\)"):
        add_embedding(store, clip_id, Embedding(np.ones((2, 2), np.float32), "e"))
    with pytest.raises(StoreError, match="expected finite numbers in one row"):
        add_embedding(store, clip_id, Embedding(np.array([1.0, np.nan], np.float32), "e"))
    with pytest.raises(ClipNotFoundError):
        add_embedding(store, 9, Embedding(np.ones(3, np.float32), "e"))


def test_embeddings_of_another_encoder_are_left_to_chance(store):
    clips = [add(store, seed, 0.5) for seed in range(3)]
    for clip_id, encoder in zip(clips, ("old", "new", "new"), strict=True):
        add_embedding(store, clip_id, Embedding(np.arange(3, dtype=np.float32) + clip_id, encoder))
    order = page(store, QueueOrder.MOST_INFORMATIVE)
    assert sorted(order) == clips and order[-1] == clips[0]


@pytest.mark.parametrize("order", QueueOrder)
def test_a_short_page_is_the_beginning_of_a_long_one(store, order):
    clips = [add(store, seed, 0.2 + seed % 3 / 10) for seed in range(7)]
    whole = page(store, order)
    assert sorted(whole) == clips
    assert page(store, order, limit=3) == whole[:3]


def test_ties_at_the_end_of_a_page_go_by_age_whatever_their_number():
    rng = np.random.default_rng(0)
    for _ in range(50):
        keys = rng.choice([0.0, 0.25, 0.5], 40, p=[0.7, 0.2, 0.1])
        expected = sorted(range(40), key=lambda place: (-keys[place], place))
        for count in (1, 5, 20, 39, 40, 60):
            assert best_places(keys, np.arange(40), count).tolist() == expected[:count]


def test_what_covers_most_comes_first_whatever_the_scales():
    draw = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    of = np.repeat([0, 1, 2], [20, 10, 5])
    sounds = (centres[of] + draw.normal(0, 0.1, (35, 2))) * [1.0, 1000.0] + [50.0, -4.0]
    order = list(covering(sounds, sounds[:0]))
    assert sorted(order) == list(range(35))
    assert {int(of[place]) for place in order[:3]} == {0, 1, 2}
    known = sounds[of == of[order[0]]][:1]
    assert of[next(covering(sounds, known))] != of[order[0]]
    assert sorted(covering(np.ones((3, 2)), np.ones((1, 2)))) == [0, 1, 2]


def test_behind_the_pool_of_the_most_informative_come_the_others(store):
    count = POOL + 5
    with store.database.writing() as connection:
        for number in range(count):
            connection.execute(
                "INSERT INTO clips (sha256, duration, source, created_at) VALUES (?, 1.0, 'x', '')", (f"{number:064x}",)
            )
            connection.execute(
                "INSERT INTO predictions (clip_id, model_version_id, label, scores, entropy, created_at) "
                "VALUES (?, 1, ?, '{}', ?, '')",
                (number + 1, EMOTIONS[0], 1 - number / count),
            )
            vector = np.random.default_rng(number).standard_normal(4).astype("<f2").tobytes()
            connection.execute("INSERT INTO embeddings VALUES (?, ?, ?)", (number + 1, "e", vector))
    pool = page(store, QueueOrder.MOST_INFORMATIVE, limit=POOL)
    rest = page(store, QueueOrder.MOST_INFORMATIVE, limit=count)[POOL:]
    assert sorted(pool + rest) == list(range(1, count + 1))
    assert len(rest) == count - POOL
    assert page(store, QueueOrder.MOST_INFORMATIVE, limit=POOL + 2) == pool + rest[:2]


def test_suspected_label_errors_come_first_by_default_until_somebody_labels_them(store):
    sure, unsure, doubted, other = (
        add(store, seed, confidence) for seed, confidence in enumerate((0.9, 0.4, 0.8, 0.95))
    )
    vote(store, other, "ann")
    run = begin_run(store, 1, "test")
    assert page(store) == [unsure, doubted, sure]
    record_suspects(store, run.id, [Suspect(clip, "fear", "anger", 0.5) for clip in (other, doubted)])
    wanted = [doubted, other, unsure, sure]
    assert page(store) == wanted
    assert page(store, limit=1) == wanted[:1]
    assert page(store, QueueOrder.OLDEST) == [sure, unsure, doubted, other]
    given = next_clip(store, "ann")
    assert given is not None and given.clip.id == doubted
    vote(store, doubted, "bob")
    assert page(store) == [other, unsure, doubted, sure]
    vote(store, doubted, "ann")
    assert page(store) == [other, unsure, sure]
