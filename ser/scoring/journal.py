"""What a part's earlier workers had in hand when they died, so that a recording that kills them is left out.

Knows a small file beside the part; recognises nothing, and asks no engine how its workers are.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ser.errors import AudioError
from ser.scoring.parts import Part, count_failed, write_part
from ser.types import Recognition

DEATHS_ALLOWED = 2
"""Workers that may die with one recording alone in hand. One death can be chance: somebody ended the process, or the
machine had no memory left. A second one at the same recording hardly is."""

Hear = Callable[[Sequence[str]], Sequence[Recognition | Exception]]


def hear_part(hear: Hear, folder: Path, part: Part) -> int:
    """Hear a part and write it; where an earlier worker died on it, one recording after the other.

    Args:
        hear: gives an answer, or a reason why there is none, for each file it is given.
        folder: where the part goes.
        part: which recordings. A part that stands there already is not heard again: its worker died after it.

    Returns:
        How many recordings have no answer.
    """
    written = count_failed(folder, part)
    if written is not None:
        return written
    journal = Journal(folder, part)
    alone = journal.begin() or len(part.items) == 1
    answers = _one_by_one(hear, part, journal) if alone else hear([item.file for item in part.items])
    failed = write_part(folder, part, answers)
    journal.remove()
    return failed


def _one_by_one(hear: Hear, part: Part, journal: "Journal") -> list[Recognition | Exception]:
    deaths, answers = journal.deaths(), list[Recognition | Exception]()
    for which, item in enumerate(part.items):
        if deaths[which] >= DEATHS_ALLOWED:
            answers.append(
                AudioError(
                    f"{deaths[which]} processes died while they heard this recording. Convert it to WAV and try again."
                )
            )
            continue
        journal.take(which)
        answers.extend(hear([item.file]))
        journal.put_back(which)
    return answers


class Journal:
    """Lines of what was taken in hand and what was put back; who dies puts nothing back.

    It outlives the process, not the machine: it is not forced to the disk, for a line a recording would cost more than
    the recording. A new run begins without it.
    """

    def __init__(self, folder: Path, part: Part) -> None:
        self._path = folder / f".{part.name}.begun"

    def begin(self) -> bool:
        """Begin the part; tells whether somebody has begun it before."""
        try:
            self._path.touch(exist_ok=False)
        except FileExistsError:
            return True
        return False

    def take(self, which: int) -> None:
        """Just before the recording of that number is heard."""
        self._say(f"+{which}")

    def put_back(self, which: int) -> None:
        """It was heard."""
        self._say(f"-{which}")

    def deaths(self) -> Counter[int]:
        """How often each recording was taken and never put back."""
        counts = Counter[int]()
        # The last line lacks its end where a machine was torn down in the middle of it.
        for line in self._path.read_text(encoding="ascii").split("\n")[:-1]:
            counts[int(line[1:])] += 1 if line[0] == "+" else -1
        return counts

    def remove(self) -> None:
        """The part is written."""
        self._path.unlink(missing_ok=True)

    def _say(self, line: str) -> None:
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"{line}\n")
