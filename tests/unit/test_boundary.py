"""Real requests at the boundary: foreign origins, rebound names, proxies, cookies, headers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
from starlette.datastructures import Headers

from annotations.raters.people import Access
from ser.errors import SettingsError
from ui.app import build_app, launch_options
from ui.backend.boundary import AT_HOME, PRIVATE, Boundary, Network, read_proxies, sender
from ui.backend.logins import HASHER, Logins, Sessions
from ui.backend.services import Services

SPACE = Network.from_env({"SPACE_ID": "ann/studio", "SPACE_HOST": "ann-studio.hf.space"})
WHO = {"name": "ann", "key": "0123456789abcdef"}


@contextmanager
def served(services: Services, network: Network = AT_HOME, *, login: bool = False) -> Iterator[httpx.Client]:
    demo = build_app(services)
    auth = Logins({"ann": HASHER.hash("a password")}).check if login else None
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, auth=auth, **launch_options(services, network))
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            client.app = demo.app  # type: ignore[attr-defined]
            yield client
    finally:
        demo.close()


def settings_of(client: httpx.Client, **headers: str) -> httpx.Response:
    """Ask for an act that a maintainer alone may do."""
    body = {"data": ["write_guidelines", {"who": WHO, "text": "mine", "replaces": 0}]}
    return client.post("/gradio_api/run/page", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_the_page_of_this_machine(page_services: Services) -> None:
    with served(page_services) as client:
        here = str(client.base_url).rstrip("/")
        page = client.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "frame-ancestors 'self' https://huggingface.co" in policy and "object-src 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "same-origin"

        for origin in ("https://evil.example", "http://127.0.0.1", "http://localhost.evil.example:7860", "null"):
            for method in ("POST", "OPTIONS", "GET"):
                headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                answer = client.request(method, "/gradio_api/run/page", json={"data": []}, headers=headers)
                assert answer.status_code == 403 and "requests of other sites are refused" in answer.text
                assert "access-control-allow-origin" not in answer.headers
        for host in ("evil.example", "evil.example:7860", "127.0.0.1.evil.example", "192.168.0.7"):
            answer = client.get("/", headers={"Host": host})
            assert answer.status_code == 403 and "start it with --proxy" in answer.text
            assert answer.headers["x-content-type-options"] == "nosniff"
        for host in ("localhost", f"localhost:{client.base_url.port}", "[::1]:80"):
            assert client.get("/", headers={"Host": host}).status_code == 200
        image = client.get("/theme.css", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})
        assert image.status_code == 403

        forwarded = settings_of(client, X_Forwarded_For="93.184.216.34").json()["data"][0]
        assert "ann may not edit the guidelines" in forwarded["error"]
        assert "mine" in settings_of(client, Origin=here).json()["data"][0]["text"]


def test_hosts_and_origins_that_are_none_are_refused(page_services: Services) -> None:
    with served(page_services) as client:
        for name in ("Host", "Origin"):
            for value in ("[evil", "http://[evil", "a]b", ""):
                assert client.get("/config", headers={name: value}).status_code == 403, (name, value)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via", "CF-Connecting-IP"])
def test_who_comes_through_any_proxy_is_not_at_the_machine(page_services: Services, header: str) -> None:
    with served(page_services) as client:
        assert "may not" in settings_of(client, **{header: "93.184.216.34"}).text


def test_behind_a_declared_proxy(page_services: Services) -> None:
    with served(page_services, Network(proxy=True)) as client:
        outside = {
            "X-Forwarded-Host": "studio.example",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "93.184.216.34",
        }
        assert client.get("/", headers=outside).status_code == 200
        asked = {**outside, "Origin": "https://studio.example"}
        answer = client.post("/gradio_api/run/page", json={"data": ["guidelines", {"who": WHO}]}, headers=asked)
        assert answer.status_code == 200 and answer.json()["data"][0]["editable"] is False
        past = client.get("/", headers={"Host": "evil.example", "Origin": "http://evil.example"})
        assert past.status_code == 403, "a rebound name has not come through the proxy"
        rebound = {"Host": "evil.example", "Origin": "http://evil.example", "X-Forwarded-For": "127.0.0.1"}
        answer = client.post("/gradio_api/run/page", json={"data": ["guidelines", {"who": WHO}]}, headers=rebound)
        assert answer.json()["data"][0]["editable"] is False
        foreign = client.post("/gradio_api/run/page", json={}, headers={**outside, "Origin": "https://evil.example"})
        assert foreign.status_code == 403


def test_cookies_of_a_login_stay_on_the_site(page_services: Services) -> None:
    with served(page_services, Network(proxy=True), login=True) as client:
        for scheme, secure in (("https", True), ("http", False)):
            given = {"username": "ann", "password": "a password"}
            answer = client.post("/login", data=given, headers={"X-Forwarded-Proto": scheme})
            cookies = answer.headers.get_list("set-cookie")
            assert cookies and all(cookie.count("SameSite=Lax") == cookie.count("SameSite") == 1 for cookie in cookies)
            assert all(("Secure" in cookie) == secure for cookie in cookies)
        assert client.get("/config").status_code == 200


def test_the_frame_of_a_space_needs_the_token(page_services: Services) -> None:
    shared = replace(page_services, access=Access(role_without_login="visitor"))
    with served(shared, SPACE, login=True) as client:
        own = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "ann-studio.hf.space"}
        page = client.get("/", headers=own)
        token = re.search(
            r"studio-token=([^;]+); Path=/; SameSite=None; Secure; Partitioned", page.headers["set-cookie"]
        )
        assert token
        login = client.post("/login", data={"username": "ann", "password": "a password"}, headers=own)
        cookies = login.headers.get_list("set-cookie")
        assert all("SameSite=None; Secure; Partitioned" in cookie for cookie in cookies)
        session = "; ".join([*(cookie.partition(";")[0] for cookie in cookies), f"studio-token={token[1]}"])
        ask = {"json": {"data": ["guidelines", {}]}, "url": "/gradio_api/run/page"}
        page_headers = {**own, "Origin": "https://ann-studio.hf.space", "Cookie": session}
        client.cookies.clear()
        assert client.post(headers={**page_headers, "X-Studio-Token": token[1]}, **ask).status_code == 200
        for wrong in ({}, {"X-Studio-Token": "guess"}):
            refused = client.post(headers={**page_headers, **wrong}, **ask)
            assert refused.status_code == 403 and "Load the page again" in refused.text
        assert client.post(headers={**own, "Cookie": session}, **ask).status_code == 200, "a program sends no origin"


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ("1.1.1.1, 93.184.216.34", "", "93.184.216.34"),
        # A client of the same network may send any public address: the proxy's own addition counts.
        ("93.184.216.34, 192.168.0.9", "", "192.168.0.9"),
        ("93.184.216.34, 192.168.0.9, 192.168.0.2", "192.168.0.2", "192.168.0.9"),
        ("93.184.216.34, 10.0.0.1, 172.16.3.4", PRIVATE, "93.184.216.34"),
        ("10.0.0.1, 172.16.3.4", PRIVATE, "10.0.0.1"),
        ("2606:2800:220:1::1", "", "2606:2800:220:1::1"),
        ("93.184.216.34:5123", "", "93.184.216.34"),
        ("93.184.216.34, <script>", "", ""),
        ("", "", ""),
    ],
)
def test_the_sender_is_the_last_address_that_is_no_proxys(forwarded: str, proxies: str, address: str) -> None:
    assert sender(forwarded, read_proxies(proxies)) == address


def test_forwarding_headers_count_from_declared_proxies_alone() -> None:
    headers = Headers({"x-forwarded-for": "93.184.216.34"})
    near, named = Network.from_env({}, proxy="1"), Network.from_env({}, proxy="10.1.0.0/16, 192.168.0.2")
    assert near.forwarded("192.168.0.7", headers) and not near.forwarded("93.184.216.9", headers)
    assert named.forwarded("10.1.2.3", headers) and named.forwarded("192.168.0.2", headers)
    assert not named.forwarded("192.168.0.7", headers) and not named.forwarded("127.0.0.1", headers)
    assert not named.forwarded("10.1.2.3", Headers({}))
    with pytest.raises(SettingsError, match="Name addresses or networks with commas"):
        Network.from_env({}, proxy="my-proxy")


def test_a_login_ends() -> None:
    now = [0.0]
    sessions = Sessions(60, clock=lambda: now[0])
    sessions["token"] = "ann"
    assert sessions.get("token") == "ann" and "token" in sessions
    now[0] = 61.0
    assert sessions.get("token") is None
    sessions["other"] = "bob"
    assert dict(sessions) == {"other": "bob"}


def test_an_ended_login_is_asked_to_log_in_again(page_services: Services) -> None:
    with served(page_services, login=True) as client:
        client.post("/login", data={"username": "ann", "password": "a password"})
        assert client.get("/config").status_code == 200
        sessions = client.app.tokens  # type: ignore[attr-defined]
        sessions._ends = dict.fromkeys(sessions, 0.0)
        assert client.get("/config").status_code == 401


def test_the_boundary_lies_around_everything(page_services: Services) -> None:
    demo = build_app(page_services)
    app, _, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(page_services))
    try:
        assert isinstance(app.middleware_stack, Boundary) and isinstance(app.tokens, Sessions)
    finally:
        demo.close()
