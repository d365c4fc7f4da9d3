"""The card of an exported data set: what is in it, under which consent and licence, and how far its raters agree.

Names no speaker and no rater. Source: the form of cards, https://huggingface.co/docs/hub/datasets-cards
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from annotations.exchange.exports.reading import Exported
from annotations.exchange.exports.tables import gold_label, purposes_in_force, votes_of
from annotations.labels.files import to_toml
from annotations.labels.stored import label_set
from annotations.raters.agreement import in_words, label_agreement
from annotations.raters.ratings import read_ratings
from annotations.store import AnnotationStore
from annotations.store.records import CONSENT_PURPOSES

CARD = "README.md"

NO_LICENCE = (
    "No licence was named. What the speakers consented to is below; to pass the recordings on needs their "
    "licence for it."
)

_CONFIGS = {
    "parquet": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}],
}


class Card:
    """Counts clips on their way out and writes the card in the end.

    Args:
        store: for the agreement between raters.
        purpose: of the export.
        licence: as the Hub names licences, such as `cc-by-4.0`; None if it is not known.
    """

    def __init__(self, store: AnnotationStore, purpose: str, licence: str | None) -> None:
        self._store, self._label_set = store, label_set(store)
        self._purpose = purpose
        self._licence = licence
        self._clips = self._votes = self._gold = 0
        self._seconds = 0.0
        self._labels: Counter[str] = Counter()
        self._raw: Counter[str] = Counter()
        self._consent: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        self._speakers: Counter[str] = Counter()
        self._raters: set[object] = set()

    def counting(self, clips: Iterable[Exported]) -> Iterator[Exported]:
        """Pass clips on and count them."""
        for clip in clips:
            record = clip.record
            self._clips += 1
            self._seconds += float(str(record["duration"]))
            self._gold += gold_label(record) is not None
            self._consent.update(purposes_in_force(record))
            for counter, name in ((self._labels, "label"), (self._languages, "language"), (self._speakers, "speaker")):
                counter[str(record[name] or "")] += 1
            for vote in votes_of(record):
                self._votes += 1
                self._raters.add(vote["rater"])
                if vote["retracted_at"] is None and vote["label"] is not None:
                    self._raw[self._label_set.place_of(str(vote["label"])) or ""] += 1
            yield clip

    def write(self, path: Path, form: str, name: str) -> None:
        """Write the card.

        Args:
            path: of the file.
            form: of the export.
            name: of the export, for the title.
        """
        header: dict[str, object] = {"pretty_name": name, "task_categories": ["audio-classification"]}
        header["tags"] = ["speech-emotion-recognition", "audio", "human-annotated"]
        header["size_categories"] = [_size(self._clips)]
        if self._licence:
            header["license"] = self._licence
        languages = sorted(language for language in self._languages if 0 < len(language) <= 3)
        if languages:
            header["language"] = languages
        header |= {"configs": _CONFIGS[form]} if form in _CONFIGS else {}
        text = f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n{self._text(name)}"
        path.write_text(text, encoding="utf-8", newline="\n")

    def _text(self, name: str) -> str:
        speakers = len(self._speakers) - ("" in self._speakers)
        nameless = self._speakers[""]
        rows = [f"| {label} | {self._labels[label]} | {self._raw[label]} |" for label in self._label_set.names]
        consents = [f"| {purpose} | {self._consent[purpose]} |" for purpose in CONSENT_PURPOSES]
        return "\n".join(
            [
                f"# {name}",
                "",
                f"{self._clips} recording{'' if self._clips == 1 else 's'} of speech ({self._seconds / 3600:.2f} "
                "hours, 16 kHz mono) with the emotions "
                f"that {len(self._raters)} rater{'' if len(self._raters) == 1 else 's'} named for them: {self._votes} "
                f"vote{'' if self._votes == 1 else 's'}, those taken back included.",
                f"Known speakers: {speakers}; recordings of unknown speakers: {nameless}; recordings with a known "
                "answer: "
                f"{self._gold}.",
                "",
                "## Labels",
                "",
                "A label says how speech sounds to listeners, not what a person feels.",
                "",
                "| label | recordings, votes taken together | standing votes |",
                "|---|---|---|",
                *rows,
                f"| none yet | {self._labels['']} | |",
                *self._own_labels(),
                "",
                "## Agreement",
                "",
                self._agreement(),
                "",
                "## Consent",
                "",
                f"Exported for {self._purpose}; recordings without consent to it are not in here.",
                "",
                "| purpose | recordings with consent |",
                "|---|---|",
                *consents,
                "",
                "Consent can be withdrawn: delete recordings that a newer version of this data set no longer has.",
                "",
                "## Licence",
                "",
                f"{self._licence}" if self._licence else NO_LICENCE,
                "",
            ]
        )

    def _own_labels(self) -> list[str]:
        """Votes without a place in the label set, and the set as a file, so that an import can have it too."""
        unplaced = [f"| votes without a place in the label set | | {self._raw['']} |"] if self._raw[""] else []
        if self._label_set.is_default:
            return unplaced
        return [
            *unplaced,
            "",
            "The label set, for `python -m annotations labels`:",
            "",
            "```toml",
            to_toml(self._label_set) + "```",
        ]

    def _agreement(self) -> str:
        found = label_agreement(read_ratings(self._store))
        if found.alpha is None or found.low is None or found.high is None:
            return in_words(found)
        return (
            f"Krippendorff's alpha on the label is {found.alpha:.2f} [{found.low:.2f}, {found.high:.2f}] over the "
            f"{found.clips} recordings of the whole store that have votes of at least two people. {in_words(found)}"
        )


def _size(clips: int) -> str:
    """The Hub's name for a size.

    >>> _size(120), _size(20_000)
    ('n<1K', '10K<n<100K')
    """
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for bound, name in bounds if clips < bound), "n>1M")
