"""The login list, delays after failures, and the command that hashes a password."""

import asyncio
import io
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException

from ser.errors import SettingsError
from ui.backend.limits import ADDRESS
from ui.backend.logins import HASHER, Logins, hash_line, read_auth_file
from ui.backend.server import main


@pytest.fixture(scope="module")
def hashed() -> str:
    return HASHER.hash("correct horse")


@pytest.fixture
def clock() -> list[float]:
    return [1000.0]


@pytest.fixture
def logins(hashed: str, clock: list[float]) -> Logins:
    return Logins({"ann": hashed}, clock=lambda: clock[0])


def in_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a thread of its own: the tests of the page may have a loop running on this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def tried(logins: Logins, name: str, password: str, address: str = "1.2.3.4") -> bool | int:
    """Outcome of a login: right, wrong, or the seconds to wait."""

    async def run() -> bool | int:
        ADDRESS.set(address)
        try:
            return await logins.check(name, password)
        except HTTPException as error:
            assert error.status_code == 400 and "ry again in" in str(error.detail) and error.headers
            return int(error.headers["Retry-After"])

    return in_loop(run())


def test_login_file(tmp_path: Path, hashed: str) -> None:
    path = tmp_path / "logins"
    path.write_text(f"# people\nann: {hashed}\n\n{hash_line('bob', 'long enough')}\n")
    assert list(read_auth_file(path)) == ["ann", "bob"]
    assert read_auth_file(path)["ann"] == hashed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ann\n", "Line 1 of {path} is no name:hash. Correct it, or start it with #."),
        ("# nobody\n", "The login file {path} names nobody. Add a line name:hash."),
        (
            "ann:secret\n",
            "Line 1 of {path} has the password of ann in plain text. Run `ser-studio hash-password ann` (or `python "
            "app.py hash-password ann`) and put the line that it prints in its place.",
        ),
        ("ann:{hash}\nAnn:{hash}\n", "Line 2 of {path} names Ann again. Names are compared without case."),
    ],
)
def test_a_damaged_login_file_is_refused(tmp_path: Path, hashed: str, text: str, message: str) -> None:
    path = tmp_path / "logins"
    path.write_text(text.replace("{hash}", hashed))
    with pytest.raises(SettingsError) as error:
        read_auth_file(path)
    assert str(error.value) == message.format(path=path)


def test_a_password_is_hashed_by_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    assert main(["hash-password", "ann"]) == 0
    path = tmp_path / "logins"
    path.write_text(capsys.readouterr().out)
    assert "correct horse" not in path.read_text()
    assert tried(Logins(read_auth_file(path)), "ann", "correct horse") is True
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert main(["hash-password", "ann"]) == 2 and main(["hash-password"]) == 2


def test_the_delay_grows_with_the_failures_of_a_name_and_an_address(
    logins: Logins, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="page"):
        assert [tried(logins, "ann", "guess") for _ in range(3)] == [False] * 3
    assert "A login failed from 1.2.3.4, the 3. in a row." in caplog.text and "guess" not in caplog.text
    waits = []
    for _ in range(5):
        wait = tried(logins, "ann", "correct horse")
        assert wait is not True and wait is not False, "the right password has to wait, too"
        waits.append(wait)
        clock[0] += wait
        assert tried(logins, "ann", "guess") is False
    assert waits == sorted(waits) and waits[-1] >= 4 * waits[0]
    assert tried(logins, "ann", "correct horse", "5.6.7.8") is True, "she is elsewhere"
    clock[0] += 3601
    assert tried(logins, "ann", "correct horse") is True
    assert tried(logins, "ann", "guess") is False, "and begins anew"


def test_many_names_from_one_address_wait_together(logins: Logins) -> None:
    assert [tried(logins, f"name {number}", "guess") for number in range(10)] == [False] * 10
    assert tried(logins, "ann", "correct horse") not in (True, False)
    assert tried(logins, "ann", "correct horse", "5.6.7.8") is True


def test_tries_at_the_same_time_do_not_slip_past(logins: Logins) -> None:
    async def run() -> list[object]:
        ADDRESS.set("1.2.3.4")
        return await asyncio.gather(*(logins.check("ann", "guess") for _ in range(12)), return_exceptions=True)

    answers = in_loop(run())
    assert answers.count(False) == 3 and sum(isinstance(answer, HTTPException) for answer in answers) == 9
