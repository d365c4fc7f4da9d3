"""Corpora that come with a table: our own metadata.csv, nEMO, MELD, MSP-Podcast. Opens no audio."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ser.audio.formats import AUDIO_SUFFIXES
from ser.corpora.corpus import Broken, Layout, Row
from ser.errors import TrainingDataError

METADATA_FILE = "metadata.csv"
REQUIRED_COLUMNS = ("file_name", "label")

INTENSITIES: Mapping[str, float] = {"normal": 0.0, "strong": 1.0}
"""RAVDESS's two levels. Source: Livingstone & Russo 2018, https://doi.org/10.1371/journal.pone.0196391"""


def metadata_rows(folder: Path) -> Iterator[Row | Broken]:
    """Rows of `metadata.csv` with `file_name,label` and, where known, the columns of `Row`.

    Raises:
        TrainingDataError: if a weight or an intensity is no number in its range.
    """
    path = folder / METADATA_FILE
    for line, row in read_table(path, REQUIRED_COLUMNS):
        if not row["file_name"].strip():
            yield Broken(f"{METADATA_FILE}, line {line}", "no file name")
            continue
        yield Row(
            row["file_name"].strip(),
            row["label"],
            row.get("speaker", "").strip(),
            row.get("transcript"),
            row.get("language"),
            row.get("gender"),
            _intensity(row.get("intensity", ""), path),
            _weight(row.get("weight", ""), path),
            row.get("split"),
        )


def nemo_rows(folder: Path) -> Iterator[Row | Broken]:
    """Rows of nEMO's `data.tsv`; the recordings lie in `samples`.

    Source: the corpus's README, https://github.com/amu-cai/nEMO; its six labels are English words.
    """
    for line, row in read_table(folder / "data.tsv", ("file_id", "emotion", "speaker_id"), delimiter="\t"):
        name = row["file_id"].strip()
        if not name:
            yield Broken(f"data.tsv, line {line}", "no file_id")
            continue
        file = name if name.lower().endswith(".wav") else f"{name}.wav"
        yield Row(
            f"samples/{file}",
            row["emotion"],
            f"nemo_{row['speaker_id']}" if row["speaker_id"] else "",
            row.get("raw_text"),
            "pl",
            row.get("gender", "").lower(),
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
            for line, row in read_table(table, columns):
                if not (row["Dialogue_ID"].isdigit() and row["Utterance_ID"].isdigit()):
                    yield Broken(f"{table.name}, line {line}", "Dialogue_ID and Utterance_ID must be numbers")
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
    for line, row in read_table(folder / "Labels" / "labels_consensus.csv", ("FileName", "EmoClass")):
        name = row["FileName"].strip()
        podcast = re.match(r"MSP-(?:PODCAST|Conversation)_([^_.]+)", name, re.IGNORECASE)
        if podcast is None:
            yield Broken(f"labels_consensus.csv, line {line}", f"'{name}' is no MSP-PODCAST_... file name")
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


def read_table(path: Path, required: tuple[str, ...], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a UTF-8 table with the number of the line that each ends on; absent cells are empty.

    Raises:
        TrainingDataError: if the table is absent or unreadable, or lacks a required column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            columns = [column.strip() for column in reader.fieldnames or []]
            lacking = [column for column in required if column not in columns]
            if lacking:
                raise TrainingDataError(
                    f"{path} has the columns {', '.join(columns) or '(none)'}; {' and '.join(lacking)} is missing. "
                    f"Expected at least {', '.join(required)}."
                )
            reader.fieldnames = columns
            for row in reader:
                yield reader.line_num, {key: value or "" for key, value in row.items() if key}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path} could not be read: {error}. A UTF-8 table is expected.") from error


def _weight(text: str, path: Path) -> float:
    if not text:
        return 1.0
    try:
        weight = float(text)
    except ValueError as error:
        raise TrainingDataError(f"{path}: the weight '{text}' is no number.") from error
    if not 0.0 < weight < float("inf"):
        raise TrainingDataError(f"{path}: the weight {weight} must be above 0.")
    return weight


def _intensity(text: str, path: Path) -> float | None:
    if not text:
        return None
    try:
        known = INTENSITIES.get(text.strip().lower())
        intensity = float(text) if known is None else known
    except ValueError:
        intensity = -1.0
    if not 0.0 <= intensity <= 1.0:
        raise TrainingDataError(
            f"{path}: the intensity '{text}' is neither {', nor '.join(INTENSITIES)}, nor a number from 0 to 1."
        )
    return intensity


METADATA = Layout(
    "metadata",
    "metadata.csv with file_name,label; and speaker, transcript, language, gender, intensity, weight, split",
    "",
    "docs/corpora.md",
    lambda folder: (folder / METADATA_FILE).is_file(),
    metadata_rows,
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
