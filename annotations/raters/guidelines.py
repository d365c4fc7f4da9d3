"""The text that tells people how to label, in versions: what stands now, and what stood before.

Knows Markdown as text; drawing it is the page's affair.
"""

from dataclasses import dataclass

from annotations.raters.people import Person
from annotations.store import AnnotationStore
from annotations.store.rows import insert_row, timestamp, to_record
from ser.errors import SerError

MAX_LENGTH = 50_000
"""Characters; more is a book."""

DEFAULT = """\
# How to label

**Say how the voice sounds to you**, not what the person may really feel, and not what the words mean.
A cheerful sentence in a tired voice is tired.

1. Listen to the whole clip once; twice if you hesitate. Use headphones, and leave the volume alone.
2. Choose the one emotion that fits best. Your first impression is usually the one others share.
3. If two fit, choose the stronger one, and give the percentages under *More*.
4. If nothing fits, or you cannot tell, choose **unsure** (U). If the clip itself is unusable (noise, several
   people, no speech), **skip** it (S).

| label | what you may hear |
|---|---|
| anger | loud or pressed, hard onsets, fast; cold anger is quiet and clipped |
| disgust | drawn-out, creaky or nasal, as if pushing something away |
| fear | high, thin, breathy or trembling, quick |
| happiness | bright, lively melody, audible smile |
| neutral | even, no emotion stands out: a label of its own, not a way out |
| sadness | low, slow, soft, falling melody |
| surprise | sudden, wide jumps in melody, often rising at the end |

**Intensity** is how strong the emotion sounds: 20 a trace, 50 clear, 80 strong.

**How good or bad it sounds** (valence) and **how awake it sounds** (arousal) are asked apart from the label: a cold
anger sounds bad and calm.

**Do not** be led by the speaker's sex, age, accent or language, by a clip you heard before, or by the model. Take a
break when all clips begin to sound alike; work is better after ten minutes without.
"""


@dataclass(frozen=True)
class Guidelines:
    """One version of the text.

    Attributes:
        version: 1, 2...; 0 is the text that comes with the program.
        text: Markdown.
        edited_by: who wrote it; None for version 0.
        created_at: ISO 8601, UTC; None for version 0.
    """

    version: int
    text: str
    edited_by: str | None = None
    created_at: str | None = None


def read_guidelines(store: AnnotationStore, version: int | None = None) -> Guidelines:
    """The text that stands, or one that stood.

    Args:
        store: to read.
        version: which; by default the newest.

    Raises:
        SerError: if there is no such version.
    """
    found = next((text for text in list_guidelines(store) if version in (None, text.version)), None)
    if found is None:
        raise SerError(f"There is no version {version} of the guidelines. Choose one of the list.")
    return found


def list_guidelines(store: AnnotationStore) -> list[Guidelines]:
    """All versions, newest first, down to the one that comes with the program."""
    rows = store.fetch("SELECT * FROM guidelines ORDER BY version DESC")
    return [*(to_record(row, Guidelines) for row in rows), Guidelines(0, DEFAULT)]


def write_guidelines(store: AnnotationStore, text: str, by: Person, *, replaces: int | None = None) -> Guidelines:
    """Put a new version in place; the earlier ones stay on record. The same text again makes no version.

    Args:
        store: to write to.
        text: Markdown.
        by: who edits.
        replaces: the version that was edited; where another has come since, nothing is written.

    Raises:
        NotAllowedError: if `by` is no maintainer.
        SerError: if the text is empty or too long, or somebody else was quicker.
    """
    by.require("edit the guidelines")
    text = text.strip()
    if not text or len(text) > MAX_LENGTH:
        raise SerError(f"The guidelines have {len(text)} characters; from 1 to {MAX_LENGTH} are kept.")
    current = read_guidelines(store)
    if text == current.text.strip():
        return current
    with store.database.writing() as connection:
        newest = connection.execute("SELECT coalesce(max(version), 0) FROM guidelines").fetchone()[0]
        if replaces is not None and newest != replaces:
            raise SerError(
                f"Somebody has saved version {newest} while you were editing version {replaces}: nothing was written. "
                "Copy your text, load the page again and put the two together."
            )
        insert_row(connection, "guidelines", text=text, edited_by=by.name, created_at=timestamp())
    return read_guidelines(store)
