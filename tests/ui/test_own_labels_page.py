"""A page with labels of the store's own: its buttons and keys, and what its model has not learnt."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotations.labels.files import parse_labels
from annotations.labels.stored import change_label_set
from tests.ui.test_review_page import AT_REST, next_by, open_review
from tests.unit.stored import label_counts
from ui.backend.services import Services


@pytest.fixture
def own(services: Services, fill: Callable[[int], None]) -> tuple[str, ...]:
    """Four labels, one of which the seven say nothing of; in force before the page starts."""
    rows = [
        {"name": "satisfied", "means": "happiness"},
        {"name": "annoyed", "means": ["anger", "disgust"]},
        {"name": "confused", "key": "c"},
        {"name": "in distress", "means": ["fear", "sadness"]},
    ]
    names = change_label_set(services.store, parse_labels({"labels": rows}), by="mia").names
    fill(3)
    return names


def test_own_labels_by_their_keys(own: tuple[str, ...], page: Page, services: Services) -> None:
    open_review(page)
    expect(page.locator("#review-vote label")).to_have_count(len(own) + 1)
    expect(page.locator("#review-card .bars li")).to_have_count(len(own))
    expect(page.locator("#review-card .unlearnt")).to_have_text("not learnt yet")
    next_by(page, "c", "Enter")
    next_by(page, "3", "Enter")
    page.keyboard.press("u")
    expect(page.locator("#review-vote input:checked")).to_have_value("unsure")
    page.wait_for_function(AT_REST)
    assert {name: count for name, count in label_counts(services.store).items() if count} == {
        "confused": 1,
        "in distress": 1,
    }
