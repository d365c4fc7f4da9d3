import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from annotations.cli import main
from annotations.maintenance.erasure.erase import erase_recording
from annotations.prelabelling import unanalysed_clips
from annotations.review.queue import queue_length
from annotations.store import AnnotationStore
from ser.audio.decoding import decode_file
from ser.audio.long_recordings import read_long
from ser.types import SAMPLING_RATE
from tests.unit.stored import list_clips
from ui.recognize.examples import EXAMPLES


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Six sentences of actors with two seconds between them."""
    parts = [decode_file(example.path).signal for example in EXAMPLES.values()]
    noise = np.random.default_rng(0).normal(0, 1e-4, 2 * SAMPLING_RATE).astype(np.float32)
    path = tmp_path / "talk.flac"
    soundfile.write(path, np.concatenate([sound for part in parts for sound in (part, noise)]), SAMPLING_RATE)
    return path


def test_parts_are_cut_as_they_come_and_the_hash_is_that_of_the_whole(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).normal(0, 0.1, (150 * SAMPLING_RATE, 2)).astype(np.float32)
    signal[:, 1] *= 0.5
    path = tmp_path / "noise.wav"
    soundfile.write(path, signal, SAMPLING_RATE)
    recording, whole = read_long(path), decode_file(path, max_duration=200.0)
    assert recording.sha256() == whole.sha256
    spans = [(0.0, 1.5), (59.0, 61.0), (60.5, 130.0), (149.0, 150.0)]
    for (start, end), part in zip(spans, recording.crops(spans), strict=True):
        assert np.array_equal(part.signal, whole.crop(start, end).signal)
    (right,) = recording.crops([(70.0, 71.0)], 1)
    assert np.abs(right.signal - signal[70 * SAMPLING_RATE : 71 * SAMPLING_RATE, 1]).max() < 1e-4


def test_a_long_recording_becomes_clips_with_answers_and_parents(
    talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.wav"
    damaged.write_text("no sound")
    command = ["--data-dir", str(tmp_path / "store"), "cut", str(talk), str(damaged), "--consent", "research", "--json"]
    assert main(command) == 1
    result = json.loads(capsys.readouterr().out)
    assert [one["file"] for one in result["failed"]] == [str(damaged)]
    whole = decode_file(talk, max_duration=100.0)
    with AnnotationStore(tmp_path / "store") as store:
        clips = list_clips(store)
        assert len(clips) == result["clips"][str(talk)] >= 4
        assert {clip.parent_sha256 for clip in clips} == {whole.sha256} and len({clip.session for clip in clips}) == 1
        for clip in clips:
            assert clip.parent_start is not None and clip.parent_end is not None
            assert clip.sha256 == whole.crop(clip.parent_start, clip.parent_end).sha256
        assert len(store.fetch("SELECT DISTINCT clip_id FROM predictions")) >= 4
        assert main([*command, "--keep-whole"]) == 1, "again: no part comes twice"
        kept = store.find_clip(whole.sha256)
        assert kept is not None and kept.source == "whole recording" and kept.consent == ("research",)
        assert decode_file(store.clip_path(kept)).sha256 == whole.sha256 and len(list_clips(store)) == len(clips) + 1
        # Its parts are labelled and answered, not the whole.
        assert queue_length(store, "ann") == len(clips) and kept.id not in unanalysed_clips(store)
        erase_recording(store, whole.sha256, by="ann")
        assert main(command) == 1 and list_clips(store) == []
    assert "erased here" in capsys.readouterr().err
