import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from annotations.scratch import SCRATCH, remove_leftovers
from ser.errors import SettingsError
from ui.backend import server as app
from ui.backend.server import DEFAULT_PORT, main, parse_arguments


def test_defaults_serve_this_machine_only() -> None:
    server = parse_arguments([], {})
    assert (server.host, server.port, server.data_dir, server.auth_file) == (
        "127.0.0.1",
        DEFAULT_PORT,
        Path("data"),
        None,
    )


def test_a_space_listens_to_the_outside() -> None:
    assert parse_arguments([], {"SYSTEM": "spaces"}).host == "0.0.0.0"


def test_the_command_line_wins_over_variables() -> None:
    environ = {"SER_HOST": "1.2.3.4", "SER_PORT": "99", "SER_DATA_DIR": "/a", "SER_AUTH_FILE": "/b"}
    server = parse_arguments(["--port", "100"], environ)
    assert (server.host, server.port, server.data_dir, server.auth_file) == ("1.2.3.4", 100, Path("/a"), Path("/b"))


def test_a_store_elsewhere_is_named_by_one_address() -> None:
    server = parse_arguments([], {"SER_STORE": "hf://datasets/ann/studio", "SER_STORE_WINDOW": "90"})
    assert (server.elsewhere, server.window) == ("hf://datasets/ann/studio", 90.0)
    assert parse_arguments(["--store", "/mnt/disk"], {"SER_STORE": "s3://bucket"}).elsewhere == "/mnt/disk"
    with pytest.raises(SettingsError, match="window of saving is 'soon'"):
        parse_arguments(["--store-window", "soon"], {})


def test_a_wrong_port_ends_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "http"]) == 2
    assert capsys.readouterr().err == "The port is 'http'; a number from 1 to 65535 is needed.\n"


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--mcp", "--host", "0.0.0.0"], {}, "Say it twice"),
        (["--mcp", "--proxy"], {}, "Say it twice"),
        (["--mcp"], {"SPACE_ID": "ann/studio"}, "Say it twice"),
        ([], {"SER_MCP": "1", "SER_HOST": "192.168.0.7"}, "Say it twice"),
        (["--mcp", "--auth-file", "logins"], {}, "has no logins"),
    ],
)
def test_tools_on_a_public_page_are_refused_unless_said_twice(
    arguments: list[str], environ: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_arguments(arguments, environ)
    assert parse_arguments([], {}).mcp is False


def test_uploads_of_killed_programs_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, os.getpid()):
        (tmp_path / f"{SCRATCH}{pid}-x").mkdir()
        (tmp_path / f"{SCRATCH}{pid}-x" / "clip.wav").write_bytes(b"voice")
    remove_leftovers()
    assert [folder.name for folder in tmp_path.iterdir()] == [f"{SCRATCH}{os.getpid()}-x"]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the program on stand-ins."""
    started: list[subprocess.Popen[str]] = []

    def start(port: int, name: str = "data") -> subprocess.Popen[str]:
        command = [sys.executable, "-u", "app.py", "--fake", "--port", str(port), "--data-dir", str(tmp_path / name)]
        command += ["--store", str(tmp_path / f"{name} elsewhere")]
        (tmp_path / "tmp").mkdir(exist_ok=True)
        started.append(
            subprocess.Popen(
                command,
                cwd=Path(app.__file__).parents[2],
                env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "SER_STOP_SECONDS": "300"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_program_prints_its_address_saves_and_leaves_no_upload_behind(
    program: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = program(port)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert any(f"http://127.0.0.1:{port}" in line for line in lines)
    assert list((tmp_path / "tmp").glob(f"{SCRATCH}*"))
    second = program(port, "other")
    assert second.wait(timeout=300) == 2
    assert second.stderr is not None and "Name another address or port" in second.stderr.read()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as under_way:
        body = b'{"data": ["guidelines", {}]}'
        head = f"POST /gradio_api/run/page HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        under_way.sendall(f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + body[:9])
        # Once a later request is answered, this one has arrived: nothing would be under way otherwise.
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        deadline = time.monotonic() + 60
        while not httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60).json()["under_way"]:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        while httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60).status_code != 503:
            assert time.monotonic() < deadline
        assert httpx.post(f"http://127.0.0.1:{port}/gradio_api/run/page", json={}, timeout=60).status_code == 503
        under_way.sendall(body[9:])
        answer = b"".join(iter(lambda: under_way.recv(65536), b""))
    assert b" 200 OK" in answer and b'"text"' in answer, "what was under way is answered"
    assert process.wait(timeout=300) == 0
    assert not list((tmp_path / "tmp").glob(f"{SCRATCH}*"))
    # It has saved everything elsewhere and let go.
    writer = json.loads((tmp_path / "data elsewhere" / "writer.json").read_bytes())
    assert writer["released"] and list((tmp_path / "data elsewhere" / "snapshots").iterdir())
