"""Odd lines and names in tables end no import, are counted, and a preview tells of them."""

import json

import pytest

from annotations.cli import main
from annotations.errors import ExchangeError
from annotations.exchange.imports.importing import ImportOptions, ImportReport, import_sources
from annotations.exchange.imports.options import failure_lines
from annotations.exchange.imports.preview import preview_sources
from ser.errors import SerError
from tests.unit.stored import list_clips, write_wav
from tests.unit.test_foreign_tables import LABELS


def test_speakers_from_names_and_columns(store, folder):
    for seed, name in enumerate(("ann_1", "ann_2", "bob_1")):
        write_wav(folder / "more" / f"{name}.wav", seed)
    report = import_sources(store, [folder / "more"], ImportOptions(consent=("research",), speaker_from="^([a-z]+)_"))
    assert [clip.speaker for clip in list_clips(store)] == ["ann", "ann", "bob"] and report.speakers[""] == 0
    (folder / "more" / "metadata.csv").write_text("file_name,who\nann_1.wav,Ann Lee\n")
    named = ImportOptions(consent=("research",), columns={"speaker": "who"})
    assert preview_sources([folder / "more" / "metadata.csv"], named).report.speakers == {"Ann Lee": 1}
    with pytest.raises(ExchangeError, match=r"columns file_name, who; none is 'whom', named for the speaker"):
        preview_sources([folder / "more"], ImportOptions(columns={"speaker": "whom"}))
    with pytest.raises(ExchangeError, match="no regular expression"):
        preview_sources([folder / "more"], ImportOptions(speaker_from="("))


def test_a_preview_tells_what_the_import_then_does(store, folder):
    (folder / "metadata.csv").write_text(
        "file_name,label,speaker,rater\naudio/0.wav,exc,s1,ann\naudio/1.wav,odd,s2,bob\naudio/9.wav,sad,s2,bob\n"
        "audio/1.wav,sad,s2,cid,one cell too many\n"
    )
    preview = preview_sources([folder], LABELS)
    assert (preview.clips, dict(preview.votes), dict(preview.by_label)) == (2, {"ann": 1}, {"happiness": 1})
    assert preview.asked_labels == [("odd", None, 1), ("exc", "happiness", 1)]
    report = import_sources(store, [folder], LABELS)
    assert list_clips(store) and report.votes == sum(preview.votes.values()) and report.added == preview.clips
    assert preview.exit_code == report.exit_code == 1
    assert sorted(where for where, _ in report.failed) == ["audio/9.wav", "metadata.csv, line 5"]
    assert sorted(where for where, _ in preview.report.failed) == ["audio/9.wav", "metadata.csv, line 5"]
    assert "audio/2.wav" in " ".join(report.lines()) and preview_sources([folder], ImportOptions()).without_consent == 2


@pytest.mark.parametrize("name", ["metadata.json", "metadata.jsonl", "metadata.csv"])
def test_lists_that_go_too_deep_are_refused_with_a_sentence(store, folder, name):
    deep = "[" * 100_000 + "]" * 100_000
    text = f"file_name,distribution\naudio/0.wav,{deep}\n" if name.endswith("csv") else deep
    text += '\n{"file_name": "audio/0.wav", "label": "fear"}\n' if name.endswith("jsonl") else ""
    (folder / name).write_text(text)
    try:
        report = import_sources(store, [folder], LABELS)
    except SerError as error:
        assert "nested too deeply" in str(error) or "is no table of text" in str(error)
    else:
        assert report.exit_code != 0 and "nested too deeply" in report.failed[0][1] + report.failed[-1][1]


def test_an_odd_item_does_not_end_a_list(store, folder):
    plain = [
        {"file": "audio/0.wav", "label": "sad"},
        7,
        None,
        ["audio/1.wav"],
        {"file": "audio/2.wav", "label": "fear"},
    ]
    (folder / "metadata.json").write_text(json.dumps(plain))
    report = import_sources(store, [folder], LABELS)
    assert (report.added, report.votes) == (2, 2) and report.exit_code == 1
    assert [where for where, _ in report.failed] == [f"metadata.json, item {number}" for number in (2, 3, 4)]


def test_an_odd_task_does_not_end_a_project(store, folder):
    said = [{"completed_by": 1, "result": [{"type": "choices", "value": {"choices": ["fear"]}}]}]
    tasks = [{"data": {"audio": "audio/0.wav"}, "annotations": said}, {"data": None, "annotations": [None]}]
    (folder / "metadata.json").write_text(json.dumps(tasks))
    report = import_sources(store, [folder], LABELS)
    assert (report.added, report.votes) == (1, 1) and report.exit_code == 1
    assert report.failed == [("metadata.json, item 2", "it is no task and names no recording; export it again")]


def test_parts_of_recordings_are_not_taken_for_whole_ones(store, folder):
    (folder / "metadata.csv").write_text("file,label,start,end\naudio/0.wav,sad,0,0.2\naudio/0.wav,angry,0.2,0.5\n")
    report = import_sources(store, [folder / "metadata.csv"], LABELS)
    assert report.votes == 0 and report.exit_code != 0
    assert all("cut the recording" in reason for _, reason in report.failed) and len(report.failed) == 2


def test_two_names_for_one_recording_are_not_guessed(store, folder):
    (folder / "audio" / "labels.csv").write_text("file,label\nx/0.wav,sad\ny/0.wav,angry\n")
    report = import_sources(store, [folder / "audio" / "labels.csv"], LABELS)
    assert report.votes == 0 and "name it by its path" in report.failed[0][1]


def test_ten_thousand_bad_rows_print_three_and_a_count(store, folder, tmp_path, capsys):
    rows = [f"gone/{n}.wav,sad,s" for n in range(10_000)]
    (folder / "metadata.csv").write_text("\n".join(("file_name,label,speaker", *rows, "audio/0.wav,sad,s,too,many")))
    command = ["--data-dir", str(tmp_path / "d"), "import", str(folder / "metadata.csv"), "--consent", "research"]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 5 and "9,997 more: likewise." in printed.err
    assert "10001 files or rows failed" in printed.out
    assert failure_lines([("a", "x"), ("b", "y")]) == [("a", "x"), ("b", "y")]


def test_labels_come_in_unless_they_are_refused(tmp_path, folder, capsys):
    (folder / "metadata.csv").write_text("file_name,label\naudio/0.wav,sad\naudio/1.wav,sad\naudio/2.wav,calm\n")
    command = ["import", str(folder), "--consent", "research", "--json"]
    assert main(["--data-dir", str(tmp_path / "a"), *command]) == 0
    assert json.loads(capsys.readouterr().out)["votes"] == 3
    assert main(["--data-dir", str(tmp_path / "b"), *command, "--no-labels"]) == 0
    imported = json.loads(capsys.readouterr().out)
    assert (imported["votes"], imported["unasked_labels"], imported["without_speaker"]) == (
        0,
        3,
        3,
    )
    assert main(["--data-dir", str(tmp_path / "c"), *command, "--dry-run"]) == 0
    assert not (tmp_path / "c").exists()


def test_a_report_knows_its_exit_code():
    assert [
        ImportReport(added=1, **more).exit_code for more in ({}, {"unlisted": 1}, {"erased": 1}, {"stopped": True})
    ] == [*(0, 1, 1, 1)]
    assert ImportReport(failed=[("a", "b")]).exit_code == 2
