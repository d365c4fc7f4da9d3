from playwright.sync_api import Page, expect

from annotations.raters.replies import preference_pairs
from ui.backend.services import Services

TALK = "Tom: Guess, I passed the exam!\nEve: Congratulations! I am so happy for you.\nTom: I want to kill myself."


def test_a_conversation_is_read_explained_and_answered_by_keys(page: Page, services: Services) -> None:
    page.get_by_role("tab", name="Conversation").click()
    page.locator("#conversation-text textarea").fill(TALK)
    page.locator("#conversation-read").press("Enter")
    expect(page.locator(".cv-turn")).to_have_count(3)
    expect(page.locator("#cv-turn-2")).to_contain_text("happiness")
    page.locator("#cv-turn-2 .cv-causes a").first.press("Enter")
    expect(page.locator("#cv-turn-1")).to_be_focused()
    page.locator("#cv-turn-2 .cv-why").press("Enter")
    expect(page.locator("#cv-why-2 table")).to_be_visible()
    expect(page.locator("#cv-why-2 mark").first).to_be_visible()

    page.locator("#cv-turn-2 .cv-answer").press("Enter")
    reply = page.locator("#cv-reply-2")
    reply.locator("textarea").fill("I am glad for you both.")
    reply.get_by_role("button", name="Listen").click()
    expect(reply.locator(".cv-listen")).to_have_text("Stop")
    expect(reply.locator(".cv-listen")).to_have_text("Listen")
    expect(reply.locator(".cv-spoken")).to_have_text("")
    reply.get_by_role("button", name="Helpful").click()
    expect(reply.locator(".cv-kept")).to_contain_text("Nothing was kept")
    reply.get_by_label("training the model").check()
    reply.get_by_role("button", name="Helpful").click()
    expect(reply.locator(".cv-kept")).to_contain_text("Kept")
    assert [pair["chosen"] for pair in preference_pairs(services.store, "training")[0]] == ["I am glad for you both."]
    reply.get_by_role("button", name="Take back").click()
    expect(reply.locator(".cv-kept")).to_contain_text("nothing of it is kept")

    page.locator("#cv-turn-3 .cv-answer").click()
    expect(page.locator("#cv-reply-3 .cv-care")).to_contain_text("116 123")
    expect(page.locator("#cv-reply-3 textarea")).to_have_count(0)
