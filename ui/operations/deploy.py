"""`ser-studio deploy USER/NAME`: puts the page on a Hugging Face Space, with a private store for what people give it.

Each step is a sentence and an act: a dry run prints the sentences, needs no token and reaches nothing.
"""

import argparse
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from annotations.exchange.exports.publishing import make_repository, plain_hub_errors, reach_hub
from ser.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]

UPLOADED = ("app.py", "README.md", "LICENSE", "requirements.txt", "ser", "annotations", "ui", "docs")
LEFT_OUT = ("__pycache__", "*.pyc", ".*")

ZERO_GPU = "zero-a10g"
ZERO_GPU_TORCH = "torch>=2.8,<2.12"
"""Versions of torch that ZeroGPU has: 2.8 to 2.11. Source: https://huggingface.co/docs/hub/spaces-zerogpu"""

STORE_TOKEN = "SER_STORE_TOKEN"
"""Environment variable with the token that the Space writes its store with; nobody but the Space reads it there."""


@dataclass(frozen=True)
class Plan:
    """A deployment.

    Attributes:
        space: USER/NAME.
        private: whether only its owners see the Space.
        store: address of the place elsewhere; empty for none.
        zero_gpu: whether it runs on ZeroGPU.
        source: folder of the program.
        variables: further variables of the Space.
    """

    space: str
    private: bool = False
    store: str = ""
    zero_gpu: bool = False
    source: Path = ROOT
    variables: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.space):
            raise SettingsError(f"The Space is '{self.space}'; expected USER/NAME, as in its address on the Hub.")
        missing = [name for name in UPLOADED[:6] if not (self.source / name).exists()]
        if missing:
            raise SettingsError(
                f"{self.source} is not the program's folder: {', '.join(missing)} are not there. Get the source, and "
                "run `python app.py deploy` in it, or name it with --source."
            )

    @property
    def dataset(self) -> str:
        """The data set of the Hub that is the store; empty if the store is something else."""
        found = re.fullmatch(r"hf://datasets/([\w.-]+/[\w.-]+)/?", self.store)
        return found[1] if found else ""

    @property
    def address(self) -> str:
        """Address of the page itself."""
        return f"https://{re.sub(r'[^a-z0-9]+', '-', self.space.lower()).strip('-')}.hf.space"


@dataclass(frozen=True)
class Step:
    """One act of a deployment.

    Attributes:
        said: what it does, for people.
        act: does it.
    """

    said: str
    act: Callable[[HfApi], object]


def steps_of(plan: Plan, environ: Mapping[str, str] = os.environ) -> Iterator[Step]:
    """The steps of a deployment, in order.

    Args:
        plan: of the deployment.
        environ: variables; the store's token comes from there.
    """
    seen = "seen by its owners alone" if plan.private else "seen by everybody"
    hardware = ZERO_GPU if plan.zero_gpu else "cpu-basic"
    yield Step(
        f"Make the Space {plan.space}: Gradio, {hardware}, {seen}. If it is there, it stays as it is.",
        lambda api: api.create_repo(
            plan.space,
            repo_type="space",
            space_sdk="gradio",
            space_hardware=hardware,
            private=plan.private,
            exist_ok=True,
        ),
    )
    if plan.dataset:
        yield Step(
            f"Make the data set {plan.dataset}, private: the store's copy, without which a restart loses everything.",
            lambda api: make_repository(api, plan.dataset, "dataset", True),
        )
    variables = {"SER_LOG": "json", **({"SER_STORE": plan.store} if plan.store else {}), **dict(plan.variables)}
    for name, value in variables.items():
        yield Step(f"Set the variable {name}={value}.", _setter(plan.space, name, value))
    if plan.store:
        token = environ.get(STORE_TOKEN, "")
        yield Step(
            f"Set the secret HF_TOKEN to the token in {STORE_TOKEN} ({'given' if token else 'NOT GIVEN'}): one that "
            f"may write {plan.dataset or 'the store'} and nothing else.",
            lambda api: api.add_space_secret(plan.space, "HF_TOKEN", token),
        )
    metrics = secrets.token_urlsafe(24)
    yield Step(
        "Set the secret SER_METRICS_TOKEN, drawn at random: with it the metrics are read.",
        lambda api: api.add_space_secret(plan.space, "SER_METRICS_TOKEN", metrics),
    )
    count, size = _weigh(plan.source)
    torch = f", {ZERO_GPU_TORCH} in requirements.txt as ZeroGPU has it" if plan.zero_gpu else ""
    yield Step(
        f"Upload {count} file{'' if count == 1 else 's'}, {size / 1e6:.1f} MB, of {plan.source}: "
        f"{', '.join(UPLOADED)}{torch}.",
        lambda api: _upload(api, plan),
    )


def run_deploy(arguments: Sequence[str], environ: Mapping[str, str] = os.environ, api: HfApi | None = None) -> int:
    """Deploy, or say what would be done.

    Raises:
        SettingsError: if an option cannot be used.
        ExchangeError: if the Hub refuses or is out of reach.
    """
    options = _parser().parse_args(arguments)
    plan = Plan(
        options.space,
        options.private,
        _store(options.store, options.space),
        options.zero_gpu,
        options.source,
        tuple(options.variable),
    )
    steps = list(steps_of(plan, environ))
    if not options.dry_run and plan.store and not environ.get(STORE_TOKEN):
        raise SettingsError(
            f"The Space needs a token for its store. Make one on the Hub that may write {plan.dataset or plan.store} "
            f"and nothing else, put it into {STORE_TOKEN}, and run this again. --store none goes without; then every "
            "restart of the Space loses everything."
        )
    hub = None if options.dry_run else reach_hub(api)
    for number, step in enumerate(steps, start=1):
        print(f"{number}/{len(steps)} {step.said}", flush=True)
        if hub is not None:
            with plain_hub_errors(
                f"{plan.space} could not be deployed at step {number} ({{reason}}). Mend it, run again."
            ):
                step.act(hub)
    if not plan.store:
        print("Nothing is saved elsewhere: every restart of the Space loses all recordings and votes.")
    done = "Nothing was done. It would be" if options.dry_run else "It is"
    print(f"{done} at {plan.address} (https://huggingface.co/spaces/{plan.space}).")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ser-studio deploy", description="Put the page on a Hugging Face Space.")
    parser.add_argument("space", metavar="USER/NAME", help="the Space; made if it is missing")
    parser.add_argument("--private", action="store_true", help="only its owners see the Space")
    parser.add_argument(
        "--store",
        default="",
        metavar="URL",
        help="where everything is saved, too; `none` for nowhere (default: the private data set USER/NAME-store)",
    )
    parser.add_argument("--zero-gpu", action="store_true", help="on ZeroGPU, with a version of torch that it has")
    parser.add_argument(
        "--variable", type=_pair, action="append", default=[], metavar="NAME=VALUE", help="of the Space"
    )
    parser.add_argument("--source", type=Path, default=ROOT, metavar="DIR", help="the program (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="only say each step; needs no token")
    return parser


def _store(asked: str, space: str) -> str:
    return "" if asked == "none" else asked or f"hf://datasets/{space}-store"


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        raise argparse.ArgumentTypeError(f"'{text}' is no NAME=VALUE, such as SER_MAINTAINERS=ann,bob")
    return name, value


def _setter(space: str, name: str, value: str) -> Callable[[HfApi], object]:
    return lambda api: api.add_space_variable(space, name, value)


def _weigh(source: Path) -> tuple[int, int]:
    """Number and bytes of the files that are uploaded."""
    with tempfile.TemporaryDirectory(prefix="deploy-") as scratch:
        files = [path for path in _gather(source, Path(scratch)).rglob("*") if path.is_file()]
        return len(files), sum(path.stat().st_size for path in files)


def _gather(source: Path, folder: Path) -> Path:
    """Copy what is uploaded, and nothing that lies next to it, such as a store."""
    for name in UPLOADED:
        path = source / name
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        elif path.is_file():
            shutil.copyfile(path, folder / name)
    return folder


def _upload(api: HfApi, plan: Plan) -> None:
    with tempfile.TemporaryDirectory(prefix="deploy-") as scratch:
        folder = _gather(plan.source, Path(scratch))
        if plan.zero_gpu:
            listed = folder / "requirements.txt"
            text, changed = re.subn(r"(?m)^torch[>=<].*$", ZERO_GPU_TORCH, listed.read_text(encoding="utf-8"))
            if changed != 1:
                raise SettingsError(f"{plan.source / 'requirements.txt'} names torch {changed} times; expected once.")
            listed.write_text(text, encoding="utf-8")
        api.upload_folder(
            repo_id=plan.space, repo_type="space", folder_path=folder, commit_message="Deploy Speech Emotion Studio"
        )
