"""The composition root: options -> recogniser and store -> page -> server. Commands: `app.py` and `ser-studio`."""

import argparse
import getpass
import importlib
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotations.scratch import remove_leftovers, scratch
from ser.config import Settings
from ser.errors import SerError, SettingsError

DEFAULT_PORT = 7860

DEFAULT_WINDOW = 60.0
"""Seconds that a change may wait until it is saved elsewhere."""

FINISHING = "10"
"""Seconds that requests under way may take at the end, unless SER_STOP_SECONDS says otherwise."""


@dataclass(frozen=True)
class ServerSettings:
    """Address of the page, and its users.

    Attributes:
        host: address to listen on; 0.0.0.0 for every network.
        port: to listen on.
        data_dir: folder of the database, the stored clips and the trained models.
        auth_file: `name:hash` lines; None lets everybody in.
        fake: small untrained stand-ins in place of the models, to work on the page itself.
        proxy: addresses of reverse proxies, whose forwarding headers are trusted, or a word that there is one; empty
            for none.
        mcp: whether the endpoints are tools for language models as well (Model Context Protocol).
        elsewhere: address of the place that everything is saved to; None if the data folder is all there is.
        window: seconds that a change may wait until it is saved there.
        json_logs: whether logs are lines of JSON without personal data.
    """

    host: str
    port: int
    data_dir: Path
    auth_file: Path | None
    fake: bool
    proxy: str = ""
    elsewhere: str | None = None
    window: float = DEFAULT_WINDOW
    json_logs: bool = False
    mcp: bool = False


def parse_arguments(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> ServerSettings:
    """Read the command line; what is not given there comes from `SER_*` variables.

    Raises:
        SettingsError: if a value cannot be used.
    """
    options = _build_parser(environ).parse_args(argv)
    if not options.port.isdecimal() or not 0 < int(options.port) < 65536:
        raise SettingsError(f"The port is '{options.port}'; a number from 1 to 65535 is needed.")
    if not re.fullmatch(r"\d+(\.\d+)?", options.store_window) or not 1 <= float(options.store_window) <= 3600:
        raise SettingsError(f"The window of saving is '{options.store_window}'; expected 1 to 3600 seconds.")
    return ServerSettings(
        host=options.host,
        port=int(options.port),
        data_dir=Path(options.data_dir).expanduser(),
        auth_file=Path(options.auth_file).expanduser() if options.auth_file else None,
        fake=options.fake,
        proxy=options.proxy,
        json_logs=options.log == "json",
        mcp=_mcp(options, environ),
        elsewhere=options.store,
        window=float(options.store_window),
    )


def _build_parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ser-studio",
        description="Serve the page of Speech Emotion Studio.",
        epilog="Models are chosen by SER_ACOUSTIC_MODEL, SER_TEXT_MODEL (embedded, a folder or a Hub id), "
        "SER_TRANSCRIBER (auto, embedded, none, a folder or a Hub id), SER_TRANSCRIBER_THREADS, SER_DEVICE (auto, cpu, "
        "cuda) and SER_MAX_DURATION (seconds); who may do what by SER_MAINTAINERS (logins, with commas) and "
        "SER_ROLE_WITHOUT_LOGIN (visitor, annotator, maintainer). "
        "`hash-password NAME` prints a line of the login file; `doctor`, with the options of the page, looks for "
        "what is wrong with machine, installation and store; `deploy USER/NAME` puts the page on a Hugging Face Space.",
    )
    _add_network_options(parser, environ)
    _add_store_options(parser, environ)
    parser.add_argument(
        "--log",
        choices=("text", "json"),
        default=environ.get("SER_LOG") or "text",
        help="logs as text, or as lines of JSON without personal data (SER_LOG; default %(default)s)",
    )
    parser.add_argument("--fake", action="store_true", help="untrained stand-ins for the models: to work on the page")
    return parser


def _add_network_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Add the options for address, login, proxy and further endpoints."""
    # A Space is reached from outside its container; a machine of one's own is not, unless asked.
    default_host = "0.0.0.0" if environ.get("SYSTEM") == "spaces" else "127.0.0.1"
    parser.add_argument(
        "--host",
        default=environ.get("SER_HOST") or default_host,
        help="address to listen on (SER_HOST; default %(default)s)",
    )
    parser.add_argument(
        "--port",
        default=environ.get("SER_PORT") or str(DEFAULT_PORT),
        help="port to listen on (SER_PORT; default %(default)s)",
    )
    parser.add_argument(
        "--auth-file",
        default=environ.get("SER_AUTH_FILE") or None,
        help="file of name:hash lines, as `hash-password NAME` prints them; who is not in it is not let in "
        "(SER_AUTH_FILE; default: everybody is)",
    )
    parser.add_argument(
        "--proxy",
        nargs="?",
        const="1",
        default=environ.get("SER_PROXY") or "",
        metavar="ADDRESSES",
        help="a reverse proxy passes requests on: believe its forwarding headers. If there are several, name their "
        "addresses or networks with commas (SER_PROXY; not needed on a Space)",
    )
    parser.add_argument(
        "--mcp",
        action="count",
        default=int(environ.get("SER_MCP") or 0) if (environ.get("SER_MCP") or "0").isdecimal() else 0,
        help="offer the endpoints as tools by the Model Context Protocol, at /gradio_api/mcp (SER_MCP=1); on a page "
        "that others reach it has to be said twice (--mcp --mcp, SER_MCP=2); needs the extra `mcp`",
    )


def _add_store_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Add the options for the data folder and its copy elsewhere."""
    parser.add_argument(
        "--data-dir",
        default=environ.get("SER_DATA_DIR") or "data",
        help="folder of database, clips and trained models; made where missing (SER_DATA_DIR; default ./%(default)s)",
    )
    parser.add_argument(
        "--store",
        default=environ.get("SER_STORE") or None,
        metavar="URL",
        help="save everything elsewhere, too, and restore it from there on an empty disk: hf://datasets/USER/NAME, a "
        "folder, s3://... (SER_STORE; default: nowhere)",
    )
    parser.add_argument(
        "--store-window",
        default=environ.get("SER_STORE_WINDOW") or str(DEFAULT_WINDOW),
        metavar="SECONDS",
        help="what is saved elsewhere is at most so old (SER_STORE_WINDOW; default %(default)s)",
    )


def _mcp(options: argparse.Namespace, environ: Mapping[str, str]) -> bool:
    """Tell if the endpoints are to be tools.

    Raises:
        SettingsError: if the page is public and it was said once only, has logins, or the package is missing.
    """
    if not options.mcp:
        return False
    if options.auth_file:
        raise SettingsError("--mcp has no logins, and --auth-file lets nobody else in. Leave one of them out.")
    public = options.host not in ("127.0.0.1", "localhost", "::1") or options.proxy or "SPACE_ID" in environ
    if public and options.mcp < 2:
        raise SettingsError(
            "This page can be reached by others, and --mcp would let language models act on it for anybody. "
            "Say it twice (--mcp --mcp, or SER_MCP=2) if that is meant."
        )
    if importlib.util.find_spec("mcp") is None:
        raise SettingsError("--mcp needs the package mcp. Install it: pip install 'mcp>=1.21,<2'.")
    return True


def serve(server: ServerSettings, settings: Settings) -> None:
    """Load the models, open the store and serve the page until interrupted.

    Raises:
        SerError: if a model, the store or an option cannot be used.
    """
    listed = importlib.import_module("ui.backend.logins") if server.auth_file else None
    logins = listed.read_auth_file(server.auth_file) if listed else {}
    # A stopped container gets SIGTERM: leave as at Ctrl-C, so that the uploads are deleted.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if server.json_logs:
        importlib.import_module("ui.operations.logs").write_json_logs()
    remove_leftovers()
    with scratch("uploads") as uploads:
        # Uploads of people who did not consent must not outlive the program, so they get a folder of their own.
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        # Imported by name, after the options are known: `--help` and a wrong option answer at once.
        page = importlib.import_module("ui.app")
        people = importlib.import_module("annotations.raters.people")
        access = people.access_from(os.environ, host=server.host, logins=logins, proxy=bool(server.proxy))
        parts = importlib.import_module("ui.backend.startup")
        saving = parts.Saving(server.elsewhere, server.window) if server.elsewhere else None
        services = parts.load_parts(server.data_dir, settings, fake=server.fake, access=access, saving=saving)
        print(services.recognizer.transcriber_reason or "Stand-ins answer.", flush=True)
        demo = page.build_app(services)
        network = importlib.import_module("ui.backend.boundary").Network.from_env(os.environ, proxy=server.proxy)
        traffic = importlib.import_module("ui.operations.routes").Traffic()
        stop_gently(lambda: traffic.drain(services, _seconds_to_stop(os.environ)))
        hooks = importlib.import_module("ui.operations.webhooks")
        webhook = hooks.Webhook.from_env(os.environ)
        telling = hooks.Webhooks(services.store, webhook).start() if webhook else None
        upkeep = importlib.import_module("ui.maintain.upkeep").Upkeep(services).start()
        try:
            demo.launch(
                server_name=server.host,
                server_port=server.port,
                auth=listed.Logins(logins).check if listed else None,
                mcp_server=server.mcp,
                **page.launch_options(services, network, traffic),
            )
        except OSError as error:
            raise SettingsError(
                f"The page cannot be served at {server.host}:{server.port} ({str(error).partition(chr(10))[0]}). "
                "Name another address or port with --host and --port."
            ) from error
        finally:
            upkeep.stop()
            if telling is not None:
                telling.stop()
            if services.saver is not None:
                services.saver.stop()


def _seconds_to_stop(environ: Mapping[str, str]) -> float:
    asked = environ.get("SER_STOP_SECONDS") or FINISHING
    return float(asked) if asked.isdecimal() else float(FINISHING)


def stop_gently(drain: Callable[[], bool]) -> None:
    """At SIGTERM finish what is under way, then leave; a second one leaves at once."""

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        print("Stopping: no new work is taken, what is under way is answered.", flush=True)
        if not drain():
            print("Some requests were not answered in time and are given up.", file=sys.stderr)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)


def hash_password(arguments: Sequence[str]) -> int:
    """Print the line of the login file for a name; the password is asked for, or read from standard input."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise SettingsError("Say whose password it is: hash-password NAME. The password is asked for.")
    asked = getpass.getpass if sys.stdin.isatty() else lambda prompt: sys.stdin.readline().rstrip("\n")
    print(importlib.import_module("ui.backend.logins").hash_line(arguments[0], asked("Password: ")))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if arguments[:1] == ["hash-password"]:
            return hash_password(arguments[1:])
        if arguments[:1] == ["deploy"]:
            return int(importlib.import_module("ui.operations.deploy").run_deploy(arguments[1:]))
        if arguments[:1] == ["doctor"]:
            doctor = importlib.import_module("ui.operations.doctor")
            return int(doctor.run_doctor(parse_arguments(arguments[1:]), Settings.from_env()))
        server = parse_arguments(arguments)
        serve(server, Settings.from_env())
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
