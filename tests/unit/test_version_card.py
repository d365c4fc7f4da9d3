"""A version's card on its temperature and its regularisation."""

import pytest

from annotations.learning.versions.card import card_text
from annotations.learning.versions.registry import VersionEntry
from annotations.store.records import ModelVersion

TRIED = [{"penalty": 0.01, "log_probability": -1.5}, {"penalty": 0.003, "log_probability": -1.2}]


def card(lineage: dict[str, object]) -> str:
    version = ModelVersion(2, "v2", "0" * 64, "models/v2", 1, {}, "2026-01-01T00:00:00Z", lineage=lineage)
    return card_text(VersionEntry(version, in_use=True), "embedded", None)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"before": 0.7, "after": None, "kept": True}, "temperature: 0.70, kept from before"),
        ({"before": 0.7, "after": 0.9, "kept": False}, "temperature: 0.90, before 0.70; fitted out of fold"),
    ],
)
def test_how_its_confidence_was_set(found: dict[str, object], said: str) -> None:
    assert said in card({"temperature": found})


def test_which_strength_was_chosen() -> None:
    assert "penalty of the classifier head: 0.003" in card({"tried": TRIED})
    assert "penalty of the classifier head" not in card({"tried": TRIED[:1]})
    assert "temperature" not in card({}) and "penalty" not in card({})
