"""Environments of their own for peers whose packages or licences have no place among our requirements.

Made once under the user's cache folder with the standard library's venv and pip. Knows nothing of what runs in them.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser.errors import SerError

STAMP = "peer.json"
"""Names what is installed; an environment without it was not finished."""


class PeerError(SerError):
    """A peer cannot be installed or run."""


@dataclass(frozen=True)
class Environment:
    """What a peer needs.

    Attributes:
        name: of its folder.
        requirements: installed with what they need.
        bare: installed without what they ask for, before `requirements`.
    """

    name: str
    requirements: tuple[str, ...]
    bare: tuple[str, ...] = ()


OPENSMILE = Environment("opensmile", ("opensmile>=2.6,<3", "soundfile>=0.13", "soxr>=0.5", "numpy>=1.26"))

NKULULEKO = Environment(
    "nkululeko",
    (
        *("audeer", "audformat", "audinterface", "audiofile", "audmetric", "audplot", "confidence-intervals"),
        *("matplotlib", "opensmile>=2.6,<3", "pandas<3", "scikit-learn<1.11", "scipy", "seaborn", "tqdm", "xgboost"),
    ),
    # All that it asks for includes CUDA builds of torch, Hub models, a translator and a text-setting system; openSMILE
    # with an SVM or boosted trees needs none of them.
    bare=("nkululeko==1.14.1",),
)


def peers_dir() -> Path:
    """Where environments and features of peers are kept for this user; safe to delete at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "speech-emotion-studio" / "peers"


def ensure_environment(environment: Environment, folder: Path) -> Path:
    """The Python of an environment, which is made where it is missing or of other packages.

    Args:
        environment: what it holds.
        folder: that holds the environments.

    Raises:
        PeerError: where pip fails.
    """
    place = folder / "environments" / environment.name
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = {
        "python": sys.version.split()[0],
        "bare": list(environment.bare),
        "requirements": list(environment.requirements),
    }
    stamp = place / STAMP
    if stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == wanted:
        return python
    print(f"making the environment {place} ...", file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place)
    if environment.bare:
        _install(python, ["--no-deps", *environment.bare])
    if environment.requirements:
        _install(python, environment.requirements)
    stamp.write_text(json.dumps(wanted), encoding="utf-8")
    return python


def version_in(python: Path, package: str) -> str:
    """The version of a package in an environment.

    Raises:
        PeerError: where it is not there.
    """
    return run_in(python, ["-c", f"import importlib.metadata as m; print(m.version('{package}'))"]).strip()


def run_in(python: Path, arguments: Sequence[str], *, text: str = "", cwd: Path | None = None) -> str:
    """Run an environment's Python on one thread, and return what it prints.

    Args:
        python: of the environment.
        arguments: of the call.
        text: for its standard input.
        cwd: folder it runs in.

    Raises:
        PeerError: where it fails; with the last lines it wrote.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # Another environment's packages must come from there alone.
    surroundings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(python), *arguments],
        input=text,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=surroundings | threads,
        check=False,
    )
    if done.returncode:
        raise PeerError(f"{python.parent.parent.name} failed ({done.returncode}): {done.stderr.strip()[-600:]}")
    return done.stdout


def _install(python: Path, packages: Sequence[str]) -> None:
    # Our own pip installs there: an environment without pip is made in a tenth of the time.
    run_in(Path(sys.executable), ["-m", "pip", "--python", str(python), "install", "--quiet", *packages])
