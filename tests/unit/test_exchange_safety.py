import io
import stat
import zipfile

import pytest
import soundfile

from annotations.errors import ExchangeError
from annotations.exchange.imports.importing import ImportOptions, import_sources
from tests.unit.stored import list_clips, recording, write_wav

RESEARCH = ImportOptions(consent=("research",))


def make_zip(path, members, links=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for name, target in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return path


def wav_bytes(seed):
    memory = io.BytesIO()
    soundfile.write(memory, recording(seed).signal, 16_000, format="WAV")
    return memory.getvalue()


def test_names_and_links_that_lead_out_of_an_archive_are_refused(store, tmp_path):
    path = make_zip(
        tmp_path / "evil.zip",
        {
            "good.wav": wav_bytes(0),
            "../escape.wav": wav_bytes(1),
            "/absolute.wav": wav_bytes(2),
            "C:\\windows.wav": wav_bytes(3),
            "__MACOSX/._good.wav": b"junk",
        },
        links=[("link.wav", "/etc/passwd")],
    )
    report = import_sources(store, [path], RESEARCH)
    assert report.added == 1
    assert sorted(name for name, _ in report.failed) == [
        "../escape.wav",
        "/absolute.wav",
        "C:\\windows.wav",
        "link.wav",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.zip", "store"]


def test_a_bomb_is_not_unpacked(store, tmp_path, monkeypatch):
    monkeypatch.setattr("annotations.exchange.imports.places.BOMB_FREE", 2**20)
    path = make_zip(tmp_path / "bomb.zip", {"a.wav": wav_bytes(0), "bomb.wav": bytes(50 * 2**20)})
    report = import_sources(store, [path], RESEARCH)
    assert report.added == 1
    assert [name for name, _ in report.failed] == ["bomb.wav"]
    assert "unpacks to far more" in report.failed[0][1]


def test_many_small_bombs_are_one_bomb(store, tmp_path, monkeypatch):
    monkeypatch.setattr("annotations.exchange.imports.places.BOMB_FREE", 2**20)
    path = make_zip(tmp_path / "bombs.zip", {f"{number}.wav": bytes(600_000) for number in range(3)})
    report = import_sources(store, [path], RESEARCH)
    assert ["unpacks to far more" in reason for _, reason in report.failed] == [False, True, True]


def test_a_damaged_archive_is_refused(store, tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    with pytest.raises(ExchangeError, match="cannot be read as a zip archive"):
        import_sources(store, [tmp_path / "x.zip"], RESEARCH)
    path = make_zip(tmp_path / "y.zip", {"a.wav": wav_bytes(0)})
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    report = import_sources(store, [path], RESEARCH)
    assert [name for name, _ in report.failed] == ["a.wav"]


def test_tables_and_links_cannot_reach_outside_of_their_folder(store, tmp_path):
    write_wav(tmp_path / "secret.wav", 0)
    write_wav(tmp_path / "in" / "fine.wav", 1)
    (tmp_path / "in" / "link.wav").symlink_to(tmp_path / "secret.wav")
    (tmp_path / "in" / "inner.wav").symlink_to(tmp_path / "in" / "fine.wav")
    (tmp_path / "in" / "circle.wav").symlink_to(tmp_path / "in" / "circle.wav")
    (tmp_path / "in" / "around").symlink_to(tmp_path / "in")
    report = import_sources(store, [tmp_path / "in"], RESEARCH)
    failed = sorted(name for name, _ in report.failed)
    assert (report.added, report.known, failed) == (1, 1, ["circle.wav", "link.wav"])
    names = ["../secret.wav", str(tmp_path / "secret.wav"), "link.wav", "gone.wav", "x" * 5000, "nul\0.wav", "fine.wav"]
    (tmp_path / "in" / "metadata.csv").write_text("file_name\n" + "\n".join(names), encoding="utf-8")
    report = import_sources(store, [tmp_path / "in" / "metadata.csv"], RESEARCH)
    assert (report.added, report.known, len(report.failed)) == (0, 1, 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no rows"),
        (b"file_name,label\n", "has no rows"),
        (b"sound of,label\na.wav,fear\n", "has the columns sound of, label. Expected a column of recordings"),
        (b'file_name\n"a.wav\n', "metadata.csv is no table of text"),
    ],
)
def test_a_malformed_table_is_refused_before_anything_is_stored(store, tmp_path, content, message):
    write_wav(tmp_path / "in" / "a.wav", 0)
    (tmp_path / "in" / "metadata.csv").write_bytes(content)
    with pytest.raises(ExchangeError, match=message):
        import_sources(store, [tmp_path / "in"], RESEARCH)
    assert list_clips(store) == []
