"""IEMOCAP as its owner ships it. Opens no audio."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ser.corpora.corpus import Broken, Layout, Row, relative

IEMOCAP_LABELS: Mapping[str, str] = {
    **{"ang": "anger", "hap": "happiness", "exc": "happiness", "sad": "sadness", "neu": "neutral"},
    **{"fea": "fear", "sur": "surprise", "dis": "disgust", "fru": "frustration", "oth": "other", "xxx": "no agreement"},
}
"""Majority labels; excitement counts as happiness, as in the four-class tests that everyone reports.

Source: Busso et al. 2008, https://doi.org/10.1007/s10579-008-9076-6, and EmoBox, https://arxiv.org/abs/2406.07162.
"""

_TURN = re.compile(r"\[(?P<start>[\d.]+) - (?P<end>[\d.]+)\]\s+(?P<turn>\S+)\s+(?P<label>\S+)\s+\[")
_NAME = re.compile(r"(?P<session>Ses\d\d)[FM]_(?P<dialogue>\w+)_(?P<gender>[FM])\w+$")
_SPOKEN = re.compile(r"(?P<turn>Ses\w+)\s+\[[\d.\s-]+\]:\s*(?P<text>.*)$")


def iemocap_rows(folder: Path) -> Iterator[Row | Broken]:
    """Turns of `Session1/dialog/EmoEvaluation/*.txt`; the recordings lie in `Session1/sentences/wav`.

    The letter before the turn's number says who of the two speaks; the one after the session's number only says who
    wore the markers. The five sessions, with two speakers each, are the folds that everyone uses.
    """
    for session in sorted(folder.glob("Session[1-9]")):
        for table in sorted((session / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
            texts = _transcripts(session / "dialog" / "transcriptions" / table.name)
            lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
            for number, line in enumerate(lines, start=1):
                # The first line of a file explains the columns; the raters' votes begin with other letters.
                if not line.startswith("[") or "START_TIME" in line:
                    continue
                turn = _TURN.match(line)
                name = turn and _NAME.match(turn["turn"])
                if turn is None or name is None:
                    yield Broken(
                        f"{relative(table, folder)}, line {number}", "times, a turn and its label are expected"
                    )
                    continue
                yield Row(
                    f"{session.name}/sentences/wav/{table.stem}/{turn['turn']}.wav",
                    IEMOCAP_LABELS.get(turn["label"], turn["label"]),
                    f"iemocap_{name['session']}{name['gender']}",
                    texts.get(turn["turn"]),
                    "en",
                    {"F": "female", "M": "male"}[name["gender"]],
                    split=session.name,
                )


def _transcripts(path: Path) -> dict[str, str]:
    """{turn: what is said}; empty if there is no such file."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {spoken["turn"]: spoken["text"] for spoken in map(_SPOKEN.match, lines) if spoken}


IEMOCAP = Layout(
    "iemocap",
    "Session1/dialog/EmoEvaluation/*.txt and Session1/sentences/wav",
    "by agreement with the University of Southern California; research",
    "https://sail.usc.edu/iemocap/",
    lambda folder: any(folder.glob("Session[1-9]/dialog/EmoEvaluation")),
    iemocap_rows,
)
