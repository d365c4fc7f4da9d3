import threading
from datetime import UTC, datetime, timedelta

import pytest

from annotations.errors import ClipNotFoundError, InvalidVoteError
from annotations.raters.ratings import read_ratings
from annotations.raters.reliability import agree
from annotations.raters.votes import gold_labels, mark_gold, unmark_gold
from annotations.review.filters import QueueFilter
from annotations.review.queue import QueueOrder, next_clip, order_note, queue_length, release_lease
from annotations.store import AnnotationStore, NewVote
from annotations.store.settings import AnnotationSettings, change_settings
from tests.unit.queued import add, page, predict, scores, vote
from tests.unit.stored import answer

pytestmark = pytest.mark.usefixtures("base_version")


def test_filters_choose_among_the_clips_and_count_them(store):
    first = add(store, 0, source="nemo", language="pl")
    second = add(store, 1, source="nemo")
    third = add(store, 2)
    predict(store, first, scores(fear=0.6), text="Zażółć gęślą jaźń", language="en")
    predict(store, second, scores(anger=0.6), text="the dogs are session by the door")
    vote(store, third, "bob", transcript="kids are talking by the door")
    wanted = {
        QueueFilter(label="anger"): [second],
        QueueFilter(label="disgust"): [],
        QueueFilter(version_id=1): [first, second],
        QueueFilter(rater=" bob "): [third],
        QueueFilter(source="nemo"): [first, second],
        QueueFilter(source="nowhere"): [],
        QueueFilter(language="pl"): [first],
        QueueFilter(language="en"): [second],
        QueueFilter(min_duration=0.5, max_duration=0.5): [first, second, third],
        QueueFilter(min_duration=0.6): [],
        QueueFilter(text="Door the"): [second, third],
        QueueFilter(text="dog"): [],
        QueueFilter(text="dog*"): [second],
        QueueFilter(text="zazółc"): [first],
        QueueFilter(text="?!"): [first, second, third],
        QueueFilter(text="door", source="nemo"): [second],
    }
    found = {filters: page(store, QueueOrder.OLDEST, filters) for filters in wanted}
    assert found == wanted
    assert {filters: queue_length(store, "ann", filters) for filters in wanted} == {
        filters: len(clips) for filters, clips in wanted.items()
    }
    assert next_clip(store, "ann", filters=QueueFilter(text="kids")).clip.id == third


def test_the_words_that_are_searched_follow_corrections_and_their_undoing(store):
    clip_id = add(store, 0)
    predict(store, clip_id, scores(fear=0.6), text="ice cream")
    search = [QueueFilter(text="ice"), QueueFilter(text="scream")]
    assert [page(store, filters=filters) for filters in search] == [[clip_id], []]
    vote(store, clip_id, "bob", transcript="I scream")
    assert [page(store, filters=filters) for filters in search] == [[], [clip_id]]
    store.undo_last_correction("bob")
    assert [page(store, filters=filters) for filters in search] == [[clip_id], []]
    predict(store, clip_id, scores(fear=0.6), text="eyes")
    assert [page(store, filters=filters) for filters in search] == [[], []]


def test_another_store_on_the_same_folder_sees_every_change(store, tmp_path):
    first, second = add(store, 0, 0.2), add(store, 1, 0.4)
    with AnnotationStore(store.data_dir) as other:
        assert page(other) == [first, second]
        vote(store, first, "ann")
        assert page(other) == [second]
        store.undo_last_correction("ann")
        assert page(other) == [first, second]
        third = add(store, 2, 0.3)
        store.add_prediction(first, answer(confidence=0.95), 1)
        assert page(other) == [third, second, first]
        with store.database.writing() as connection:
            for table in ("predictions", "consents"):
                connection.execute(f"DELETE FROM {table} WHERE clip_id = ?", (third,))
            connection.execute("DELETE FROM clips WHERE id = ?", (third,))
        assert page(other) == [second, first]
        assert queue_length(other, "ann") == 2
        vote(store, first, "ann")
        assert queue_length(other, "ann") == 1
        with store.database.writing() as connection:
            connection.execute("DELETE FROM correction_retractions")
            connection.execute("DELETE FROM corrections WHERE rater = 'ann'")
            assert connection.execute("SELECT count(*) FROM judgements").fetchone()[0] == 0
        assert page(other) == [second, first]


def test_a_clip_without_its_recording_is_put_before_nobody(store):
    lost, kept = add(store, 0), add(store, 1)
    with store.database.writing() as connection:
        connection.execute("INSERT INTO missing_media VALUES (?, 'gone', '')", (lost,))
    assert page(store) == [kept]


def test_two_raters_at_once_never_get_the_same_clip_beyond_the_overlap(store):
    for seed in range(12):
        add(store, seed)
    change_settings(store, AnnotationSettings(overlap=2), by="ann")
    given = []

    def ask(rater):
        given.extend(next_clip(store, f"{rater}", exclude=[]).clip.id for _ in range(1))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == sorted([*range(1, 7)] * 2)


def test_raters_without_a_limit_spread_over_the_clips_before_they_label_one_again(store):
    clips = [add(store, seed) for seed in range(3)]
    first = {rater: next_clip(store, rater).clip.id for rater in ("ann", "bob", "cid")}
    assert sorted(first.values()) == clips
    assert next_clip(store, "ann").clip.id == first["ann"]  # A page that is loaded again.
    # Nobody has voted yet, and all are being labelled: a second vote is welcome.
    assert next_clip(store, "dan").clip.id in clips
    vote(store, first["ann"], "ann")
    release_lease(store, "bob", first["bob"])
    assert next_clip(store, "ann").clip.id == first["bob"]
    for rater in ("bob", "cid"):
        vote(store, first[rater], rater)
    assert {next_clip(store, "bob").clip.id, next_clip(store, "cid").clip.id} <= set(clips)


def test_an_overlap_of_one_gives_each_clip_once_until_it_is_given_back(store):
    first, second = add(store, 0, 0.2), add(store, 1, 0.4)
    change_settings(store, AnnotationSettings(overlap=1), by="ann")
    assert next_clip(store, "ann").clip.id == first
    assert next_clip(store, "ann").clip.id == first  # A page that is loaded again.
    assert next_clip(store, "bob").clip.id == second
    assert next_clip(store, "cid") is None
    assert queue_length(store, "cid") == 0
    release_lease(store, " ann ", first)
    assert next_clip(store, "cid").clip.id == first
    store.add_correction(first, NewVote("cid", "skip"))  # A skip frees the clip: nobody has labelled it.
    assert next_clip(store, "ann").clip.id == first
    store.add_correction(first, NewVote("ann", "unsure"))
    store.add_correction(second, NewVote("bob", "correct", label="fear"))
    assert [next_clip(store, rater) for rater in ("ann", "bob", "cid", "dan")] == [None] * 4
    store.undo_last_correction("bob")
    assert next_clip(store, "dan").clip.id == second


def test_the_labels_that_a_corpus_came_with_count_as_nobody(store):
    clip_id = add(store, 0)
    vote(store, clip_id, "import:nemo")
    change_settings(store, AnnotationSettings(overlap=1), by="ann")
    assert next_clip(store, "ann").clip.id == clip_id


def test_a_lease_ends_by_itself(store):
    clip_id = add(store, 0)
    change_settings(store, AnnotationSettings(overlap=1, lease_minutes=5), by="ann")
    assert next_clip(store, "ann").clip.id == clip_id
    with store.reading() as connection:
        (row,) = connection.execute("SELECT * FROM leases")
    left = datetime.fromisoformat(row["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4.5) < left <= timedelta(minutes=5)
    assert next_clip(store, "bob") is None
    with store.database.writing() as connection:
        connection.execute("UPDATE leases SET expires_at = '2020-01-01T00:00:00.000000+00:00'")
    assert next_clip(store, "bob").clip.id == clip_id


def test_gold_clips_come_at_their_rate_and_measure_the_raters(store):
    clips = [add(store, seed) for seed in range(8)]
    for clip_id in clips[:4]:
        mark_gold(store, clip_id, "anger", by="ann")
    mark_gold(store, clips[7], "anger", by="ann")
    unmark_gold(store, clips[7], by="ann")
    mark_gold(store, clips[0], "fear", by="ann")
    assert gold_labels(store) == {clips[0]: "fear", **dict.fromkeys(clips[1:4], "anger")}
    assert page(store, QueueOrder.OLDEST) == clips  # Without a rate, gold clips are like others.
    change_settings(store, AnnotationSettings(overlap=1, gold_rate=0.5), by="ann")
    given = []
    while (item := next_clip(store, "bob", order=QueueOrder.OLDEST)) is not None:
        given.append(item.clip.id)
        vote(store, item.clip.id, "bob", "fear")
    assert sorted(given) == clips
    assert given != clips
    assert [clip_id for clip_id in given if clip_id > 4] == clips[4:]
    left = []
    while (item := next_clip(store, "cid", exclude=left)) is not None:  # Gold is for everybody.
        left.append(item.clip.id)
    assert sorted(left) == clips[:4]
    store.add_correction(clips[1], NewVote("cid", "unsure"))
    vote(store, clips[2], "cid", "anger")
    raters = agree(read_ratings(store), gold_labels(store)).raters
    assert [(rater.rater, rater.gold_right, rater.gold_total) for rater in raters] == [("bob", 1, 4), ("cid", 1, 1)]
    with pytest.raises(InvalidVoteError):
        mark_gold(store, clips[0], "joy", by="ann")
    with pytest.raises(ClipNotFoundError):
        unmark_gold(store, 99, by="ann")


def test_a_note_says_what_an_order_lacks(store):
    add(store, 0)
    assert {order.name: order_note(store, order) is None for order in QueueOrder} == {
        "LEAST_CERTAIN": False,
        "SMALLEST_MARGIN": False,
        "SOUND_AGAINST_WORDS": False,
        "MOST_DISPUTED": False,
        "MOST_INFORMATIVE": False,
        "NEW_OR_SECOND": False,
        "RANDOM": True,
        "OLDEST": True,
    }
    add(store, 1, 0.4)
    assert order_note(store, QueueOrder.LEAST_CERTAIN) is None
