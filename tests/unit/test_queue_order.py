"""In which order clips are put before raters."""

import numpy as np
import pytest

from annotations.errors import ClipNotFoundError, StoreError
from annotations.review.leases import take_lease
from annotations.review.order import POOL, best_places, covering
from annotations.review.queue import QueueOrder, next_clip, order_note, release_lease
from annotations.review.second_votes import GivenVote, label_certainty
from annotations.review.suspects import Suspect, record_suspects
from ser.labels import EMOTIONS
from ser.types import Embedding
from tests.unit.queued import add, page, predict, scores, vote
from tests.unit.stored import add_embedding, begin_run

pytestmark = pytest.mark.usefixtures("base_version")


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


def test_a_doubtful_label_is_worth_another_vote_and_a_sure_one_is_not():
    sure, torn = [0.9, 0.05, 0.05], [0.4, 0.35, 0.25]
    answers = np.array([sure, torn, sure, torn, torn, *(np.roll(sure, row % 3) for row in range(12))])
    # Two raters who agree with the model and each other, but for one vote on a clip on which the model is torn.
    votes = [(0, 0, 0), (1, 0, 2), (3, 0, 0), (4, 0, 0), (4, 1, 0)]
    votes += [(row + 5, rater, row % 3) for row in range(12) for rater in (0, 1)]
    found = label_certainty(answers, [GivenVote(*vote) for vote in votes])
    assert found[1] < found[3] < found[4] < found[0], "one more vote on the contradicted clip tells most"
    assert found[1] < found[2] and 0 < found.min() and found.max() < 1
    assert label_certainty(answers, [])[:5].tolist() == [0.9, 0.4, 0.9, 0.4, 0.4]


def test_a_careless_rater_counts_little():
    answers = np.tile([0.5, 0.3, 0.2], (30, 1))
    agree = [GivenVote(row, rater, 0) for row in range(20) for rater in (0, 1)]
    careless = [GivenVote(row, 2, row % 3) for row in range(20)]
    one, other = (label_certainty(answers, [*agree, *careless, GivenVote(25, rater, 0)]) for rater in (0, 2))
    assert one[25] > other[25] > one[26]


def second_votes(store):
    """A clip whose vote contradicts a sure model, one whose vote agrees, and two new ones that the model is sure of."""
    clips = [add(store, seed) for seed in range(4)]
    for clip_id, vector in zip(clips, ([9, 1], [9, 1.2], [8, -1], [-9, -1]), strict=True):
        predict(store, clip_id, scores(fear=0.97))
        add_embedding(store, clip_id, Embedding(np.array(vector, np.float32), "e"))
    vote(store, clips[0], "bob", "anger")
    vote(store, clips[1], "bob", "fear")
    return clips


def test_a_doubtful_clip_comes_before_a_new_one_and_then_no_more(store):
    contradicted, agreed, *new = second_votes(store)
    assert page(store, QueueOrder.MOST_INFORMATIVE)[0] in new
    order = page(store, QueueOrder.NEW_OR_SECOND)
    assert order[0] == contradicted and sorted(order[1:3]) == new and order[3] == agreed
    assert next_clip(store, "ann", order=QueueOrder.NEW_OR_SECOND).clip.id == contradicted
    release_lease(store, "ann", contradicted)
    vote(store, contradicted, "cid", "fear")
    vote(store, contradicted, "dan", "fear")
    assert page(store, QueueOrder.NEW_OR_SECOND)[0] in new, "three votes are enough"


def test_people_who_ask_at_once_get_different_clips_in_the_order_of_second_votes(store):
    clips = second_votes(store)
    given = [next_clip(store, rater, order=QueueOrder.NEW_OR_SECOND).clip.id for rater in ("ann", "cid", "dan")]
    assert len(set(given)) == 3 and given[0] == clips[0]
    assert take_lease(store, "eve", [clips[0]], overlap=None, minutes=5) is None
    assert take_lease(store, "ann", [clips[0]], overlap=None, minutes=5) == clips[0]
    assert next_clip(store, "bob", order=QueueOrder.NEW_OR_SECOND) is None, "the rest is held, or labelled by bob"


def test_suspected_errors_come_before_what_teaches_best(store):
    clips = second_votes(store)
    run = begin_run(store, 1, "test")
    record_suspects(store, run.id, [Suspect(clips[1], "fear", "anger", 0.9)])
    for order in (QueueOrder.MOST_INFORMATIVE, QueueOrder.NEW_OR_SECOND, QueueOrder.LEAST_CERTAIN):
        assert page(store, order)[0] == clips[1] and next_clip(store, "ann", order=order).clip.id == clips[1]
        release_lease(store, "ann", clips[1])


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
