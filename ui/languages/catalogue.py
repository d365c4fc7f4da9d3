"""The languages that there are, as files in this folder, and what the page is told of them."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

from annotations.labels.label_set import LabelSet

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Language:
    """A language of the page other than English.

    Attributes:
        path: of its file, `LANGUAGE.json` with `name`, `tag` and `texts`.
    """

    path: Path

    @cached_property
    def _content(self) -> dict:
        return json.loads(self.path.read_text(encoding="utf-8"))

    @property
    def code(self) -> str:
        """The language as browsers name it, without a country."""
        return self.path.stem

    @property
    def name(self) -> str:
        """The name of the language in the language itself."""
        return self._content["name"]

    @property
    def tag(self) -> str:
        """The value of `lang`."""
        return self._content["tag"]

    @property
    def texts(self) -> dict[str, str]:
        """{English text: translation}, both with the same holes."""
        return self._content["texts"]

    @property
    def address(self) -> str:
        """The address of the file, relative to the page; it changes with the file, so that they keep it."""
        return f"studio/{self.code}.{hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]}.json"

    def packed(self) -> bytes:
        """The file as it is sent, [texts, translations] in order: so it is smallest."""
        texts = list(zip(*sorted(self.texts.items()), strict=True))
        return json.dumps({**self._content, "texts": texts}, ensure_ascii=False, separators=(",", ":")).encode()


def list_languages() -> list[Language]:
    """The languages other than English, by code."""
    return [Language(path) for path in sorted(FOLDER.glob("*.json"))]


def settings(labels: LabelSet) -> str:
    """The languages as `assets/translate.js` takes them, as JSON.

    Args:
        labels: of the store; their own names in a language go before the file's.
    """
    languages = {
        language.code: {
            "tag": language.tag,
            "file": language.address,
            "labels": {own.name: own.names[language.code] for own in labels if language.code in own.names},
        }
        for language in list_languages()
    }
    return json.dumps(languages, ensure_ascii=False).replace("<", "\\u003c")


def menu() -> str:
    """The choice of a language as HTML; each is named in itself."""
    options = "".join(
        f'<option value="{escape(language.code)}" lang="{escape(language.tag)}">{escape(language.name)}</option>'
        for language in list_languages()
    )
    return (
        '<select id="language" aria-label="Language"><option value="en" lang="en" translate="no">English</option>'
        f"{options}</select>"
    )
