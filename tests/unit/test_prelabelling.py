import numpy as np
import pytest

from annotations.learning.versions.active import ActiveModel
from annotations.prelabelling import (
    Prelabelling,
    prelabelling_lock,
    prelabelling_state,
    recognize_clips,
    stop_prelabelling,
    unanalysed_clips,
    until_stopped,
)
from annotations.store import AnnotationStore
from annotations.store.embeddings import read_embeddings
from ser.testing import BandEnergyModel, fake_recognizer
from ser.types import Audio
from tests.unit.stored import newest_prediction, recording


@pytest.fixture
def active(tmp_path):
    with AnnotationStore(tmp_path) as store:
        yield ActiveModel(store, fake_recognizer(), lambda name: BandEnergyModel(1))


def test_each_clip_is_answered_once_by_the_version_in_use_and_enters_the_queue(active):
    store = active.store
    ids = [store.add_clip(recording(seed), source="import").id for seed in range(3)]
    assert recognize_clips(active, ids[:2]) == []
    assert recognize_clips(active, ids) == [] and unanalysed_clips(store) == []
    with store.reading() as connection:
        rows = connection.execute("SELECT clip_id, model_version_id FROM predictions ORDER BY clip_id").fetchall()
        assert read_embeddings(connection, ids).keys() == set(ids)
    assert [tuple(row) for row in rows] == [(clip_id, active.version.id) for clip_id in ids]
    expected = active.recognizer.recognize(recording(0))
    assert newest_prediction(store, ids[0]).scores["fused"] == pytest.approx(
        expected.fused.as_dict(),
        abs=1e-3,  # Stored with 16 bits a sample.
    )


def test_a_clip_without_speech_is_named_and_the_rest_is_answered(active):
    store = active.store
    hiss = Audio((1e-4 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32))
    silent, spoken = store.add_clip(hiss, source="import"), store.add_clip(recording(), source="import")
    failed = recognize_clips(active, [silent.id, spoken.id])
    assert [name for name, _ in failed] == [f"clip {silent.id}"]
    assert newest_prediction(store, silent.id) is None
    assert newest_prediction(store, spoken.id) is not None


def test_a_stop_request_ends_it_after_the_clip_it_is_at(active):
    store = active.store
    ids = [store.add_clip(recording(seed), source="import").id for seed in range(3)]
    assert prelabelling_state(store) == Prelabelling(clips=3, answered=0, failed=0, running=False)
    stop_prelabelling(store)
    assert list(until_stopped(store, ids)) == ids, "nothing runs that could be stopped"
    with prelabelling_lock(store):
        assert prelabelling_state(store).running
        given = until_stopped(store, ids)
        assert next(given) == ids[0]
        stop_prelabelling(store)
        assert list(given) == [] and list(until_stopped(store, ids)) == ids
    recognize_clips(active, ids[:2])
    assert prelabelling_state(store).answered == 2
