"""Names and numbers in transcripts: masked by rules when stored and when exported, as the settings say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from annotations.errors import InvalidSettingError
from annotations.exchange.exports.exporting import export_store
from annotations.masking import mask, mask_words
from annotations.store import AnnotationStore, NewVote
from annotations.store.settings import AnnotationSettings, change_settings
from ser.testing import fake_recognizer, synthetic_speech
from ser.types import Recognition, Segment, Transcript

SAID = "I told Peter Schmidt to call 555 1234 today"
TOLD = "I told [name] [name] to call [number] [number] today"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (SAID, TOLD),
        ("My name is anna, ask for dr miller.", "My name is [name], ask for dr [name]."),
        ("Write to ann@example.org or www.ann.example!", "Write to [address] or [address]!"),
        (
            "It is five five five one, I said one or two.",
            "It is [number] [number] [number] [number], I said one or two.",
        ),
        ("Kids are talking by the door. It's Monday.", "Kids are talking by the door. It's [name]."),
        ("Peter is at home", "Peter is at home"),
        ("", ""),
    ],
)
def test_rules(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert len(mask_words(text.split())) == len(text.split())


def with_words(text: str) -> Recognition:
    words = tuple(Segment(0.1 * n, 0.1 * n + 0.1, word) for n, word in enumerate(text.split()))
    answer = fake_recognizer().recognize(synthetic_speech(0.6, seed=1))
    return replace(answer, transcript=Transcript(text, "en", words, "test"))


@pytest.mark.parametrize("setting", [None, "export", "store"])
def test_what_is_stored_and_exported(tmp_path: Path, setting: str | None) -> None:
    with AnnotationStore(tmp_path / "store") as store:
        change_settings(store, AnnotationSettings(mask_transcripts=setting), by="mia")
        version = store.ensure_base_version("embedded", "a" * 64)
        clip = store.add_clip(synthetic_speech(0.6, seed=1), source="page", consent=("research",))
        store.add_prediction(clip.id, with_words(SAID), version.id)
        store.add_correction(clip.id, NewVote("ann", "correct", label="fear", transcript=SAID))
        rows = store.fetch(
            "SELECT predictions.transcript AS p, details, corrections.transcript AS c FROM predictions, corrections"
        )
        stored = json.dumps([tuple(row) for row in rows])
        assert ("Schmidt" in stored) == (setting != "store")
        assert rows[0]["c"] == (TOLD if setting == "store" else SAID)
        for form in ("audiofolder", "csv", "labelstudio"):
            out = tmp_path / f"out-{form}{'' if form == 'audiofolder' else '.csv' if form == 'csv' else '.json'}"
            export_store(store, form, out)
            written = "".join(
                path.read_text() for path in tmp_path.rglob("*") if path.suffix in (".csv", ".json", ".jsonl")
            )
            assert ("Schmidt" in written) == (setting is None), form
            assert ("[name]" in written) == (setting is not None), form


def test_another_setting_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="expected export or store, or nothing"):
        AnnotationSettings(mask_transcripts="yes")
