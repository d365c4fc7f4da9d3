from pathlib import Path

import pytest

from app import DEFAULT_PORT, main, parse_arguments, read_auth_file
from ser.errors import SettingsError


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


def test_a_wrong_port_ends_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "http"]) == 2
    assert capsys.readouterr().err == "The port is 'http'; a number from 1 to 65535 is needed.\n"


def test_login_file(tmp_path: Path) -> None:
    path = tmp_path / "logins"
    path.write_text("# people\nann: a:b\n\nbob:secret\n")
    assert read_auth_file(path) == [("ann", " a:b"), ("bob", "secret")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ann\n", "Line 1 of {path} is no name:password. Correct it, or start it with #."),
        ("# nobody\n", "The login file {path} names nobody. Add a line name:password."),
    ],
)
def test_a_damaged_login_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "logins"
    path.write_text(text)
    with pytest.raises(SettingsError) as error:
        read_auth_file(path)
    assert str(error.value) == message.format(path=path)
