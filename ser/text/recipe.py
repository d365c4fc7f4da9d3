"""The recipe of the shipped text weights: `python -m ser.text.recipe --data DIR --out DIR [--seed N]`.

Comments (GoEmotions) and turns of dialogues (DailyDialog) in, a folder of weights out. Test files are read only to
leave out of training what they contain.
"""

import argparse
import csv
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from ser.checkpoints.hub import pick_device
from ser.config import DEVICES
from ser.errors import SerError, TrainingDataError
from ser.labels import DIALOGUE_SHARES
from ser.text.balance import balance_model
from ser.text.config import TextTrainConfig
from ser.text.data import LabelledTexts, as_transcript, read_labelled_texts
from ser.text.loop import TextProgress
from ser.text.rows import TextPart
from ser.text.training import TextTrainingResult, train_on_parts

TESTS = ("dailydialog/test.csv", "dialog-causes/test.csv")
"""Dialogues repeat each other: what the test files say is left out of training, except for phrases of a few words."""

MIN_UNIQUE_WORDS = 4
"""Words from which a turn that a test file has as well counts as the same turn, rather than as a common phrase."""

DEV_DIALOGUES = {"dailydialog/validation.csv": 2, "dialog-causes/train.csv": 8}
"""Every so manyth dialogue is held out for calibration."""

CONFIG = TextTrainConfig(epochs=1)


def train_shipped_model(
    root: Path, out: Path, *, seed: int = 0, device: str = "cpu", config: TextTrainConfig = CONFIG
) -> TextTrainingResult:
    """Train on GoEmotions once and on the dialogues twice, calibrated on held-out comments and dialogues.

    Args:
        root: with the folders `goemotions-28`, `dailydialog` and `dialog-causes`.
        out: the new folder.
        seed: of everything drawn.
        device: `cpu` or `cuda`.
        config: the recipe of the training itself.

    Raises:
        TrainingDataError: if a file is missing or malformed.
    """
    comments = [
        TextPart("comments", read_labelled_texts(root / "goemotions-28" / f"{name}.csv")) for name in ("train", "dev")
    ]
    train, dev = split_dialogues(root)
    dialogues = [TextPart("dialogues", texts, DIALOGUE_SHARES) for texts in (train, dev)]
    with tqdm(unit="step", disable=None) as bar:

        def on_progress(progress: TextProgress) -> None:
            bar.total = progress.steps
            bar.set_postfix_str(f"loss {progress.loss:.3f}", refresh=False)
            bar.update(progress.step - bar.n)

        result = train_on_parts(
            [comments[0], dialogues[0], dialogues[0]], [comments[1], dialogues[1]], out,
            config=config, seed=seed, device=device, on_progress=on_progress,
        )  # fmt: skip
    balance_model(out, [comments[1], dialogues[1]], time.time())
    return result


def split_dialogues(root: Path) -> tuple[LabelledTexts, LabelledTexts]:
    """Split the turns by dialogue into those to train on and those to calibrate on.

    Raises:
        TrainingDataError: if a file is missing or malformed.
    """
    tested = {_letters(text) for name in TESTS for text in read_labelled_texts(root / name).texts if _is_unique(text)}
    sides: tuple[list[LabelledTexts], list[LabelledTexts]] = ([], [])
    for name, every in DEV_DIALOGUES.items():
        texts = read_labelled_texts(root / name)
        held_out = _every(_column(root / name, "dialogue"), every)
        if len(held_out) != len(texts):
            raise TrainingDataError(f"{root / name} has turns without words or a known label; each turn needs both.")
        for side, wanted in zip(sides, (False, True), strict=True):
            side.append(texts.select(row for row, dev in enumerate(held_out) if dev == wanted))
    dev = _joined(sides[1])
    tested |= {_letters(text) for text in dev.texts if _is_unique(text)}
    train = _joined(sides[0])
    return train.select(row for row, text in enumerate(train.texts) if _letters(text) not in tested), dev


def join_punctuation(text: str) -> str:
    """Write a tokenised sentence as people write it.

    >>> join_punctuation("Hey , you ’ re late . Really ?")
    "Hey, you're late. Really?"
    """
    return re.sub(r"\s*[’']\s*", "'", re.sub(r"\s+([.,!?;:])", r"\1", text))


def _joined(parts: Iterable[LabelledTexts]) -> LabelledTexts:
    together = list(parts)
    texts = tuple(join_punctuation(text) for part in together for text in part.texts)
    return LabelledTexts(texts, tuple(labels for part in together for labels in part.labels))


def _column(path: Path, name: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def _every(dialogues: Sequence[str], every: int) -> list[bool]:
    """Tell for each turn whether its dialogue is one of every so many."""
    number = {dialogue: index for index, dialogue in enumerate(dict.fromkeys(dialogues))}
    return [number[dialogue] % every == every - 1 for dialogue in dialogues]


def _is_unique(text: str) -> bool:
    return len(text.split()) >= MIN_UNIQUE_WORDS


def _letters(text: str) -> str:
    return as_transcript(text).replace(" ", "").replace("'", "")


def main(argv: Sequence[str] | None = None) -> int:
    """Train and print what it gave; 0 if done, 2 if the data or the encoder cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m ser.text.recipe", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="goemotions-28 and the dialogues in it")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the weights go")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default 0)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to train")
    options = parser.parse_args(argv)
    try:
        result = train_shipped_model(options.data, options.out, seed=options.seed, device=pick_device(options.device))
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Saved {result.folder}.")
    for name, value in result.metrics.items():
        print(f"  {name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
