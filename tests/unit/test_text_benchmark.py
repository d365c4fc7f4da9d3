import json

from benchmarks.words.text import main


def test_one_json_object_on_stdout(tmp_path, capsys):
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\nwhat a lovely day!,happiness\nleave me alone,anger\n")
    assert main(["--data", str(rows), "--device", "cpu", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["figures"]["n"] == 2
    assert 0 < result["sentence_p50_ms"] <= result["sentence_p95_ms"]
    assert result["sentences_per_second"] > 0
    assert {"seed", "versions", "machine", "git_commit"} <= set(result)


def test_what_cannot_be_measured_is_said(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "absent.csv"), "--quick"]) == 2
    assert "cannot be read as a CSV file" in capsys.readouterr().err
    assert main(["--data", str(tmp_path / "absent.csv"), "--model", "none"]) == 2
    assert "the text model is 'none'" in capsys.readouterr().err
