"""Ready clips to try the page with: what they are, and their answers, computed once for each model version."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ser.errors import SerError
from ser.types import Recognition
from ui.backend.turns import Waiting
from ui.parts.palette import icon
from ui.parts.presentation import escape

FOLDER = Path(__file__).parents[1] / "assets" / "examples"
"""The clips with their table; their source and licence are in the README there."""


Models = tuple[object, ...]
"""What names the models that give an answer: version, parts, rule of fusion."""


@dataclass(frozen=True)
class Example:
    """A clip to try.

    Attributes:
        label: that the actor was asked for.
        file: its name in `FOLDER`.
        transcript: spoken, in German.
        meaning: of the transcript, in English.
    """

    label: str
    file: str
    transcript: str
    meaning: str

    @property
    def path(self) -> Path:
        """The file."""
        return FOLDER / self.file

    @property
    def caption(self) -> str:
        """A sentence on the recording."""
        return f"Example: {self.label}, acted, in German: “{self.transcript}” ({self.meaning})"


def load_examples() -> dict[str, Example]:
    """Read {label: example} in the order of the page."""
    rows = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
    return {row["label"]: Example(**row) for row in rows}


EXAMPLES = load_examples()


def find_example(label: object) -> Example:
    """The example of a label.

    Raises:
        SerError: if there is none.
    """
    found = EXAMPLES.get(str(label))
    if found is None:
        raise SerError(f"There is no example '{label}'; expected one of {', '.join(EXAMPLES)}.")
    return found


def examples_row() -> str:
    """A button for each example; `examples_script` tells the page of a click."""
    buttons = "".join(
        f'<button type="button" data-example="{escape(label)}">{icon(label)}{escape(label)}</button>'
        for label in EXAMPLES
    )
    return (
        '<div class="examples" role="group" aria-label="Clips to try">'
        f"<span>Or try one of these, spoken by actors:</span>{buttons}</div>"
    )


EXAMPLES_SCRIPT = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-example]");
  if (!button) return;
  props.value = button.dataset.example;
  trigger("submit");
});
"""
"""Turns a click on a button of `examples_row` into an event with the example's label as the value."""


class ExampleAnswers:
    """The steps of each example's answer, kept for each model version; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Models, Recognition]] = {}

    def steps(
        self, example: Example, models: Models, answer: Callable[[], Iterator[Recognition | Waiting]]
    ) -> Iterator[Recognition | Waiting]:
        """Yield the answer as it grows at the first time, and the whole of it at once later.

        Args:
            example: the clip.
            models: that answer; others answer anew.
            answer: computes the steps, in its turn.
        """
        with self._lock:
            kept = self._kept.get(example.label)
        if kept is not None and kept[0] == models:
            yield kept[1]
            return
        for step in answer():
            yield step
            if isinstance(step, Recognition) and step.complete:
                with self._lock:
                    self._kept[example.label] = models, step
