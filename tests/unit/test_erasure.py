import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from annotations.cli import main
from annotations.errors import ClipNotFoundError, ConsentRequiredError
from annotations.exchange.exports.exporting import FORMATS, export_store
from annotations.exchange.imports.importing import ImportOptions, import_sources
from annotations.exchange.registry import list_exports
from annotations.maintenance.erasure.erase import (
    erase_clip,
    erase_rater,
    erase_speaker,
    finish_erasures,
    withdraw_consent,
)
from annotations.maintenance.retention import sweep
from annotations.raters.votes import effective_corrections, training_examples
from annotations.store import AnnotationStore, NewVote
from annotations.store.erasure_log import hash_recording, list_erasures, versions_with_erased, was_erased
from annotations.store.media import media_path
from annotations.store.new_records import NewVersion
from annotations.store.settings import AnnotationSettings, change_settings
from ser.corpora.copies import cached_file
from tests.unit.stored import answer, begin_run, list_clips, recording

SECRET = "the quick purple hippopotamus whispers"
RATER = "Persephone Quillfeather"
SPEAKER = "Bartholomew Underwood"


@pytest.fixture(autouse=True)
def _own_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "page"))


def fill(store, clips=6):
    """Clips of two speakers; the first clip says and is voted on with what must not be found again."""
    version = store.ensure_base_version("embedded", "a" * 64)
    for seed in range(clips):
        clip = store.add_clip(
            recording(seed),
            source="page",
            speaker=SPEAKER if seed < 2 else "s2",
            consent=("research", "training"),
            consent_by=RATER,
        )
        store.add_prediction(clip.id, answer(), version.id)
        said = SECRET if seed == 0 else f"ordinary words number {seed}"
        store.add_correction(clip.id, NewVote(RATER, "correct", label="fear", transcript=said, comment=f"{said}!"))
        store.add_correction(clip.id, NewVote("bob", "correct", label="anger"))


def train(store, vote_ids):
    """A run on some votes and the version that it made, put to use."""
    base = store.active_version()
    run = begin_run(store, base.id, "bob", vote_ids)
    version = NewVersion(f"v{run.id}", f"{run.id:064d}", f"models/v{run.id}")
    store.finish_training_run(run.id, "promoted", {}, "better", version)
    return store.active_version()


def files_with(folder, *needles):
    """Every file under a folder that holds one of the texts or bytes."""
    wanted = [needle.encode() if isinstance(needle, str) else needle for needle in needles]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if any(needle in path.read_bytes() for needle in wanted)]


def test_no_byte_of_an_erased_clip_is_found_again(store, tmp_path):
    fill(store)
    clip = store.get_clip(1)
    sound = store.clip_path(clip).read_bytes()
    content = hashlib.sha256(sound).hexdigest()
    middle = sound[len(sound) // 2 : len(sound) // 2 + 64]
    for form in FORMATS:
        export_store(store, form, store.data_dir / "exports" / f"{form}.out")
    copy = store.snapshot(store.data_dir / "runs" / "0001" / "feedback.db")
    derived = [
        store.data_dir / "features" / f"{clip.sha256}.npz",
        tmp_path / "page" / "token" / "clip-1.flac",
        cached_file(tmp_path / "cache" / "speech-emotion-studio" / "fingerprints", content),
        tmp_path / "cache" / "speech-emotion-studio" / "features" / content[:2] / f"{content}-1.npz",
        tmp_path / "cache" / "speech-emotion-studio" / "features" / "aa" / "unrelated.npz",
    ]
    for path in derived:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound)
    log, aside = store.data_dir / "runs" / "0001" / "log.txt", store.data_dir / "orphans" / "rows.jsonl"
    log.write_text(f"clips/aa/{clip.sha256}.flac: too quiet\n")
    aside.parent.mkdir()
    aside.write_text(json.dumps({"transcript": SECRET}) + "\n" + json.dumps({"transcript": "another"}) + "\n")
    needles = (SECRET, clip.sha256, middle, "hippopotamus", "purple")
    assert len(files_with(tmp_path, *needles)) > 10
    report = erase_clip(store, 1, by="maintainer")
    assert (report.clips, report.recordings, report.votes, report.remains) == (1, 1, 2, [])
    assert len(report.exports) == len(FORMATS)
    assert str(copy) in report.files
    derived[-1].unlink()  # Not named after the clip: stands for features of another one.
    assert files_with(tmp_path, *needles) == []
    assert log.read_text() == "clips/aa/(erased).flac: too quiet\n"
    assert aside.read_text() == '{"transcript": "another"}\n'
    assert [clip.id for clip in list_clips(store)] == [2, 3, 4, 5, 6]
    assert store.database.problems() == []
    assert store.active_version()  # The rest of the store is as it was.
    assert len(effective_corrections(store)) == 10
    with AnnotationStore(store.data_dir, database=copy) as snapshot:
        assert len(list_clips(snapshot)) == 5


def test_an_export_made_anew_keeps_all_else(store, tmp_path):
    fill(store)
    export_store(store, "audiofolder", tmp_path / "out")
    (tmp_path / "out" / "mine.txt").write_text("not yours")
    erase_clip(store, 1, by="maintainer")
    assert len(list((tmp_path / "out" / "audio").iterdir())) == 5
    assert (tmp_path / "out" / "mine.txt").read_text() == "not yours"
    with AnnotationStore(tmp_path / "other") as other:
        report = import_sources(other, [tmp_path / "out"])
        assert (report.added, report.failed) == (5, [])
    shutil.rmtree(tmp_path / "out")
    assert erase_clip(store, 2, by="maintainer").exports == []
    assert list_exports(store) == []


def test_a_speaker_is_erased_with_all_their_clips(store, tmp_path):
    fill(store)
    report = erase_speaker(store, SPEAKER, by="maintainer")
    assert (report.clips, report.recordings) == (2, 2)
    assert files_with(tmp_path, SPEAKER) == []
    assert {clip.speaker for clip in list_clips(store)} == {"s2"}
    with pytest.raises(ClipNotFoundError, match=f"No clip has the speaker '{SPEAKER}'"):
        erase_speaker(store, SPEAKER, by="maintainer")


def test_a_rater_is_erased_with_all_they_wrote(store, tmp_path):
    fill(store)
    export_store(store, "jsonl", tmp_path / "out.jsonl")
    report = erase_rater(store, RATER, by="maintainer")
    assert (report.clips, report.votes) == (0, 6)
    assert files_with(tmp_path, RATER, SECRET) == []
    assert len(list_clips(store)) == 6
    assert {vote.rater for vote in effective_corrections(store)} == {"bob"}
    with pytest.raises(ClipNotFoundError, match="The store knows no rater"):
        erase_rater(store, RATER, by="maintainer")


def test_votes_can_be_kept_without_the_name_and_the_words(store, tmp_path):
    fill(store)
    report = erase_rater(store, RATER, by=RATER, keep_votes=True)
    assert report.votes == 6
    assert files_with(tmp_path, RATER, SECRET) == []
    votes = effective_corrections(store)
    assert len(votes) == 12
    others = {vote.rater for vote in votes} - {"bob"}
    assert len(others) == 1 and next(iter(others)).startswith("erased-")
    assert all(vote.transcript is None and vote.comment is None for vote in votes)


def test_models_that_were_trained_on_it_are_marked_and_so_are_their_children(store, capsys):
    fill(store)
    version = train(store, [1, 2, 3])
    child = train(store, [5])
    report = erase_clip(store, 1, by="maintainer")
    assert report.versions == [version.name, child.name]
    assert versions_with_erased(store) == {version.id: {"clips": 1, "votes": 2}, child.id: {"clips": 0, "votes": 0}}
    assert main(["--data-dir", str(store.data_dir), "versions"]) == 0
    said = capsys.readouterr().out
    assert f"{version.name}: trained on what was erased since: 2 votes on 1 clip" in said
    assert "retrain --without-erased" in said
    assert main(["--data-dir", str(store.data_dir), "stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["versions_with_erased"] == [child.name, version.name]


def test_a_dry_run_counts_and_changes_nothing(store):
    fill(store)
    before = store.clip_path(store.get_clip(1)).read_bytes()
    report = erase_clip(store, 1, by="maintainer", dry_run=True)
    assert (report.clips, report.votes, report.recordings) == (1, 2, 1)
    assert store.clip_path(store.get_clip(1)).read_bytes() == before
    assert list_erasures(store) == []
    assert "would be erased" in report.lines()[0]


def test_the_log_keeps_that_it_happened_and_not_what(store):
    fill(store)
    sha256 = store.get_clip(1).sha256
    erase_clip(store, 1, by="maintainer")
    (entry,) = list_erasures(store)
    assert (entry.kind, entry.erased_by, entry.finished) == ("clip", "maintainer", True)
    assert entry.counts["votes"] == 2
    assert was_erased(store, sha256) and sha256 not in hash_recording(sha256)
    assert "clip 1" not in entry.subject


def test_an_erased_recording_does_not_come_back_by_an_import_unless_asked(store, tmp_path):
    fill(store)
    export_store(store, "audiofolder", tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "old")
    erase_clip(store, 1, by="maintainer")
    report = import_sources(store, [tmp_path / "old"])
    assert (report.added, report.known, report.erased) == (0, 5, 1)
    assert not (store.data_dir / media_path(recording(0).sha256)).exists()
    assert import_sources(store, [tmp_path / "old"], ImportOptions(readmit=True)).added == 1


def test_withdrawing_one_purpose_keeps_the_clip_and_takes_it_out_of_that_use(store, tmp_path):
    fill(store)
    version = train(store, [1, 2, 3])
    features = tmp_path / "cache" / "speech-emotion-studio" / "features" / "aa"
    export_store(store, "csv", tmp_path / "training.csv", "training")
    export_store(store, "csv", tmp_path / "research.csv", "research")
    features.mkdir(parents=True)
    report = withdraw_consent(store, 1, ["training"], RATER)
    assert report.versions == [version.name]
    assert report.exports == [str(tmp_path / "training.csv")]
    assert store.get_clip(1).consent == ("research",)
    sha256 = store.get_clip(1).sha256
    assert sha256 not in (tmp_path / "training.csv").read_text()
    assert sha256 in (tmp_path / "research.csv").read_text()
    assert 1 not in {example.clip.id for example in training_examples(store)}
    with pytest.raises(ConsentRequiredError, match="none of what was named"):
        withdraw_consent(store, 1, ["publication"], RATER)


def test_withdrawing_all_purposes_erases_the_clip(store):
    fill(store)
    report = withdraw_consent(store, 1, ["research", "training", "publication"], RATER)
    assert (report.kind, report.clips) == ("consent", 1)
    with pytest.raises(ClipNotFoundError):
        store.get_clip(1)


def test_an_interrupted_erasure_is_finished_later(store):
    fill(store)
    clip = store.get_clip(1)
    path = store.clip_path(clip)
    content = path.read_bytes()
    erase_clip(store, 1, by="maintainer")
    # As if the process had died after the rows were gone and before the file was.
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    pending = json.dumps({"recordings": [{"sha256": clip.sha256, "content": None, "size": 0}], "exports": []})
    with store.database.writing() as connection:
        connection.execute("UPDATE erasures SET pending = ?", (pending,))
    assert not list_erasures(store)[0].finished
    assert finish_erasures(store) == 1
    assert not path.exists()
    assert list_erasures(store)[0].finished
    assert files_with(store.data_dir, clip.sha256) == []


def test_clips_are_erased_after_their_time(store):
    fill(store)
    assert sweep(store) is None
    change_settings(store, AnnotationSettings(retention_days=30), by="maintainer")
    assert sweep(store) is None
    with store.database.writing() as connection:
        connection.execute("UPDATE clips SET created_at = '2020-01-01T00:00:00.000000+00:00' WHERE id <= 2")
    assert sweep(store, dry_run=True).clips == 2
    assert sweep(store).clips == 2
    assert [clip.id for clip in list_clips(store)] == [3, 4, 5, 6]
    assert list_erasures(store)[0].kind == "retention"


def test_erasing_while_another_process_holds_the_store_open(store, tmp_path):
    fill(store)
    code = (
        "import sys; from pathlib import Path; from annotations.store import AnnotationStore\n"
        "with AnnotationStore(Path(sys.argv[1])) as store:\n"
        "    store.get_clip(1); print('open', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(store.data_dir)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as page:
        assert page.stdout.readline() == "open\n"
        report = erase_clip(store, 1, by="maintainer")
        assert report.remains == []
        assert files_with(store.data_dir, SECRET, "hippopotamus") == []
        page.stdin.close()


def test_the_command_says_what_was_erased(store, tmp_path, capsys):
    fill(store)
    soundfile.write(tmp_path / "x.wav", recording(9).signal, 16_000)
    data = str(store.data_dir)
    assert main(["--data-dir", data, "erase", "--clip", "1", "--by", "ann", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["clips"], said["votes"], said["rows"]["predictions"], said["remains"]) == (1, 2, 1, [])
    assert main(["--data-dir", data, "erase", "--rater", RATER, "--dry-run"]) == 0
    assert "5 votes would be erased" in capsys.readouterr().out
    assert main(["--data-dir", data, "withdraw", "--clip", "2", "--purposes", "training"]) == 0
    assert main(["--data-dir", data, "retention"]) == 0
    capsys.readouterr()
    assert main(["--data-dir", data, "erase", "--clip", "99"]) == 2
    assert "There is no clip 99" in capsys.readouterr().err
