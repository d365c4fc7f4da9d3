"""Corpora that come with a table: any table of recordings, nEMO, MELD, MSP-Podcast. Opens no audio."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ser.audio.formats import AUDIO_SUFFIXES
from ser.corpora.corpus import Broken, Layout, Row
from ser.corpora.tables.columns import number, text_of
from ser.corpora.tables.files import TABLE_SUFFIXES, read_lines
from ser.corpora.tables.trees import FolderTree, describe, find_tables
from ser.errors import TrainingDataError


def table_rows(source: Path) -> Iterator[Row | Broken]:
    """Rows of the tables of a folder, or of a table that is named itself.

    Raises:
        TrainingDataError: if a table cannot be read, or has no column of recordings.
    """
    tree = FolderTree(source.parent if source.is_file() else source)
    known = find_tables(tree.names)
    tables = [source.name] if source.is_file() else known or find_tables(tree.names, any_name=True)
    described = describe(tree, tables, strict=bool(known) or source.is_file())
    for rows in described.rows.values():
        yield from rows
    yield from described.broken


def _has_table(folder: Path) -> bool:
    return bool(find_tables(path.name for path in folder.iterdir() if path.is_file()))


def _has_any_table(folder: Path) -> bool:
    """True if some table of the folder, whatever its name, names recordings that are there."""
    names = [path.name for path in folder.iterdir() if path.is_file() and path.suffix.lower() in TABLE_SUFFIXES]
    return bool(find_tables(names, any_name=True)) and any(isinstance(row, Row) for row in table_rows(folder))


def nemo_rows(folder: Path) -> Iterator[Row | Broken]:
    """Rows of nEMO's `data.tsv`; the recordings lie in `samples`.

    Source: the corpus's README, https://github.com/amu-cai/nEMO; its six labels are English words.
    """
    for where, row in owners_lines(folder / "data.tsv", ("file_id", "emotion", "speaker_id")):
        name = row["file_id"].strip()
        if not name:
            yield Broken(where, "no file_id")
            continue
        file = name if name.lower().endswith(".wav") else f"{name}.wav"
        yield Row(
            f"samples/{file}",
            row["emotion"],
            f"nemo_{row['speaker_id']}" if row["speaker_id"] else "",
            row.get("raw_text"),
            "pl",
            row.get("gender", "").lower(),
            age=number(row.get("age")),
        )


MELD_SPLITS = ("train", "dev", "test")
_MELD_CLIP = re.compile(r"dia(\d+)_utt(\d+)$")


def meld_rows(folder: Path) -> Iterator[Row | Broken]:
    """Rows of MELD's `train_sent_emo.csv` and its siblings, with the clips of `train_splits` and the like.

    Emotions are English words (joy is happiness). The owner's splits share speakers: the six friends are in all
    three, so a split by speaker and the owner's are two different things. Characters that are nobody in particular
    ("All") count as speakers, too.
    Source: Poria et al. 2019, https://arxiv.org/abs/1810.02508 and https://github.com/declare-lab/MELD.
    """
    clips = _meld_clips(folder)
    for split in MELD_SPLITS:
        for table in sorted(folder.rglob(f"{split}_sent_emo.csv"))[:1]:
            columns = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
            for where, row in owners_lines(table, columns):
                if not (row["Dialogue_ID"].isdigit() and row["Utterance_ID"].isdigit()):
                    yield Broken(where, "Dialogue_ID and Utterance_ID must be numbers")
                    continue
                name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
                file = clips.get((split, name), f"{split}/{name}")
                speaker = row["Speaker"].strip()
                yield Row(
                    file, row["Emotion"], f"meld_{speaker}" if speaker else "", row["Utterance"], "en", split=split
                )


def _meld_clips(folder: Path) -> dict[tuple[str, str], str]:
    """{(split, clip): file}; the split is in the name of one of the folders above the clip, and WAV goes before MP4."""
    clips: dict[tuple[str, str], str] = {}
    for path in sorted(folder.rglob("dia*_utt*"), key=lambda p: (p.suffix.lower() == ".wav", p)):
        if path.suffix.lower() not in AUDIO_SUFFIXES or not _MELD_CLIP.match(path.stem):
            continue
        parents = path.relative_to(folder).parts[:-1]
        split = next((split for part in reversed(parents) for split in MELD_SPLITS if split in part.lower()), None)
        if split is not None:
            clips[split, path.stem] = path.relative_to(folder).as_posix()
    return clips


MSP_LABELS: Mapping[str, str] = {
    **{"A": "anger", "S": "sadness", "H": "happiness", "U": "surprise", "F": "fear", "D": "disgust"},
    **{"C": "contempt", "N": "neutral", "O": "other", "X": "no agreement"},
}
"""EmoClass of MSP-Podcast. Source: Lotfian & Busso 2019, https://doi.org/10.1109/TAFFC.2017.2736999, and its readme."""

MSP_SPLITS: Mapping[str, str] = {"development": "dev"}


def msp_podcast_rows(folder: Path) -> Iterator[Row | Broken]:
    """Rows of MSP-Podcast's `Labels/labels_consensus.csv`; the recordings lie in `Audios`.

    Where the speaker is unknown, the podcast stands for them: all of one podcast then stay in one part.
    """
    audio = next((name for name in ("Audios", "Audio") if (folder / name).is_dir()), "Audios")
    for where, row in owners_lines(folder / "Labels" / "labels_consensus.csv", ("FileName", "EmoClass")):
        name = row["FileName"].strip()
        podcast = re.match(r"MSP-(?:PODCAST|Conversation)_([^_.]+)", name, re.IGNORECASE)
        if podcast is None:
            yield Broken(where, f"'{name}' is no MSP-PODCAST_... file name")
            continue
        speaker = row.get("SpkrID", "").strip()
        known = speaker and speaker.lower() not in ("unknown", "nan", "-1")
        gender = row.get("Gender", "").strip().lower()
        split = row.get("Split_Set", "").strip().lower()
        yield Row(
            f"{audio}/{name}",
            MSP_LABELS.get(row["EmoClass"].strip(), row["EmoClass"]),
            f"msp-podcast_{speaker.removeprefix('Spkr_')}" if known else f"msp-podcast_of_{podcast[1]}",
            _text_beside(folder / "Transcripts" / f"{Path(name).stem}.txt"),
            "en",
            gender if gender in ("female", "male") else None,
            split=MSP_SPLITS.get(split, split),
        )


def _text_beside(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None


def owners_lines(path: Path, required: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The lines of a corpus's own table with their places; absent cells are empty.

    Raises:
        TrainingDataError: if the table is absent or unreadable, or lacks a required column.
    """
    try:
        lines = list(read_lines(path.read_bytes(), path.name))
    except OSError as error:
        raise TrainingDataError(f"{path} could not be read: {error}. Check the folder.") from error
    columns = {header.strip() for _, cells in lines for header in cells}
    lacking = [column for column in required if column not in columns]
    if lacking:
        raise TrainingDataError(
            f"{path} has the columns {', '.join(sorted(columns)) or '(none)'}; {' and '.join(lacking)} is missing."
        )
    for where, cells in lines:
        yield where, {**dict.fromkeys(columns, ""), **{name.strip(): text_of(cell) for name, cell in cells.items()}}


METADATA = Layout(
    "metadata",
    "metadata.csv (or labels.csv, .tsv, .jsonl, .parquet, an audformat db.yaml) with a column of recordings and their "
    "label; and speaker, rater, transcript, language, gender, intensity, weight, split",
    "",
    "docs/corpora.md",
    _has_table,
    table_rows,
)
TABLE = Layout(
    "table",
    "any.csv or any.json (also of Label Studio or Argilla) that names recordings of the folder",
    "",
    "docs/corpora.md",
    _has_any_table,
    table_rows,
)
NEMO = Layout(
    "nemo",
    "data.tsv and samples/EB0_anger_1.wav",
    "CC BY-NC-SA 4.0",
    "https://github.com/amu-cai/nEMO",
    lambda folder: (folder / "data.tsv").is_file() and (folder / "samples").is_dir(),
    nemo_rows,
)
MELD = Layout(
    "meld",
    "train_sent_emo.csv (dev_, test_) and train_splits/dia0_utt0.mp4 or .wav",
    "GPL-3.0 for the annotations; the clips are of a television series",
    "https://github.com/declare-lab/MELD",
    lambda folder: any(any(folder.glob(f"{deep}{split}_sent_emo.csv")) for split in MELD_SPLITS for deep in ("", "*/")),
    meld_rows,
)
MSP_PODCAST = Layout(
    "msp-podcast",
    "Labels/labels_consensus.csv and Audios/MSP-PODCAST_0001_0008.wav",
    "by agreement with the University of Texas at Dallas; academic or commercial",
    "https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
    lambda folder: (folder / "Labels" / "labels_consensus.csv").is_file(),
    msp_podcast_rows,
)
