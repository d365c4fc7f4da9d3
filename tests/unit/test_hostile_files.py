"""Mutated files over decoding and import, archives that explode, and names that lead out of an export: by seeds."""

import csv
import io
import json
import random
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from annotations.exchange.exports.exporting import FORMATS, export_store
from annotations.exchange.imports.importing import ImportOptions, import_sources
from annotations.maintenance.inspection import inspect
from annotations.store import AnnotationStore, NewVote
from ser.audio.decoding import decode_bytes
from ser.errors import SerError
from ser.testing import synthetic_speech
from tests.unit.recordings import encode, voice

RESEARCH = ImportOptions(consent=("research",), max_duration=60.0)
EXTREMES = (
    b"\x00",
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\x7f",
    b"RIFF",
    b"\r\n",
    b"%00",
)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """A file with one to four faults: bits, lengths, cuts, repeats, foreign parts."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(max(1, len(data)))
        # Headers hold what a decoder believes, so half of the faults are there.
        if chance.random() < 0.5:
            place = chance.randrange(max(1, min(len(data), 128)))
        end = min(len(data), place + chance.choice((1, 2, 4, 16, 256)))
        kind = chance.randrange(6)
        if kind == 0:
            data[place:end] = bytes(byte ^ (1 << chance.randrange(8)) for byte in data[place:end])
        elif kind == 1:
            data[place:end] = chance.choice(EXTREMES)
        elif kind == 2:
            del data[place:]
        elif kind == 3:
            del data[place:end]
        elif kind == 4:
            data[place:place] = data[place:end] * chance.randint(1, 50)
        else:
            data[place:end] = chance.randbytes(end - place)
    return bytes(data)


@pytest.fixture(scope="module")
def recordings() -> dict[str, bytes]:
    """Half a second of sound in each container."""
    signal = voice(0.5)
    return {
        name: encode(signal, name)
        for name in ("wav", "flac", "ogg", "opus", "mp3", "aiff", "caf", "m4a", "webm", "mkv")
    }


def fuzz_decoding(recordings: dict[str, bytes], seed: int, count: int) -> int:
    """Decode mutated recordings; returns how many were refused."""
    chance, refused = random.Random(seed), 0
    for number in range(count):
        name = chance.choice(sorted(recordings))
        data = mutate(recordings[name], chance)
        try:
            audio = decode_bytes(data, f"{number}.{name}", 60.0)
        except SerError as error:
            refused += 1
            assert len(str(error)) > 20
            continue
        assert np.isfinite(audio.signal).all() and 0 < audio.duration <= 60.0, (seed, number, name)
    return refused


def test_mutated_recordings_are_decoded_or_refused_with_a_sentence(recordings: dict[str, bytes]) -> None:
    assert fuzz_decoding(recordings, seed=3, count=300) > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_more_mutated_recordings(recordings: dict[str, bytes], seed: int) -> None:
    assert fuzz_decoding(recordings, seed, count=2000) > 300


def table(rows: list[dict[str, object]], kind: str) -> bytes:
    if kind in ("csv", "tsv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0], delimiter="," if kind == "csv" else "\t")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    return (json.dumps(rows) if kind == "json" else "\n".join(map(json.dumps, rows))).encode()


def corpora(recordings: dict[str, bytes], chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Mutated archives of two recordings and a table, the archive or the table mutated; and tables alone."""
    rows: list[dict[str, object]] = [
        {
            "file_name": "a.wav",
            "label": "anger",
            "speaker": "s1",
            "rater": "ann",
            "transcript": "a\nb",
            "share_fear": 0.5,
        },
        {"file_name": "b.flac", "label": "fear", "speaker": "s2", "rater": "bob", "transcript": '"', "share_fear": 1},
    ]
    while True:
        kind = chance.choice(("csv", "tsv", "json", "jsonl"))
        listed = table(rows, kind)
        if chance.random() < 0.4:
            yield f"metadata.{kind}", mutate(listed, chance)
            continue
        inner = chance.random() < 0.6
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.wav", recordings["wav"])
            archive.writestr("b.flac", mutate(recordings["flac"], chance) if inner else recordings["flac"])
            archive.writestr(f"metadata.{kind}", mutate(listed, chance) if inner else listed)
        yield "corpus.zip", memory.getvalue() if inner else mutate(memory.getvalue(), chance)


def fuzz_import(recordings: dict[str, bytes], folder: Path, seed: int, count: int) -> int:
    """Import mutated archives and tables into one store; returns how many were refused as a whole."""
    chance, refused = random.Random(seed), 0
    source = folder / "in"
    source.mkdir()
    (source / "a.wav").write_bytes(recordings["wav"])
    (source / "b.flac").write_bytes(recordings["flac"])
    with AnnotationStore(folder / "store") as store:
        for (name, content), _ in zip(corpora(recordings, chance), range(count), strict=False):
            path = source / name
            path.write_bytes(content)
            try:
                report = import_sources(store, [path], RESEARCH)
                assert all(reason for _, reason in report.failed)
            except SerError as error:
                refused += 1
                assert len(str(error)) > 20
            path.unlink()
        found = inspect(store)
        assert found.is_well, found
    assert sorted(path.name for path in folder.iterdir()) == ["in", "store"]
    assert sorted(path.name for path in source.iterdir()) == ["a.wav", "b.flac"]
    return refused


def test_mutated_archives_and_tables_are_imported_or_refused(recordings: dict[str, bytes], tmp_path: Path) -> None:
    assert fuzz_import(recordings, tmp_path, seed=5, count=100) > 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_more_mutated_archives_and_tables(recordings: dict[str, bytes], tmp_path: Path, seed: int) -> None:
    assert fuzz_import(recordings, tmp_path, seed, count=600) > 60


def explode(path: Path, members: dict[str, Callable[[zipfile.ZipFile, str], None]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, write in members.items():
            write(archive, name)
    return path


def zeros(megabytes: int) -> Callable[[zipfile.ZipFile, str], None]:
    def write(archive: zipfile.ZipFile, name: str) -> None:
        with archive.open(name, "w", force_zip64=True) as member:
            for _ in range(megabytes):
                member.write(bytes(2**20))

    return write


def test_bombs_are_refused_with_little_work(recordings: dict[str, bytes], tmp_path: Path) -> None:
    """Declared sizes are enough to refuse by; those that lie, and those that fail, use up what may be unpacked."""
    whole: Callable[[zipfile.ZipFile, str], None] = lambda archive, name: archive.writestr(name, recordings["wav"])  # noqa: E731
    honest = explode(tmp_path / "honest.zip", {"a.wav": whole, **{f"{n}.wav": zeros(300) for n in range(2)}})
    rows = explode(tmp_path / "rows.zip", {"a.wav": whole, "metadata.csv": zeros(40)})
    # The declared sizes made small, in the directory and in the members' own heads.
    lying = explode(tmp_path / "lying.zip", {"a.wav": whole, "z.wav": zeros(100)})
    size = (100 * 2**20).to_bytes(4, "little")
    lying.write_bytes(lying.read_bytes().replace(size, (10**6).to_bytes(4, "little")))
    start = time.process_time()
    with AnnotationStore(tmp_path / "store") as store:
        for path, bombs in ((honest, ["0.wav", "1.wav"]), (lying, ["z.wav"])):
            report = import_sources(store, [path], RESEARCH)
            assert [name for name, _ in report.failed] == bombs
        with pytest.raises(SerError, match="unpacks to far more"):
            import_sources(store, [rows], RESEARCH)
    # Processor time, not the clock's: what a bomb costs is to be far from twenty seconds of work.
    assert time.process_time() - start < 20


EVIL = (
    "../../outside",
    "/etc/passwd",
    "..\\..\\outside",
    "C:\\outside",
    "a/b/../../../c",
    "con",
    "x" * 70,
    "\u202egpj.exe",
    "=1+1",
    ".",
)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_no_export_writes_outside_its_folder(form: str, tmp_path: Path) -> None:
    with AnnotationStore(tmp_path / "store") as store:
        for seed, name in enumerate(EVIL):
            audio = synthetic_speech(0.3, seed=seed)
            clip = store.add_clip(audio, source=name, speaker=name, session=name, consent=("research",))
            vote = NewVote("ann", "correct", label="fear", transcript=name, comment=name)
            store.add_correction(clip.id, vote)
        out = tmp_path / "exports" / f"out{'' if form in ('audiofolder', 'audformat') else '.' + form}"
        out.parent.mkdir()
        before = {path for path in tmp_path.rglob("*") if (tmp_path / "exports") not in (path, *path.parents)}
        report = export_store(store, form, out)
        after = {path for path in tmp_path.rglob("*") if (tmp_path / "exports") not in (path, *path.parents)}
    assert report.clips == len(EVIL)
    assert after == before
    for path in (tmp_path / "exports").rglob("*"):
        assert path.relative_to(out.parent).parts[0].startswith("out"), path
        assert not path.is_symlink()
