"""A foreign page, a rebound name and a strange frame, in a real browser over TLS with two host names."""

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright

from annotations.raters.guidelines import read_guidelines
from annotations.raters.people import Access
from ser.config import Settings
from tests.ui.conftest import FLAGS, PATIENCE
from ui.app import build_app, launch_options
from ui.backend.boundary import Network
from ui.backend.logins import HASHER, Logins
from ui.backend.services import Services
from ui.backend.startup import load_parts

ATTACK = """async ([studio]) => {
    const body = JSON.stringify({ data: ["write_guidelines", { who: {}, text: "taken over", replaces: 0 }] });
    const address = `${studio}/gradio_api/run/page`;
    const replies = [];
    for (const [mode, type] of [["cors", "application/json"], ["cors", "text/plain"], ["no-cors", "text/plain"]]) {
        try {
            const answer = await fetch(address, {
                method: "POST", mode, credentials: "include", headers: { "Content-Type": type }, body,
            });
            replies.push(answer.type === "opaque" ? "opaque" : await answer.text());
        } catch (error) {
            replies.push("blocked");
        }
    }
    try {
        replies.push(await (await fetch(`${studio}/config`, { credentials: "include" })).text());
    } catch (error) {
        replies.push("blocked");
    }
    return replies;
}"""


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=studio.test".split(),
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.fixture
def context(playwright: Playwright, chromium: str) -> Iterator[BrowserContext]:
    rules = "--host-resolver-rules=MAP studio.test 127.0.0.1, MAP evil.test 127.0.0.1"
    browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, rules])
    yield browser.new_context(ignore_https_errors=True)
    browser.close()


@pytest.fixture
def shared(tmp_path: Path, cache: Path) -> Services:
    access = Access(frozenset({"mia"}), "annotator")
    return load_parts(tmp_path / "data", Settings(), fake=True, access=access)


@pytest.fixture
def studio(shared: Services, certificate: tuple[Path, Path]) -> Iterator[str]:
    """The page over TLS, with a login list, under a name of its own."""
    demo = build_app(shared)
    key, cert = certificate
    demo.launch(
        prevent_thread_lock=True,
        quiet=True,
        auth=Logins({"mia": HASHER.hash("a password")}).check,
        ssl_keyfile=str(key),
        ssl_certfile=str(cert),
        ssl_verify=False,
        **launch_options(shared, Network(hosts=("studio.test",))),
    )
    yield f"https://studio.test:{demo.server_port}"
    demo.close()


@pytest.fixture
def evil(certificate: tuple[Path, Path], tmp_path: Path) -> Iterator[str]:
    """A page of another site."""
    key, cert = certificate
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>evil</title>")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *given: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://evil.test:{server.server_port}"
    server.shutdown()


def log_in(page: Page, studio: str) -> None:
    page.set_default_timeout(PATIENCE)
    page.goto(studio)
    page.locator("input[type=text], textarea").first.fill("mia")
    page.locator("input[type=password]").fill("a password")
    page.get_by_role("button", name="Login").click()
    page.wait_for_selector("#answer-card .bars")


def test_a_foreign_page_cannot_act_as_who_is_logged_in(
    context: BrowserContext, studio: str, evil: str, shared: Services
) -> None:
    page = context.new_page()
    log_in(page, studio)
    cookies = context.cookies(studio)
    assert cookies and {cookie["sameSite"] for cookie in cookies} == {"Lax"}
    assert all(cookie["secure"] and cookie["httpOnly"] for cookie in cookies)

    foreign = context.new_page()
    foreign.goto(evil)
    replies = foreign.evaluate(ATTACK, [studio])
    assert set(replies) <= {"blocked", "opaque"}, replies
    foreign.evaluate(
        """(studio) => {
            document.body.innerHTML = `<form id="f" method="post" enctype="text/plain"
                action="${studio}/gradio_api/run/page">
                <input name='{"data":["write_guidelines",{"text":"taken over","replaces":0}],"x":"' value='"}'></form>`;
            document.getElementById("f").submit();
        }""",
        studio,
    )
    foreign.wait_for_url(f"{studio}/**")
    assert "requests of other sites are refused" in foreign.inner_text("body")
    assert read_guidelines(shared.store).version == 0

    frames = context.new_page()
    frames.goto(evil)
    frames.evaluate("(studio) => { document.body.innerHTML = `<iframe src='${studio}'></iframe>`; }", studio)
    frames.wait_for_timeout(1500)
    assert all(frame.query_selector("#answer-card") is None for frame in frames.frames)

    written = page.evaluate("() => window.studio.call('write_guidelines', { text: 'Listen.', replaces: 0 })")
    assert written["text"] == "Listen.", "the page itself may"


def test_a_name_that_was_bound_to_this_machine_gets_nothing(context: BrowserContext, url: str) -> None:
    port = url.rstrip("/").rpartition(":")[2]
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    answer = page.goto(f"http://evil.test:{port}/")
    assert answer is not None and answer.status == 403
    assert "answers under this machine's own name" in page.inner_text("body")
    page.goto(f"http://localhost:{port}/")
    page.wait_for_selector("#answer-card .bars")


@pytest.mark.slow
def test_a_login_that_has_to_wait_says_so(context: BrowserContext, studio: str) -> None:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(studio)
    page.wait_for_selector("input[type=password]")
    assert "After three failures a login has to wait" in page.inner_text("body")
    replies = page.evaluate(
        """async () => {
            const body = () => new URLSearchParams({ username: "mia", password: "a guess" });
            const tries = Array.from({ length: 6 }, () => fetch("/login", { method: "POST", body: body() }));
            return Promise.all((await Promise.all(tries)).map(async (answer) => (await answer.json()).detail));
        }"""
    )
    assert sum("ry again in" in sentence for sentence in replies) == 3
    page.locator("input[type=text], textarea").first.fill("mia")
    page.locator("input[type=password]").fill("a guess")
    page.get_by_role("button", name="Login").click()
    page.get_by_text("Incorrect Credentials").wait_for()


def test_the_login_form_tells_how_long_to_wait(context: BrowserContext, studio: str) -> None:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(studio)
    # On a slow machine the wait may be over before anybody looks.
    page.evaluate(
        """() => {
            window.told = "";
            const note = () => (window.told += document.querySelector("#login-wait")?.textContent ?? "");
            new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
        }"""
    )
    for _ in range(4):
        page.get_by_label("username").fill("mia")
        page.get_by_label("password").fill("a guess")
        with page.expect_response(lambda answer: answer.url.endswith("/login")):
            page.get_by_role("button", name="Login").click()
    page.wait_for_selector("#login-wait[role=alert]")
    page.wait_for_function("window.told.includes('You can try again in')")
    page.wait_for_function("document.querySelector('#login-wait').textContent.includes('again now')")
    page.get_by_label("username").fill("mia")
    page.get_by_label("password").fill("a password")
    page.get_by_role("button", name="Login").click()
    page.wait_for_selector("#answer-card .bars")
    assert problems == []
