import numpy as np
import pytest

from annotations import queries
from annotations.learning.active_model import ActiveModel
from annotations.prelabelling import recognize_clips, unheard_clips
from annotations.sounds import read_sounds
from annotations.store import AnnotationStore
from ser.acoustic.measures import measure
from ser.audio import decode_file
from ser.testing import BandEnergyModel, fake_recognizer
from ser.types import Audio
from ser.vad import trim_to_speech
from tests.unit.stored import recording


@pytest.fixture
def active(tmp_path):
    with AnnotationStore(tmp_path) as store:
        yield ActiveModel(store, fake_recognizer(), lambda name: BandEnergyModel(1))


def test_each_clip_is_answered_once_by_the_version_in_use_and_enters_the_queue(active):
    store = active.store
    ids = [store.add_clip(recording(seed), source="import").id for seed in range(3)]
    assert recognize_clips(active, ids[:2]) == []
    assert recognize_clips(active, ids) == []
    with store.reading() as connection:
        rows = connection.execute("SELECT clip_id, model_version_id FROM predictions ORDER BY clip_id").fetchall()
        assert read_sounds(connection, ids).keys() == set(ids)
    assert [tuple(row) for row in rows] == [(clip_id, active.version.id) for clip_id in ids]
    expected = active.recognizer.recognize(recording(0))
    assert queries.newest_prediction(store, ids[0]).scores["fused"] == pytest.approx(
        expected.fused.as_dict(),
        abs=1e-3,  # Stored with 16 bits a sample.
    )


def test_clips_that_were_answered_before_are_measured_without_another_answer(active):
    store = active.store
    clip = store.add_clip(recording(), source="page")
    store.add_prediction(clip.id, active.recognizer.recognize(recording()), active.version.id)
    assert unheard_clips(store) == [clip.id]
    assert recognize_clips(active, [clip.id]) == []
    with store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM predictions").fetchone()[0] == 1
        (stored,) = read_sounds(connection, [clip.id]).values()
    audio = decode_file(store.clip_path(clip))
    measured = measure(trim_to_speech(audio, active.recognizer.detector.detect(audio)))
    assert stored == pytest.approx(measured, rel=2e-3, abs=1e-3)
    assert unheard_clips(store) == []


def test_a_clip_without_speech_is_named_and_the_rest_is_answered(active):
    store = active.store
    hiss = Audio((1e-4 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32))
    silent, spoken = store.add_clip(hiss, source="import"), store.add_clip(recording(), source="import")
    failed = recognize_clips(active, [silent.id, spoken.id])
    assert [name for name, _ in failed] == [f"clip {silent.id}"]
    assert queries.newest_prediction(store, silent.id) is None
    assert queries.newest_prediction(store, spoken.id) is not None
