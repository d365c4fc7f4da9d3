"""In which order clips are put before raters."""

import numpy as np
import pytest

from annotations.errors import ClipNotFoundError, StoreError
from annotations.queue import QueueOrder, next_clip, order_note
from annotations.queue_order import POOL, best_places, drawn_keys
from annotations.store import AnnotationStore
from annotations.suspects import Suspect, record_suspects
from ser.labels import EMOTIONS
from tests.unit.queued import add, hear, page, scores, vote


@pytest.fixture
def store(tmp_path):
    with AnnotationStore(tmp_path) as opened:
        opened.ensure_base_version("embedded", "a" * 64)
        yield opened


def test_each_order_puts_first_what_it_promises(store):
    clips = [add(store, seed) for seed in range(4)]
    hear(store, clips[0], scores(fear=0.5, anger=0.5), scores(fear=0.5, anger=0.5))
    hear(store, clips[1], scores(fear=0.4, anger=0.2, sadness=0.2), scores(fear=1.0))
    hear(store, clips[2], scores(fear=0.9), scores(happiness=1.0))
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


def test_the_most_informative_are_unlike_each_other_and_unlike_what_was_judged(store):
    clips = [add(store, seed, 0.2 + seed / 100) for seed in range(4)]
    assert sorted(page(store, QueueOrder.MOST_INFORMATIVE)) == clips
    assert order_note(store, QueueOrder.MOST_INFORMATIVE).startswith("No model has told yet how alike")
    for clip_id, vector in zip(clips, ([1, 0, 0], [1, 0.02, 0], [0, 1, 0], [0, 0, 1]), strict=True):
        store.add_embedding(clip_id, 1, np.array(vector, np.float32))
    order = page(store, QueueOrder.MOST_INFORMATIVE)
    assert sorted(order) == clips
    assert order[-1] in clips[:2]  # The one of the two that is drawn later.
    assert order_note(store, QueueOrder.MOST_INFORMATIVE) is None
    assert [*page(store, QueueOrder.MOST_INFORMATIVE, limit=2)] == order[:2]
    assert page(store, QueueOrder.MOST_INFORMATIVE, after=order[1]) == order[2:]
    vote(store, clips[0], "bob")
    assert sorted(page(store, QueueOrder.MOST_INFORMATIVE)[2:]) == clips[:2]


def test_an_embedding_that_is_none_is_refused(store):
    clip_id = add(store, 0)
    with pytest.raises(StoreError, match=r"^The embedding of clip 1 has the shape \(2, 2\)"):
        store.add_embedding(clip_id, 1, np.ones((2, 2), np.float32))
    with pytest.raises(StoreError, match="expected numbers in one row, not all 0"):
        store.add_embedding(clip_id, 1, np.zeros(3, np.float32))
    with pytest.raises(ClipNotFoundError):
        store.add_embedding(9, 1, np.ones(3, np.float32))


@pytest.mark.parametrize("order", QueueOrder)
def test_pages_follow_each_other_without_a_gap_or_a_repetition(store, order):
    clips = [add(store, seed, 0.2 + seed % 3 / 10) for seed in range(7)]
    whole = page(store, order)
    assert sorted(whole) == clips
    first = page(store, order, limit=3)
    second = page(store, order, limit=3, after=first[-1])
    assert first + second + page(store, order, limit=3, after=second[-1]) == whole


def test_ties_at_the_end_of_a_page_go_by_age_whatever_their_number():
    rng = np.random.default_rng(0)
    for _ in range(50):
        keys = rng.choice([0.0, 0.25, 0.5], 40, p=[0.7, 0.2, 0.1])
        expected = sorted(range(40), key=lambda place: (-keys[place], place))
        for count in (1, 5, 20, 39, 40, 60):
            assert best_places(keys, np.arange(40), count).tolist() == expected[:count]


def test_the_most_informative_are_drawn_as_their_uncertainty_says():
    draw = np.random.default_rng(0)
    entropy = np.where(np.arange(20_000) % 2, 1.0, 0.5).astype(np.float32)
    keys = drawn_keys(entropy, draw.integers(0, 2**32, len(entropy), dtype=np.uint32))
    first = entropy[np.argsort(-keys)[:1000]]
    assert 0.03 < np.mean(first == 0.5) < 0.09  # One of seventeen.
    unheard = drawn_keys(np.array([0.0, -1.0, 1.0], np.float32), np.array([0, 2**32 - 1, 2**32 - 1], np.uint32))
    assert np.argsort(-unheard).tolist() == [2, 0, 1]


def test_the_pool_of_the_most_informative_ends_in_what_is_drawn_last(store):
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
            connection.execute("INSERT INTO embeddings VALUES (?, 1, ?)", (number + 1, vector))
    pool = page(store, QueueOrder.MOST_INFORMATIVE, limit=POOL)
    rest = page(store, QueueOrder.MOST_INFORMATIVE, after=pool[-1])
    assert sorted(pool + rest) == list(range(1, count + 1))
    assert len(rest) == count - POOL
    assert min(rest) > count / 2  # Sure ones.
    assert page(store, QueueOrder.MOST_INFORMATIVE, after=rest[0]) == rest[1:]
    assert page(store, QueueOrder.MOST_INFORMATIVE, limit=POOL + 2) == pool + rest[:2]


def test_labels_that_training_does_not_believe_come_first_by_default_until_somebody_answers(store):
    sure, unsure, doubted, other = (
        add(store, seed, confidence) for seed, confidence in enumerate((0.9, 0.4, 0.8, 0.95))
    )
    vote(store, other, "ann")
    run = store.start_training_run({}, None, 1, "test", [])
    assert page(store) == [unsure, doubted, sure]
    record_suspects(store, run.id, [Suspect(clip, "fear", "anger", 0.5) for clip in (other, doubted)])
    wanted = [doubted, other, unsure, sure]
    assert page(store) == wanted
    assert [page(store, limit=1, after=after) for after in (None, *wanted[:3])] == [[clip] for clip in wanted]
    assert page(store, QueueOrder.OLDEST) == [sure, unsure, doubted, other]
    given = next_clip(store, "ann")
    assert given is not None and given.clip.id == doubted
    vote(store, doubted, "bob")
    assert page(store) == [other, unsure, doubted, sure]
    vote(store, doubted, "ann")
    assert page(store) == [other, unsure, sure]
