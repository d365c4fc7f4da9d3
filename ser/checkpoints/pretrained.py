"""Reads parts of transformers' checkpoints without running any code that comes with them. Needs transformers.

Turns what the library raises into `ModelUnavailableError`; knows no task and no weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ser.checkpoints.hub import resolve_checkpoint
from ser.errors import ModelUnavailableError
from ser.types import SAMPLING_RATE

LOCAL = {"local_files_only": True, "trust_remote_code": False}
"""Arguments of every `from_pretrained`: no network, and no code that comes with a checkpoint."""

LOADING_ERRORS = (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, SafetensorError)
"""Errors that transformers raises on settings or weights that it cannot use."""


def load_config(folder: Path) -> Any:
    """Read config.json as transformers does, without running any code that comes with the checkpoint.

    Raises:
        ModelUnavailableError: if it is absent, damaged, or of an architecture that transformers does not know.
    """
    if not (folder / "config.json").is_file():
        # transformers would take the name for a Hub id, and spend a minute asking for it where there is no network.
        raise ModelUnavailableError(f"There is no config.json in {folder}; the folder of a model is expected.")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(
            f"{folder} holds no model that transformers knows: {describe_failure(error)}"
        ) from error


def load_extractor(folder: Path) -> Any:
    """Load the feature extractor of a checkpoint.

    Raises:
        ModelUnavailableError: if it cannot be loaded, or is for another sampling rate than 16 kHz.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(
            f"The feature extractor of {folder} cannot be loaded: {describe_failure(error)}"
        ) from error
    rate = getattr(extractor, "sampling_rate", None)
    if rate != SAMPLING_RATE:
        raise ModelUnavailableError(
            f"The model in {folder} takes audio at {rate} Hz; {SAMPLING_RATE} Hz is expected. Take another checkpoint."
        )
    return extractor


def load_language_network(kind: Any, checkpoint: str | Path, device: str, what: str) -> tuple[Any, Any]:
    """Load a language model whose every weight was trained, and its tokenizer.

    Args:
        kind: class of transformers; None for whichever predicts words by its tokenizer.
        checkpoint: a folder, or an id on the hub.
        device: `cpu` or `cuda`.
        what: is expected, for messages.

    Raises:
        ModelUnavailableError: if it is absent, damaged, or has no head that predicts words.
    """
    folder = resolve_checkpoint(checkpoint)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
        kind = kind or (AutoModelForCausalLM if tokenizer.mask_token is None else AutoModelForMaskedLM)
        with quiet_loading():
            model, report = kind.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, dtype="float32", **LOCAL
            )
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(f"'{checkpoint}' cannot be loaded as {what}: {describe_failure(error)}") from error
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:2])
        raise ModelUnavailableError(
            f"'{checkpoint}' has no head that predicts words ({missing} missing). Take it as it was pretrained."
        )
    return model.to(device).eval(), tokenizer


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence transformers while a model is loaded: bars and warnings of missing weights are for notebooks."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def describe_failure(error: BaseException) -> str:
    """Return the first line of what transformers says, or words of this program if it advises to run foreign code."""
    if "trust_remote_code" in str(error):
        return "it needs code of its own (auto_map in config.json), which is never run here. Take another checkpoint."
    return str(error).strip().partition("\n")[0] or type(error).__name__
