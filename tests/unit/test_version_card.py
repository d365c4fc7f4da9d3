"""What a version's card says of how sure it may be, and of how long it learnt."""

import pytest

from annotations.learning.version_card import card_text
from annotations.learning.versions import VersionEntry
from annotations.records import ModelVersion

TRIED = [{"steps": 450, "log_probability": -1.5}, {"steps": 900, "log_probability": -1.2}]


def card(lineage: dict[str, object]) -> str:
    version = ModelVersion(2, "v2", "0" * 64, "models/v2", 1, {}, "2026-01-01T00:00:00Z", lineage=lineage)
    return card_text(VersionEntry(version, in_use=True), "embedded", None)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"before": 0.7, "after": None, "kept": True}, "temperature: 0.70, kept from before"),
        ({"before": 0.7, "after": 0.9, "kept": False}, "temperature: 0.90, before 0.70; found on speakers"),
        (
            {"before": 0.7, "after": 0.84, "kept": True, "changed_by_base": 1.2},
            "temperature: 0.84, before 0.70; kept from before; there were too few clips to find another, then "
            "multiplied by 1.20",
        ),
    ],
)
def test_how_its_confidence_was_set(found: dict[str, object], said: str) -> None:
    assert said in card({"temperature": found})


def test_which_length_was_chosen() -> None:
    assert "steps of the judging part: 900" in card({"tried": TRIED})
    assert "steps of the judging part" not in card({"tried": TRIED[:1]})
    assert "temperature" not in card({}) and "judging part" not in card({})
