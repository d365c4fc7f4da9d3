"""Acted corpora whose file names say everything: RAVDESS, CREMA-D, TESS, SAVEE, EMO-DB, TurEV. Opens no audio."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ser.corpora.corpus import Broken, Layout, Row, recordings, relative
from ser.corpora.tables.columns import number

RAVDESS_LABELS: Mapping[str, str] = {
    **{"01": "neutral", "02": "calm", "03": "happy", "04": "sad"},
    **{"05": "angry", "06": "fearful", "07": "disgust", "08": "surprised"},
}
RAVDESS_STATEMENTS: Mapping[str, str] = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
_RAVDESS = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)$")


def ravdess_rows(folder: Path) -> Iterator[Row | Broken]:
    """`Actor_01/03-01-05-02-01-01-01.wav`: modality, channel, emotion, intensity, statement, repetition, actor.

    Only what is audio alone (03) and spoken (01) counts: the films hold the same sound once more, and songs are no
    speech. Actors with an odd number are men.
    Source: Livingstone & Russo 2018, https://doi.org/10.1371/journal.pone.0196391; https://zenodo.org/record/1188976.
    """
    for path in recordings(folder):
        parts = _RAVDESS.match(path.stem)
        if parts is None:
            yield Broken(relative(path, folder), "seven numbers such as 03-01-05-02-01-01-01 are expected")
            continue
        modality, channel, emotion, intensity, statement, _, actor = parts.groups()
        if (modality, channel) != ("03", "01"):
            continue
        yield Row(
            relative(path, folder),
            RAVDESS_LABELS.get(emotion, emotion),
            f"ravdess_{actor}",
            RAVDESS_STATEMENTS.get(statement),
            "en",
            "male" if int(actor) % 2 else "female",
            {"01": 0.0, "02": 1.0}.get(intensity),
        )


CREMA_D_LABELS: Mapping[str, str] = {
    **{"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happiness", "NEU": "neutral", "SAD": "sadness"}
}
CREMA_D_LEVELS: Mapping[str, float] = {"LO": 0.0, "MD": 0.5, "HI": 1.0}
"""XX, unspecified, says nothing."""
CREMA_D_SENTENCES: Mapping[str, str] = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
_CREMA_D = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})$")


def crema_d_rows(folder: Path) -> Iterator[Row | Broken]:
    """`AudioWAV/1001_DFA_ANG_XX.wav`: actor, sentence, intended emotion, level; people from VideoDemographics.csv.

    Source: Cao et al. 2014, https://doi.org/10.1109/TAFFC.2014.2336244; https://github.com/CheyneyComputerScience/CREMA-D.
    """
    people = _crema_d_people(folder / "VideoDemographics.csv")
    audio = next((folder / name for name in ("AudioWAV", "AudioMP3") if (folder / name).is_dir()), folder)
    for path in recordings(audio):
        parts = _CREMA_D.match(path.stem)
        if parts is None:
            yield Broken(relative(path, folder), "a name such as 1001_DFA_ANG_XX is expected")
            continue
        actor, sentence, emotion, level = parts.groups()
        yield Row(
            relative(path, folder),
            CREMA_D_LABELS.get(emotion, emotion),
            f"crema-d_{actor}",
            CREMA_D_SENTENCES.get(sentence),
            "en",
            people.get(actor, {}).get("Sex", "").lower() or None,
            CREMA_D_LEVELS.get(level),
            age=number(people.get(actor, {}).get("Age")),
        )


def _crema_d_people(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {row.get("ActorID", ""): row for row in csv.DictReader(file)}


_TESS = re.compile(r"(OAF?|YAF?)_(.+)_([A-Za-z]+)$")


def tess_rows(folder: Path) -> Iterator[Row | Broken]:
    """`OAF_angry/OAF_back_angry.wav`: the older or younger woman, the word after "Say the word", the emotion.

    `ps` is pleasant surprise; one file has lost the F of OAF.
    Source: Pichora-Fuller & Dupuis 2020, https://doi.org/10.5683/SP2/E8H2MF.
    """
    for path in recordings(folder):
        parts = _TESS.match(path.stem)
        if parts is None:
            yield Broken(relative(path, folder), "a name such as OAF_back_angry is expected")
            continue
        speaker, word, emotion = parts.groups()
        label = {"ps": "pleasant surprise"}.get(emotion.lower(), emotion)
        yield Row(relative(path, folder), label, f"tess_{speaker[:2]}F", f"Say the word {word}", "en", "female")


SAVEE_LABELS: Mapping[str, str] = {
    **{"a": "anger", "d": "disgust", "f": "fear", "h": "happiness", "n": "neutral", "sa": "sadness", "su": "surprise"}
}
_SAVEE = re.compile(r"(?:(DC|JE|JK|KL)_)?(sa|su|[a-z])(\d\d)$")


def savee_rows(folder: Path) -> Iterator[Row | Broken]:
    """`DC_a01.wav`, or `AudioData/DC/a01.wav`: one of four men, the emotion's letters, the sentence.

    Source: Haq & Jackson 2010, http://kahlan.eps.surrey.ac.uk/savee/; AudioData/Info.txt for the letters.
    """
    for path in recordings(folder):
        parts = _SAVEE.match(path.stem)
        speaker = parts and (parts[1] or path.parent.name)
        if parts is None or speaker not in ("DC", "JE", "JK", "KL"):
            yield Broken(relative(path, folder), "a name such as DC_a01, or a01 in a folder DC, is expected")
            continue
        yield Row(relative(path, folder), SAVEE_LABELS.get(parts[2], parts[2]), f"savee_{speaker}", None, "en", "male")


EMODB_LABELS: Mapping[str, str] = {
    **{"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness", "N": "neutral"}
}
"""First letters of the German words: Wut (Aerger), Langeweile, Ekel, Angst, Freude, Trauer, neutral."""
EMODB_SENTENCES: Mapping[str, str] = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
EMODB_WOMEN = frozenset({"08", "09", "13", "14", "16"})
_EMODB = re.compile(r"(\d\d)([ab]\d\d)([A-Z])([a-z])$")


def emodb_rows(folder: Path) -> Iterator[Row | Broken]:
    """`wav/03a01Fa.wav`: speaker, sentence, the emotion's German initial, the version.

    Source: Burkhardt et al. 2005, "A Database of German Emotional Speech"; http://emodb.bilderbar.info/docu/.
    """
    for path in recordings(folder):
        parts = _EMODB.match(path.stem)
        if parts is None:
            yield Broken(relative(path, folder), "a name such as 03a01Fa is expected")
            continue
        speaker, sentence, emotion, _ = parts.groups()
        gender = "female" if speaker in EMODB_WOMEN else "male"
        label, text = EMODB_LABELS.get(emotion, emotion), EMODB_SENTENCES.get(sentence)
        yield Row(relative(path, folder), label, f"emodb_{speaker}", text, "de", gender)


TUREV_LABELS: Mapping[str, str] = {"kz": "angry", "sk": "calm", "mt": "happy", "hl": "sad"}
"""Two letters in each name; the folder says the same in English."""
_TUREV = re.compile(r"(\d{4})_([a-z]{2})_(.+)$")


def turev_rows(folder: Path) -> Iterator[Row | Broken]:
    """`Sound Source/Angry/1157_kz_acik.wav`: speaker, emotion, word. The repository's other folders hold copies.

    Source: Canpolat et al. 2020, https://aclanthology.org/2020.sltu-1.52/; https://github.com/Xeonen/TurEV-DB.
    """
    audio = folder / "Sound Source" if (folder / "Sound Source").is_dir() else folder
    for path in recordings(audio):
        parts = _TUREV.match(path.stem)
        if parts is None:
            yield Broken(relative(path, folder), "a name such as 1157_kz_acik is expected")
            continue
        speaker, code, word = parts.groups()
        label = TUREV_LABELS.get(code, code)
        if label != path.parent.name.lower():
            yield Broken(relative(path, folder), f"its name says {label}, its folder says {path.parent.name}")
            continue
        yield Row(relative(path, folder), label, f"turev_{speaker}", word, "tr")


class NamePattern:
    """A test that the first recordings of a folder are named by a pattern.

    Attributes:
        pattern: of a recording's name, without its suffix.
        globs: where recordings lie, relative to the folder.
        folders: pattern of the name of the folder that holds a recording; empty for any.
    """

    def __init__(self, pattern: re.Pattern[str], *globs: str, folders: str = "") -> None:
        self.pattern, self.globs, self.folders = pattern, globs, folders

    def __call__(self, folder: Path) -> bool:
        """Look at no more than is needed to find one."""
        for place in self.globs:
            for path in folder.glob(place):
                if self.pattern.match(path.stem) and (not self.folders or re.match(self.folders, path.parent.name)):
                    return path.is_file()
        return False


RAVDESS = Layout(
    "ravdess",
    "Actor_01/03-01-05-02-01-01-01.wav",
    "CC BY-NC-SA 4.0",
    "https://zenodo.org/record/1188976",
    NamePattern(_RAVDESS, "Actor_*/*", "*/Actor_*/*", "*-*-*-*-*-*-*.*"),
    ravdess_rows,
)
CREMA_D = Layout(
    "crema-d",
    "AudioWAV/1001_DFA_ANG_XX.wav and VideoDemographics.csv",
    "ODbL 1.0",
    "https://github.com/CheyneyComputerScience/CREMA-D",
    NamePattern(_CREMA_D, "AudioWAV/*", "AudioMP3/*", "*_*_*_*.*"),
    crema_d_rows,
)
TESS = Layout(
    "tess",
    "OAF_angry/OAF_back_angry.wav",
    "CC BY-NC-ND 4.0",
    "https://doi.org/10.5683/SP2/E8H2MF",
    NamePattern(_TESS, "*AF_*/*", "*/*AF_*/*", "*AF_*_*.*"),
    tess_rows,
)
SAVEE = Layout(
    "savee",
    "DC_a01.wav or AudioData/DC/a01.wav",
    "research only, by registration with the University of Surrey",
    "http://kahlan.eps.surrey.ac.uk/savee/",
    NamePattern(_SAVEE, "[DJK][CEKL]_*.*", "*/[DJK][CEKL]_*.*", "[DJK][CEKL]/*", "AudioData/[DJK][CEKL]/*"),
    savee_rows,
)
EMODB = Layout(
    "emodb",
    "wav/03a01Fa.wav",
    "free for research (CC BY 4.0 where re-published)",
    "http://emodb.bilderbar.info/",
    NamePattern(_EMODB, "wav/*", "*.wav"),
    emodb_rows,
)
TUREV = Layout(
    "turev",
    "Sound Source/Angry/1157_kz_acik.wav",
    "CC BY-NC-ND 4.0",
    "https://github.com/Xeonen/TurEV-DB",
    NamePattern(_TUREV, "Sound Source/*/*", "*/*", folders="(Angry|Calm|Happy|Sad)$"),
    turev_rows,
)
