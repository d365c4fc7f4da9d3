import csv
import io
import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annotations.errors import ConsentRequiredError, ExchangeError
from annotations.exchange.exports.exporting import export_store
from annotations.exchange.imports.importing import ImportOptions, import_sources
from annotations.exchange.imports.places import FolderPlace, ZipPlace
from annotations.exchange.imports.sources import find_recordings
from annotations.maintenance.erasure.erase import withdraw_consent
from annotations.raters.votes import effective_corrections, mark_gold, training_examples, unmark_gold
from annotations.store import AnnotationStore, NewVote
from ser.audio.decoding import decode_bytes
from tests.unit.stored import add_version, answer, list_clips, recording, write_wav

RESEARCH = ImportOptions(consent=("research",))

WHOLE_VOTE = {
    "distribution": {"fear": 0.75, "sadness": 0.25},
    "valence": 20,
    "arousal": 80,
    "comment": "trembling",
    "seconds": 7.25,
    "answer_shown": True,
}


@pytest.fixture
def other(tmp_path):
    with AnnotationStore(tmp_path / "other") as opened:
        yield opened


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "mood"
    for seed, name in enumerate(("a.wav", "b.wav", "c.wav", "unlisted.wav")):
        write_wav(folder / "audio" / name, seed)
    (folder / "metadata.csv").write_text(
        "file_name,label,speaker,transcript,age\n"
        'audio/a.wav,angry,s1,"kids, talking",30\naudio/b.wav,boredom,s2,,\naudio/c.wav,calm,s1,dogs,\n',
        encoding="utf-8-sig",
    )
    return folder


def everything(store):
    """All of a store that an export carries, column by column, without ids."""

    def rows(query, without=("id", "clip_id", "model_version_id", "prediction_id")):
        with store.reading() as connection:
            found = [dict(row) for row in connection.execute(query)]
        return [{name: value for name, value in row.items() if name not in without} for row in found]

    return {
        "clips": rows("SELECT * FROM clips ORDER BY sha256"),
        "consents": rows(
            "SELECT sha256, consents.* FROM consents JOIN clips ON clips.id = clip_id ORDER BY sha256, consents.id"
        ),
        "gold": rows(
            "SELECT sha256, gold_marks.* FROM gold_marks JOIN clips ON clips.id = clip_id "
            "ORDER BY sha256, gold_marks.id"
        ),
        "answers": rows(
            "SELECT clips.sha256 AS clip, name AS version, model_versions.sha256 AS weights, predictions.* "
            "FROM predictions JOIN clips ON clips.id = clip_id "
            "JOIN model_versions ON model_versions.id = model_version_id ORDER BY clip, predictions.id"
        ),
        "votes": rows(
            "SELECT sha256, corrections.*, retracted_at, predictions.created_at AS answered_at FROM corrections "
            "JOIN clips ON clips.id = corrections.clip_id LEFT JOIN predictions ON predictions.id = prediction_id "
            "LEFT JOIN correction_retractions ON correction_id = corrections.id ORDER BY sha256, corrections.id"
        ),
        "queue": rows(
            "SELECT sha256, label, entropy, margin, votes, judged, dispute, gold, language FROM queue_clips "
            "JOIN clips ON clips.id = clip_id ORDER BY sha256".replace("language FROM", "queue_clips.language FROM")
        ),
    }


def fill(store):
    """Three clips with all that can be said of them, five votes each and two answers."""
    base = store.ensure_base_version("embedded", "a" * 64)
    later = add_version(store, "v2", "b" * 64)
    for seed in range(3):
        clip = store.add_clip(
            recording(seed),
            source="page",
            speaker=["s1", None, "s2"][seed],
            session="monday",
            consent=("research", "training"),
            consent_by="Zoë",
        )
        first = store.add_prediction(clip.id, answer("fear"), base.id)
        store.add_prediction(clip.id, answer("anger", 0.7), later.id)
        store.add_correction(clip.id, NewVote("Zoë", "correct", label="anger", intensity=70), prediction_id=first.id)
        store.add_correction(clip.id, NewVote("Zoë", "correct", label="fear", transcript='a "b", c\nd'))
        store.add_correction(clip.id, NewVote("bob", "correct", label="fear", **WHOLE_VOTE))
        store.add_correction(clip.id, NewVote("cid", "correct", label="sadness"))
        store.add_correction(clip.id, NewVote("dan", "skip"))
    store.undo_last_correction("bob")
    mark_gold(store, 1, "fear", by="Zoë")
    unmark_gold(store, 1, by="Zoë")
    mark_gold(store, 2, "anger", by="Zoë")
    withdraw_consent(store, 3, ["training"], "Zoë")


def test_a_folder_is_imported_by_its_table(store, corpus):
    report = import_sources(store, [corpus], ImportOptions(consent=("research", "training"), consent_by="lab"))
    assert (report.added, report.known, report.votes, report.unlisted, report.failed) == (3, 0, 0, 1, [])
    clips = list_clips(store)
    assert [clip.speaker for clip in clips] == ["s1", "s2", "s1"]
    assert {clip.source for clip in clips} == {"mood"}
    assert {clip.consent for clip in clips} == {("research", "training")}
    with store.reading() as connection:
        assert {row["given_by"] for row in connection.execute("SELECT given_by FROM consents")} == {"lab"}


def test_labels_are_votes_of_the_corpus_when_asked_for_and_foreign_ones_are_named(store, corpus):
    how = ImportOptions(consent=("research",), labels=True)
    report = import_sources(store, [corpus / "metadata.csv"], how)
    assert (report.added, report.votes, dict(report.unknown_labels)) == (3, 2, {"boredom": 1})
    votes = effective_corrections(store)
    assert [(vote.rater, vote.label, vote.transcript) for vote in votes] == [
        ("import:mood", "anger", "kids, talking"),
        ("import:mood", "neutral", "dogs"),
    ]
    again = import_sources(store, [corpus], how)
    assert (again.added, again.known, again.votes) == (0, 3, 0)


def test_bad_files_are_named_and_the_rest_is_stored(store, tmp_path):
    write_wav(tmp_path / "in" / "deep" / "good.wav", 0)
    write_wav(tmp_path / "in" / "same.wav", 0)
    (tmp_path / "in" / "bad.mp3").write_bytes(b"no audio" * 50)
    (tmp_path / "in" / "notes.txt").write_text("not looked at")
    report = import_sources(store, [tmp_path / "in"], RESEARCH)
    assert (report.added, report.known) == (1, 1)
    assert [name for name, _ in report.failed] == ["bad.mp3"]
    assert len(list_clips(store)) == 1


def test_nothing_is_imported_without_consent(store, corpus):
    with pytest.raises(ConsentRequiredError, match="Nothing is stored without consent"):
        import_sources(store, [corpus], ImportOptions())
    assert list_clips(store) == []


@pytest.mark.parametrize("form", ["audiofolder", "jsonl", "parquet", "zip"])
def test_an_own_export_reads_back_whole(store, other, tmp_path, form):
    fill(store)
    if form in ("jsonl", "parquet"):
        source = tmp_path / f"out.{form}"
        export_store(store, form, source)
    else:
        source = tmp_path / "out"
        report = export_store(store, "audiofolder", source)
        assert (report.clips, report.votes, report.without_consent) == (3, 15, 0)
    if form == "zip":
        source = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "out"))
    report = import_sources(other, [source], ImportOptions())
    assert (report.added, report.votes, report.predictions, report.failed) == (3, 15, 6, [])
    assert everything(other) == everything(store)
    assert training_examples(other)[0].soft_label == training_examples(store)[0].soft_label
    # Importing it once more changes nothing, wherever.
    for target in (other, store):
        again = import_sources(target, [source], ImportOptions())
        assert (again.added, again.known, again.votes) == (0, 3, 0)
        assert everything(target) == everything(store)


def test_an_undo_made_after_an_export_comes_along_with_the_next_one(store, other, tmp_path):
    fill(store)
    export_store(store, "audiofolder", tmp_path / "one")
    import_sources(other, [tmp_path / "one"], ImportOptions())
    store.undo_last_correction("cid")
    export_store(store, "audiofolder", tmp_path / "two")
    import_sources(other, [tmp_path / "two"], ImportOptions())
    assert everything(other) == everything(store)


def test_an_exchanged_recording_is_refused(store, other, tmp_path):
    fill(store)
    export_store(store, "audiofolder", tmp_path / "out")
    first, second, _ = sorted((tmp_path / "out" / "audio").iterdir())
    shutil.copyfile(first, second)
    report = import_sources(other, [tmp_path / "out"], ImportOptions())
    assert report.added == 2
    assert [name for name, _ in report.failed] == [f"audio/{second.name}"]
    assert "not the one that was annotated" in report.failed[0][1]


@pytest.mark.parametrize(
    "change",
    [
        {"created_at": "yesterday"},
        {"consents": "all"},
        {"consents": []},
        {"votes": [{"rater": "a", "verdict": "correct", "label": "joy"}]},
        {"votes": [{"rater": 7, "verdict": "skip"}]},
        {"votes": [{"rater": "a", "verdict": "skip", "intensity": "much"}]},
    ],
)
def test_a_spoilt_line_is_named_and_nothing_of_its_clip_is_stored(store, other, tmp_path, change):
    fill(store)
    export_store(store, "audiofolder", tmp_path / "out")
    table = tmp_path / "out" / "annotations.jsonl"
    lines = table.read_text(encoding="utf-8").splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **change})
    table.write_text("\n".join(lines), encoding="utf-8")
    report = import_sources(other, [tmp_path / "out"], ImportOptions())
    assert (report.added, len(report.failed)) == (2, 1)
    assert len(list_clips(other)) == 2


def test_export_leaves_out_what_there_is_no_consent_for(store, tmp_path):
    fill(store)
    store.add_clip(recording(9), source="page", consent=("publication",))
    report = export_store(store, "audiofolder", tmp_path / "research")
    assert (report.clips, report.without_consent) == (3, 1)
    report = export_store(store, "audiofolder", tmp_path / "publication", "publication")
    assert (report.clips, report.without_consent) == (1, 3)
    (only,) = (tmp_path / "publication" / "audio").iterdir()
    assert only.stem == recording(9).sha256


def test_the_table_for_datasets_has_the_votes_taken_together(store, tmp_path):
    fill(store)
    export_store(store, "audiofolder", tmp_path / "out")
    with open(tmp_path / "out" / "metadata.csv", encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert (tmp_path / "out" / row["file_name"]).is_file()
    assert (row["label"], row["raters"], row["speaker"], row["consent"]) == ("fear", "3", "s1", "research training")
    assert float(row["share_fear"]) == pytest.approx(1.75 / 3)
    assert float(row["share_sadness"]) == pytest.approx(1.25 / 3)
    assert row["transcript"] == 'a "b", c\nd'


def test_csv_has_raw_votes_next_to_the_clips(store, tmp_path):
    fill(store)
    export_store(store, "csv", tmp_path / "out.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out_votes.csv").read_text(encoding="utf-8"), newline="")))
    assert len(rows) == 15
    assert [row["label"] for row in rows[:5]] == ["anger", "fear", "fear", "sadness", ""]
    assert sum(row["retracted_at"] != "" for row in rows) == 1
    assert "file_name" not in (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[0].split(",")


def test_parquet_is_read_by_datasets_with_its_recordings(store, tmp_path):
    fill(store)
    export_store(store, "parquet", tmp_path / "out.parquet")
    datasets = pytest.importorskip("datasets")
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "out.parquet"), cache_dir=str(tmp_path / "cache"))
    assert isinstance(loaded.features["audio"], datasets.Audio)
    row = loaded.cast_column("audio", datasets.Audio(sampling_rate=16_000, decode=False))[0]
    assert decode_bytes(row["audio"]["bytes"]).sha256 == row["sha256"] == recording(0).sha256
    assert row["soft_label"]["fear"] == pytest.approx(1.75 / 3)
    assert [vote["label"] for vote in row["votes"]] == ["anger", "fear", "fear", "sadness", None]
    assert row["votes"][0]["intensity"] == 70
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 3


def test_an_export_never_writes_over_anything_and_leaves_nothing_half_done(store, tmp_path):
    fill(store)
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(ExchangeError, match=r"out.csv exists already. Choose another place"):
        export_store(store, "csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    store.clip_path(list_clips(store)[0]).unlink()
    report = export_store(store, "jsonl", tmp_path / "part.jsonl")
    assert (report.clips, len(report.missing)) == (2, 1)
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_tree_of_corpora_is_read_by_the_table_of_each(tmp_path, corpus):
    root = tmp_path / "root"
    shutil.copytree(corpus, root / "one")
    shutil.copytree(corpus, root / "two")
    write_wav(root / "loose.wav", 8)
    with ExitStack() as stack:
        found = find_recordings(root, stack)
    assert [(item.corpus, item.name) for item in found.incoming] == [
        *(("one", f"one/audio/{name}.wav") for name in "abc"),
        *(("two", f"two/audio/{name}.wav") for name in "abc"),
        ("root", "loose.wav"),
    ]
    assert found.unlisted == ("one/audio/unlisted.wav", "two/audio/unlisted.wav")


def test_an_empty_or_missing_source_is_refused(store, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExchangeError, match="There is no recording in empty"):
        import_sources(store, [tmp_path / "empty"], RESEARCH)
    with pytest.raises(ExchangeError, match="does not exist"):
        import_sources(store, [tmp_path / "nowhere"], RESEARCH)


def test_a_folder_and_a_zip_of_it_read_alike(tmp_path, corpus):
    path = Path(shutil.make_archive(str(tmp_path / "mood"), "zip", corpus))
    folder, archive = FolderPlace(corpus), ZipPlace(path)
    assert folder.names == archive.names
    assert folder.name == archive.name
    assert all(folder.read(name) == archive.read(name) for name in folder.names)
    archive.close()


def test_a_real_corpus_is_imported_by_its_table(store, shared_data, tmp_path):
    folder = tmp_path / "emodb"
    (folder / "audio").mkdir(parents=True)
    lines = (shared_data / "emodb" / "metadata.csv").read_text(encoding="utf-8").splitlines()[:6]
    (folder / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    for line in lines[1:]:
        name = line.split(",")[0]
        shutil.copyfile(shared_data / "emodb" / name, folder / name)
    report = import_sources(store, [folder], ImportOptions(consent=("research",), labels=True))
    assert (report.added, report.votes, report.failed) == (5, 5, [])
