"""Tables as other people and programs write them come in whole, or what was left out is named."""

import csv
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotations.cli import main
from annotations.errors import ExchangeError
from annotations.exchange.exports.exporting import SPREADSHEET, export_store
from annotations.exchange.imports.importing import ImportOptions, import_sources
from annotations.raters.votes import effective_corrections, gold_labels
from annotations.store import AnnotationStore, NewVote
from ser.corpora import read_corpus
from tests.unit.stored import list_clips, recording, write_wav
from tests.unit.test_exchange import everything, fill

LABELS = ImportOptions(consent=("research",), labels=True)


def votes(store):
    return [(vote.clip_id, vote.rater, vote.label) for vote in effective_corrections(store)]


def original_labels(store):
    with store.reading() as connection:
        return [row["original_label"] for row in connection.execute("SELECT original_label FROM clips ORDER BY id")]


CASES = {
    "A01_space_in_header": (2, 2, 2, 0),
    "A03_metadata_jsonl": (2, 2, 0, 0),
    "A05_rater_column": (2, 4, 0, 0),
    "A07_own_labels": (2, 0, 0, 1),
    "A09_labelstudio_json": (2, 2, 0, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_inputs_that_real_people_have(store, shared_data, case, capsys):
    source = shared_data / "cases" / case
    if not source.is_dir():
        pytest.skip(f"{source} is not there")
    report = import_sources(store, [source], LABELS)
    speakers = len({clip.speaker for clip in list_clips(store)} - {None})
    assert (report.added, report.votes, speakers, report.exit_code) == CASES[case]
    assert main(["import", str(source), "--consent", "research", "--dry-run"]) == CASES[case][-1]
    assert "2 clips" in capsys.readouterr().out


def test_raters_of_the_cases_are_kept_and_own_labels_are_not_dropped(store, shared_data):
    import_sources(store, [shared_data / "cases" / "A05_rater_column"], LABELS)
    assert votes(store) == [(1, "ann", "anger"), (1, "bob", "sadness"), (2, "ann", "sadness"), (2, "bob", "sadness")]


def test_own_labels_are_kept_and_can_be_mapped(store, folder):
    (folder / "metadata.csv").write_text(
        "file_name,label\naudio/0.wav,satisfied\naudio/1.wav,xxx\naudio/2.wav,satisfied"
    )
    report = import_sources(store, [folder], LABELS)
    assert (report.exit_code, dict(report.unknown_labels)) == (1, {"satisfied": 2, "xxx": 1})
    assert any("satisfied (2), xxx (1)" in line and "--map-label 'satisfied'=LABEL" in line for line in report.lines())
    assert original_labels(store) == ["satisfied", "xxx", "satisfied"]
    mapped = ImportOptions(consent=("research",), labels=True, label_map={"Satisfied": "happiness", "xxx": ""})
    report = import_sources(store, [folder], mapped)
    assert (report.exit_code, report.votes) == (0, 2)
    assert {label for _, _, label in votes(store)} == {"happiness"}
    with pytest.raises(ExchangeError, match="'delight' is no label here"):
        ImportOptions(label_map={"satisfied": "delight"})


FORMS = {
    "spaces and case": ("metadata.csv", b"Path , Emotion, SPK\naudio/0.wav, Angry, s1\naudio/1.wav, HAP, s2\n"),
    "semicolons": ("labels.csv", b"filename;emotion;speaker\n0.wav;angry;s1\n1.wav;happy;s2\n"),
    "separator said": ("labels.csv", b"sep=;\r\nfilename;emotion;speaker\r\n0.wav;angry;s1\r\n1.wav;happy;s2\r\n"),
    "tabs": ("metadata.tsv", b"audio\tlabel\tspk\naudio/0.wav\tang\ts1\naudio/1.wav\texc\ts2\n"),
    "bars": ("anything.csv", b"wav|emotion|actor\n0|wut|s1\n1|freude|s2\n"),
    "utf-16": (
        "metadata.csv",
        "path\tlabel\tspeaker\naudio/0.wav\t生气/angry\ts1\naudio/1.wav\t高兴\ts2\n".encode("utf-16"),
    ),
    "latin-1": ("metadata.csv", "path,label,speaker\n0.wav,wütend,s1\n1.wav,fröhlich,s2\n".encode("latin-1")),
    "byte order mark": ("metadata.csv", "\ufefffile_name,label,speaker\n0.wav,colère,s1\n1.wav,joie,s2\n".encode()),
    "json lines": (
        "metadata.jsonl",
        b'{"file": "audio/0.wav", "emotion": "female_angry", "speaker_id": "s1"}\n'
        b'{"file": "audio/1.wav", "emotion": "Happiness (strong)", "speaker_id": "s2"}\n',
    ),
    "json": (
        "export.json",
        b'[{"audio": "/data/upload/1/0a1b2c3d-0.wav", "emotion": "angry", "speaker": "s1"}, '
        b'{"audio": "http://host/data/upload/1/0a1b2c3d-1.wav", "emotion": "happy", "speaker": "s2"}]',
    ),
    "paths of another machine": (
        "metadata.csv",
        b"path,label,speaker\nC:\\data\\audio\\0.wav,angry,s1\n/home/x/audio/1.wav,happy,s2\n",
    ),
    "no header": ("labels.csv", b"audio/0.wav,angry\naudio/1.wav,happy\n"),
    "spreadsheet": ("metadata.csv", b"file_name,label,speaker\n'-0.wav,angry,s1\n1.wav,happy,s2\n"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_forms_of_tables(store, folder, tmp_path, form, packed):
    name, content = FORMS[form]
    (folder / name).write_bytes(content)
    if form == "spreadsheet":
        (folder / "audio" / "0.wav").rename(folder / "audio" / "-0.wav")
    (folder / "audio" / "2.wav").unlink()
    source = folder
    if packed:
        source = tmp_path / "in.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for path in sorted(folder.rglob("*.*")):
                archive.write(path, path.relative_to(folder))
    report = import_sources(store, [source], LABELS)
    assert (report.added, report.votes, report.failed, report.exit_code) == (2, 2, [], 0), report.lines()
    assert [label for _, _, label in votes(store)] == ["anger", "happiness"]
    if form != "no header":
        assert [clip.speaker for clip in list_clips(store)] == ["s1", "s2"]
    if not packed:
        # Training reads the same.
        examples = read_corpus(folder).examples
        assert [example.label for example in examples] == ["anger", "happiness"]
        assert [example.speaker for example in examples] == (["s1", "s2"] if form != "no header" else ANY_SPEAKER)


ANY_SPEAKER = ["in/audio/0.wav", "in/audio/1.wav"]


def test_a_table_in_parquet(store, folder):
    rows = [{"path": f"audio/{n}.wav", "emotion": e, "shoe_size": 41.0} for n, e in enumerate(("angry", "sad", "fear"))]
    pq.write_table(pa.Table.from_pylist(rows), folder / "metadata.parquet")
    report = import_sources(store, [folder], LABELS)
    assert (report.votes, report.exit_code) == (3, 0)
    assert report.notes == ["metadata.parquet: columns that were not read: shoe_size."]


def test_folders_of_labels_in_an_archive(store, tmp_path):
    for seed, label in enumerate(("angry", "sad", "odd")):
        write_wav(tmp_path / "in" / label / f"{seed}.wav", seed)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in (tmp_path / "in").rglob("*.wav"):
            archive.write(path, path.relative_to(tmp_path / "in"))
    for source in ("in", "in.zip"):
        report = import_sources(store, [tmp_path / source], LABELS)
        assert dict(report.unknown_labels) == {"odd": 1} and report.exit_code == 1
    assert [label for _, _, label in votes(store)] == ["anger", "sadness"]


def test_raters_in_rows_and_columns_with_times_and_contradictions(store, folder):
    (folder / "metadata.csv").write_text(
        "file_name,emotion,annotator,timestamp\naudio/0.wav,angry,ann,2024-05-01T10:00:00Z\n"
        "audio/0.wav,sad,bob,1714557600\naudio/1.wav,sad,ann,yesterday\n"
    )
    report = import_sources(store, [folder / "metadata.csv"], LABELS)
    assert (report.votes, report.exit_code) == (3, 0)
    given = {(vote.rater, vote.clip_id): vote.created_at for vote in effective_corrections(store)}
    assert given["ann", 1].startswith("2024-05-01T10:00") and given["bob", 1].startswith("2024-05-01T10:00")
    assert any("Times such as 'yesterday'" in note for note in report.notes)
    (folder / "metadata.csv").write_text("path,rater_1,rater_2\naudio/2.wav,angry,afraid\n")
    import_sources(store, [folder / "metadata.csv"], LABELS)
    assert votes(store)[-2:] == [(3, "rater_1", "anger"), (3, "rater_2", "fear")]


def test_rows_without_raters_that_contradict_each_other_are_all_votes(store, folder):
    table = "path,label\naudio/0.wav,angry\naudio/0.wav,sad\naudio/0.wav,angry\naudio/1.wav,sad\naudio/1.wav,sad\n"
    (folder / "metadata.csv").write_text(table)
    import_sources(store, [folder / "metadata.csv"], LABELS)
    assert votes(store) == [
        (1, "import:in", "anger"),
        (1, "import:in #2", "sadness"),
        (1, "import:in #3", "anger"),
        (2, "import:in", "sadness"),
        (2, "import:in #2", "sadness"),
    ]
    first, second = read_corpus(folder).examples
    assert first.label == {"anger": pytest.approx(2 / 3), "sadness": pytest.approx(1 / 3)} and second.label == "sadness"


def test_columns_of_shares(store, folder):
    (folder / "metadata.csv").write_text(
        "file_name;share_anger;share_fear;share_boredom\naudio/0.wav;0,75;0,25;0\naudio/1.wav;0;0;1\n"
    )
    report = import_sources(store, [folder / "metadata.csv"], LABELS)
    assert dict(report.unknown_labels) == {"boredom": 1}
    (vote,) = effective_corrections(store)
    assert vote.distribution == {"anger": 0.75, "fear": 0.25} and vote.label == "anger"
    (folder / "metadata.csv").write_text("path,angry,sad\naudio/2.wav,3,1\n")
    import_sources(store, [folder / "metadata.csv"], LABELS)
    assert effective_corrections(store)[-1].distribution == {"anger": 0.75, "sadness": 0.25}


def test_label_studio_exports_of_other_projects(store, folder):
    def task(name, *annotations):
        return {
            "data": {"audio_url": f"/data/local-files/?d=in/audio/{name}", "speaker": "s1"},
            "annotations": annotations,
        }

    def result(kind, name, **value):
        return {"type": kind, "from_name": name, "to_name": "audio", "value": value}

    tasks = [
        task(
            "0.wav",
            {
                "completed_by": 7,
                "created_at": "2024-01-01T00:00:00.5Z",
                "lead_time": 3.5,
                "result": [
                    result("choices", "quality", choices=["noisy"]),
                    result("choices", "feeling", choices=["Angry"]),
                    result("textarea", "transcription", text=["go away"]),
                    result("rating", "arousal", rating=5),
                    result("rating", "charm", rating=2),
                ],
            },
            {"completed_by": {"email": "b@x.org"}, "result": [result("choices", "e", choices=["angry", "disgusted"])]},
        ),
        task("1.wav", {"completed_by": 7, "was_cancelled": True, "result": []}, {"completed_by": 8, "result": []}),
        {
            **task("2.wav", {"result": [result("labels", "part", start=1.0, end=2.0, labels=["sad"])]}),
            "predictions": [{}],
        },
    ]
    (folder / "project-1.json").write_text(json.dumps(tasks))
    report = import_sources(store, [folder], LABELS)
    first, second, skipped = effective_corrections(store)
    assert (first.rater, first.label, first.transcript, first.arousal, first.seconds) == (
        "7",
        "anger",
        "go away",
        100,
        3.5,
    )
    assert first.comment == "quality: noisy"
    assert second.distribution == {"anger": 0.5, "disgust": 0.5} and second.rater == "b@x.org"
    assert (skipped.verdict, skipped.rater, skipped.clip_id) == ("skip", "7", 2)
    assert {clip.speaker for clip in list_clips(store)} == {"s1"}
    reasons = [reason for _, reason in report.failed]
    assert reasons == ["1 answers to 'charm' were not read", "1 answers on parts of recordings were not read"]
    assert "project-1.json: 1 answer of models not read." in report.lines() and report.exit_code == 1


def test_records_of_argilla(store, folder):
    old = {"fields": {"audio": "audio/0.wav"}, "metadata": {"speaker": "s1"}, "responses": [
        {"user_id": "u1", "status": "submitted", "values": {"emotion": {"value": "angry"}, "why": {"value": "loud"}}},
        {"user_id": "u2", "status": "discarded", "values": {}},
    ]}  # fmt: skip
    new = {"fields": {"audio": "audio/1.wav"}, "responses": {"emotion": [{"user_id": "u1", "value": "sad"}]}}
    flat = {"audio": "audio/2.wav", "emotion.responses": ["fear", "sad"], "emotion.responses.users": ["u1", "u3"]}
    (folder / "records.jsonl").write_text("\n".join(map(json.dumps, (old, new, flat))))
    import_sources(store, [folder], LABELS)
    assert votes(store) == [
        *((1, "u1", "anger"), (1, "u2", None), (2, "u1", "sadness"), (3, "u1", "fear"), (3, "u3", "sadness")),
    ]
    assert effective_corrections(store)[0].comment == "loud" and list_clips(store)[0].speaker == "s1"


def test_databases_of_audformat(store, folder):
    audformat = pytest.importorskip("audformat")
    db = audformat.Database("other")
    db.raters["gold"], db.raters["model"] = audformat.Rater(), audformat.Rater("machine")
    db.schemes["emotion"] = audformat.Scheme("str", labels=["anger", "sadness", "boredom"])
    db.schemes["speaker"] = audformat.Scheme("int", labels={3: {"gender": "male", "language": "deu"}})
    db.schemes["transcription"] = audformat.Scheme("str", labels={"a01": "Der Lappen."})
    table = db["emotion"] = audformat.Table(audformat.filewise_index([f"audio/{n}.wav" for n in range(3)]))
    for name, rater in (("emotion", "gold"), ("guess", "model")):
        table[name] = audformat.Column(scheme_id="emotion", rater_id=rater)
        table[name].set(["anger", "sadness", "boredom"])
    files = db["files"] = audformat.Table(audformat.filewise_index([f"audio/{n}.wav" for n in range(3)]))
    files["speaker"] = audformat.Column(scheme_id="speaker")
    files["speaker"].set([3, 3, 3])
    files["transcription"] = audformat.Column(scheme_id="transcription")
    files["transcription"].set(["a01"] * 3)
    db.save(str(folder), storage_format="csv")
    report = import_sources(store, [folder], LABELS)
    assert votes(store) == [(1, "import:in", "anger"), (2, "import:in", "sadness")]
    assert dict(report.unknown_labels) == {"boredom": 1} and {clip.speaker for clip in list_clips(store)} == {"3"}
    with store.reading() as connection:
        assert connection.execute("SELECT DISTINCT transcript FROM clips").fetchall()[0][0] == "Der Lappen."


@pytest.mark.parametrize("form", ["labelstudio", "audformat"])
def test_votes_of_own_exports_for_other_tools_come_back(store, tmp_path, form):
    fill(store)
    out = tmp_path / "out" / ("db" if form == "audformat" else "tasks.json")
    export_store(store, form, out)
    with AnnotationStore(tmp_path / "other") as other:
        report = import_sources(other, [out if form == "audformat" else out.parent], LABELS)
        assert report.failed == [] and report.added == 3
        given = {(vote.rater, vote.verdict, vote.label, vote.created_at) for vote in effective_corrections(store)}
        assert given <= {
            (vote.rater, vote.verdict, vote.label, vote.created_at) for vote in effective_corrections(other)
        }
        assert {clip.speaker for clip in list_clips(other)} == {"s1", "s2", None}


@pytest.mark.parametrize("form", ["csv", SPREADSHEET])
def test_the_csv_export_gives_its_votes_back_whatever_their_text(store, tmp_path, form):
    fill(store)
    clip = store.add_clip(recording(7), source="page", speaker="=cmd|' /C calc'!A0")
    for text in ("=1+1", "+4", "-x", "@a", "'=y", "''z", "a\tb"):
        store.add_correction(clip.id, NewVote(f"r{text}", "correct", label="fear", transcript=text, comment=text))
    export_store(store, form, tmp_path / "out.csv")
    dangerous = [
        cell
        for table in ("out.csv", "out_votes.csv")
        for row in csv.reader((tmp_path / table).open(encoding="utf-8", newline=""))
        for cell in row
        if cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    ]
    assert bool(dangerous) == (form == "csv")
    with AnnotationStore(tmp_path / "other") as other:
        for number in list_clips(store):
            other.add_clip(recording([0, 1, 2, 7][number.id - 1]), source="page")
        report = import_sources(other, [tmp_path / "out.csv"], LABELS)
        assert (report.known, report.votes, report.failed, report.exit_code) == (4, 22, [], 0)
        without = [{k: v for k, v in vote.items() if k != "answered_at"} for vote in everything(store)["votes"]]
        assert [{k: v for k, v in vote.items() if k != "answered_at"} for vote in everything(other)["votes"]] == without
        assert list_clips(other)[-1].speaker == "=cmd|' /C calc'!A0"
        assert gold_labels(other) == gold_labels(store)
    with AnnotationStore(tmp_path / "empty") as empty:
        report = import_sources(empty, [tmp_path / "out.csv"], LABELS)
        assert report.exit_code == 2 and "Import the recordings first" in report.failed[0][1]
