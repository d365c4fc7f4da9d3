import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio.decoding import decode_file
from ser.cli import main
from ser.corpora.copies import find_copies, refuse_leaks
from ser.corpora.splits import NearCopy, Split, draw_dev_speakers, group_speakers, report_leaks, split_by_speaker
from ser.errors import DataLeakError
from ser.types import Example

SPOKEN = {"EB0": "EB0_anger_1", "IC0": "IC0_fear_2", "KS0": "KS0_sadness_3"}


@pytest.fixture
def corpus(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three speakers with a clip each; and under the third's name, a reworked copy of the first's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = ["file_name,label,speaker"]
    for speaker, name in SPOKEN.items():
        (folder / f"{speaker}.opus").write_bytes((shared_data / "nemo" / "audio" / f"{name}.opus").read_bytes())
        rows.append(f"{speaker}.opus,{name.split('_')[1]},{speaker}")
    plant(decode_file(folder / "EB0.opus").signal, folder / "planted.opus")
    (folder / "metadata.csv").write_text("\n".join([*rows, "planted.opus,neutral,KS0"]) + "\n")
    return folder


def plant(signal: np.ndarray, path: Path) -> None:
    """A copy that was cut by 80 ms, made softer, and encoded anew."""
    copy = io.BytesIO()
    soundfile.write(copy, 0.4 * signal[1_280:], 16_000, format="OGG", subtype="OPUS", compression_level=0.8)
    path.write_bytes(copy.getvalue())


def examples(folder: Path) -> list[Example]:
    rows = [("EB0.opus", "EB0"), ("IC0.opus", "IC0"), ("KS0.opus", "KS0"), ("planted.opus", "KS0")]
    return [Example(folder / name, "anger", speaker, "c") for name, speaker in rows]


def test_a_reworked_copy_is_found_once_and_from_the_cache(corpus: Path, tmp_path: Path) -> None:
    given, seen = examples(corpus), []
    fresh = find_copies(
        given, cache_dir=tmp_path / "prints", on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    (pair,) = fresh.near
    assert (Path(pair.first).name, Path(pair.second).name) == ("EB0.opus", "planted.opus")
    assert len(set(fresh.hashes.values())) == 4
    assert find_copies(given, cache_dir=tmp_path / "prints") == fresh
    assert find_copies(given) == fresh


def test_an_identical_copy_in_another_container_has_the_same_hash(corpus: Path) -> None:
    audio = decode_file(corpus / "IC0.opus")
    soundfile.write(corpus / "again.flac", audio.signal, 16_000, subtype="PCM_24")
    copies = find_copies([*examples(corpus), Example(corpus / "again.flac", "fear", "new", "c")])
    assert copies.hashes[str(corpus / "again.flac")] == copies.hashes[str(corpus / "IC0.opus")]
    assert len(copies.near) == 1, "identical files are one recording, not a near copy"


def test_a_recording_that_cannot_be_read_is_named(corpus: Path) -> None:
    (corpus / "IC0.opus").write_bytes(b"no sound")
    copies = find_copies(examples(corpus))
    assert len(copies.unreadable) == 1 and "IC0.opus was not compared: " in copies.unreadable[0]


def test_a_planted_leak_is_refused(corpus: Path) -> None:
    given = examples(corpus)
    copies = find_copies(given)
    split = split_by_speaker(given, test_speakers=["KS0"], dev_speakers=["IC0"])
    with pytest.raises(DataLeakError, match=r"1 leak\(s\): .*EB0.opus \(train\) and .*planted.opus \(test\) are one"):
        refuse_leaks(split, copies)
    one_side = refuse_leaks(split_by_speaker(given, test_speakers=["IC0"]), copies)
    assert one_side.clean and len(one_side.within) == 1
    assert "both in one part" in one_side.within[0]


def test_check_data_fails_on_a_planted_leak(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check-data", "--data", str(corpus), "--test-speakers", "KS0"]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "LEAKS: 1" in printed and "planted.opus (test) are one recording" in printed
    assert main([*arguments, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["clean"] and len(report["near_copies"]) == 1 and report["compared"] == 4
    assert report["sides"]["test"] == {"clips": 2, "speakers": 1}
    assert main(["check-data", "--data", str(corpus), "--test-speakers", "IC0"]) == 0
    assert "Nothing leaks" in capsys.readouterr().out


def test_check_data_names_speakers_that_are_not_there(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-data", "--data", str(corpus), "--test-speakers", "nobody"]) == 2
    assert "There is no speaker nobody in the data. It has EB0, IC0, KS0." in capsys.readouterr().err


def test_check_data_compares_the_owners_splits(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = "file_name,label,speaker,split\nEB0.opus,anger,x,train\nIC0.opus,fear,y,test1\nKS0.opus,sadness,x,dev\n"
    (corpus / "metadata.csv").write_text(table)
    assert main(["check-data", "--data", str(corpus), "--owner-splits"]) == 1
    printed = capsys.readouterr().out
    assert "speaker x is in dev and train" in printed and "test 1 clip of 1 speaker" in printed


def test_training_fails_on_a_planted_leak(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--data", str(corpus), "--out", str(tmp_path / "out"), "--test-speakers", "KS0"]
    assert main([*arguments, "--dev-speakers", "IC0"]) == 1
    assert "planted.opus (test) are one recording" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_speakers_whom_a_copy_joins_are_drawn_together() -> None:
    given = [Example(Path(f"{n}_{clip}.wav"), "anger", f"s{n}", "c") for n in range(8) for clip in range(5)]
    hashes = {str(e.path): str(e.path) for e in given} | {"1_0.wav": "same", "4_2.wav": "same"}
    near = [NearCopy("4_1.wav", "6_0.wav", 0.1)]
    groups = group_speakers(given, hashes, near)
    assert {groups[name] for name in ("s1", "s4", "s6")} == {"s1"}
    assert [groups[name] for name in ("s0", "s2", "s7")] == ["s0", "s2", "s7"]
    for seed in range(20):
        drawn = draw_dev_speakers(given, 0.3, seed, groups)
        assert len(drawn & {"s1", "s4", "s6"}) in (0, 3)
        split = split_by_speaker(given, dev_speakers=drawn)
        assert split.dev and split.train
        assert report_leaks(split, hashes, near).clean


def test_a_near_copy_of_identical_files_counts_wherever_one_of_them_lies() -> None:
    a, b, c = (Example(Path(f"{name}.wav"), "anger", name, "c") for name in "abc")
    hashes = {"a.wav": "one", "b.wav": "one", "c.wav": "other"}
    near = [NearCopy("a.wav", "c.wav", 0.1)]
    report = report_leaks(Split((a, c), (), (b,)), hashes, near)
    assert report.recordings == {"one": ("a.wav", "b.wav")}
    assert [str(pair) for pair in report.near_copies] == [
        "b.wav (test) and c.wav (train) are one recording (10% of the fingerprint differ)"
    ]
