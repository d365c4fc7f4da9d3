import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.words.transcription import main, word_confidences
from ser.encoder.weights import NAME
from ser.types import Segment, Transcript
from tests.unit.recordings import voice


def test_confidences_are_split_into_right_and_wrong() -> None:
    segments = [Segment(0, 1, "kids", 0.9), Segment(1, 2, "or", 0.2), Segment(2, 3, "talking", 0.8)]
    transcript = Transcript("kids or talking", "en", tuple(segments), "test")
    assert word_confidences("Kids are talking.", transcript) == ([0.9, 0.8], [0.2])
    assert word_confidences("Kids are talking.", Transcript("", "en", (), "test")) == ([], [])


def test_a_corpus_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "read-speech"
    folder.mkdir()
    soundfile.write(folder / "a.wav", voice(1.0), 16_000)
    soundfile.write(folder / "b.wav", np.roll(voice(1.0), 800), 16_000)
    (folder / "metadata.csv").write_text("file_name,transcript\na.wav,one two\nb.wav,three\n")
    assert main(["--data", str(tmp_path), "--quick", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    figures = result["read-speech"]
    assert (figures["clips"], figures["words"], figures["duration"]) == (2, 3, 2.0)
    assert figures["wer"] >= 0.0 and figures["real_time_factor"] > 0.0
    assert result["model"] == NAME and result["machine"]["cores"] >= 1
    assert (result["noise"]["sounds"], result["synthetic"]["sounds"]) == (0, 10)
    assert result["synthetic"]["transcribed"] == 0


def test_missing_data_and_models_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"'{tmp_path}' holds none of read-speech, tess, ravdess. Name the folder of the corpora.\n"
    )
