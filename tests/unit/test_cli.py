import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.cli import build_parser, main
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from ser.types import SAMPLING_RATE
from tests.unit.emotion_checkpoints import write_classifier


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of speech-like sound, one of silence, one that is no recording."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in (0, 1):
        soundfile.write(folder / f"speech{seed}.wav", synthetic_speech(2.5, pitch=100, seed=seed).signal, SAMPLING_RATE)
    soundfile.write(folder / "zero.wav", np.zeros(SAMPLING_RATE), SAMPLING_RATE)
    (folder / "text.wav").write_text("this is no recording")
    (folder / "notes.txt").write_text("not named like a recording, so not tried")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_one_json_object_a_line(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(clips / "speech0.wav"), str(clips / "speech1.wav")]
    code, out, _ = run(capsys, "recognize", *paths, "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [answer["file"] for answer in answers] == paths
    for answer in answers:
        assert answer["duration"] == pytest.approx(2.5, abs=0.01)
        assert list(answer["fused"]) == list(EMOTIONS)
        assert sum(answer["fused"].values()) == pytest.approx(1.0, abs=1e-3)
        assert answer["label"] == max(answer["fused"], key=answer["fused"].__getitem__)
        assert answer["confidence"] == answer["fused"][answer["label"]]
        assert set(answer["timings"]) == {"decode", "vad", "transcription", "acoustic", "text", "total"}
        assert set(answer["transcript"]) >= {"text", "language", "source", "segments"}
        assert set(answer["models"]) >= {"acoustic", "text", "transcriber"}
        assert answer["text"] is None or list(answer["text"]) == list(EMOTIONS)


def test_a_bad_file_is_reported_and_the_others_go_on(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "recognize", str(clips), "--transcriber", "none", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [Path(line["file"]).name for line in lines] == ["speech0.wav", "speech1.wav", "text.wav", "zero.wav"]
    assert [set(line) == {"file", "error"} for line in lines] == [False, False, True, True]
    assert lines[0]["transcript"] is None


def test_without_json_a_person_can_read_it(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "recognize", str(clips / "speech0.wav"), "--transcriber", "none")
    assert code == 0
    assert "speech0.wav  (2.5 s)" in out
    assert all(f"  {label}" in out for label in EMOTIONS)


def test_a_folder_without_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "recognize", str(tmp_path))
    assert (code, out) == (2, "")
    assert err == f"No recording was found in {tmp_path}. Name audio files, or folders of them.\n"


def test_a_model_that_is_not_there(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "recognize", str(clips / "speech0.wav"), "--model", str(tmp_path / "nothing"))
    assert (code, out) == (2, "")
    assert str(tmp_path / "nothing") in err and err.count("\n") == 1


def test_labels_must_be_of_the_label_set(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        build_parser().parse_args(["evaluate", "--data", "x", "--labels", "anger,boredom"])
    assert error.value.code == 2
    assert "at least two of anger, disgust" in capsys.readouterr().err


def test_help_needs_no_model() -> None:
    code = "import ser.cli, sys; ser.cli.build_parser().format_help(); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_importing_ser_is_light() -> None:
    code = "import ser, sys; ser.EMOTIONS; print(sorted({'torch', 'transformers', 'gradio'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_what_went_to_other_labels_is_reported(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_classifier(tmp_path / "m", "wav2vec2", ("angry", "bored", "happy"))
    arguments = ["recognize", str(clips / "speech0.wav"), "--transcriber", "none", "--model", str(model)]
    share = json.loads(run(capsys, *arguments, "--json")[1])["unmapped"]["acoustic"]["bored"]
    assert 0.1 < share < 0.9
    assert f"voice: {share:.0%} went to labels that are none of these (bored {share:.0%})" in run(capsys, *arguments)[1]


def test_a_file_name_that_is_no_text_ends_no_batch(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names are bytes; a strict stdout, as in a pipe, refuses those that are no UTF-8."""
    names = [os.fsdecode(name) for name in (b"caf\xe9.wav", b"br\xf6ken.wav")]
    (tmp_path / names[0]).write_bytes((clips / "speech0.wav").read_bytes())
    (tmp_path / names[1]).write_text("no sound")
    command = ["recognize", str(tmp_path), "--transcriber", "none"]
    for extra in (["--json"], [], ["--output", str(tmp_path / "answers.parquet")]):
        piped = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(piped, "utf-8", errors="strict", write_through=True))
        assert main([*command, *extra]) == 1
        if extra == ["--json"]:
            # As JSON it is the name again, byte by byte.
            files = [Path(json.loads(line)["file"]).name for line in piped.getvalue().decode().splitlines()]
            assert sorted(files) == sorted(names)
    # Asked again, both are known.
    capsys.readouterr()
    main([*command, *extra])
    assert "Recordings with an answer already: 2 of 2." in capsys.readouterr().err
