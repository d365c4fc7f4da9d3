"""The embedded transcriber as a checkpoint of transformers, to be fine-tuned, and back. Brings torch in."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ctranslate2.converters import TransformersConverter
from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor

from ser.checkpoints.pretrained import quiet_loading
from ser.encoder.torch_form import load_whisper
from ser.errors import TrainingDataError
from ser.transcription.checkpoint import TOKENIZER_FILE

CONFIG_FILE = "config.json"

NO_TIMESTAMPS = 50362
"""Token that asks for words without times. Source: OpenAI's tokenizer of the English-only Whispers."""


def to_transformers(folder: Path, out: Path) -> None:
    """Write a folder in CTranslate2's form, of Whisper tiny.en's sizes, as a checkpoint of transformers.

    Args:
        folder: the embedded weights, or a version fine-tuned from them.
        out: folder of the checkpoint; made if absent.

    Raises:
        TrainingDataError: if the model has other sizes.
        ModelUnavailableError: if it is damaged.
    """
    try:
        model = load_whisper(folder)
    except (KeyError, RuntimeError, ValueError) as error:
        raise TrainingDataError(
            f"The speech recognition model in '{folder}' is not of Whisper tiny.en's sizes; in CTranslate2's form only "
            "those can be trained. Name the checkpoint that it was converted from."
        ) from error
    known = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    model.generation_config.alignment_heads = known["alignment_heads"]
    model.generation_config.no_timestamps_token_id = NO_TIMESTAMPS
    model.generation_config.is_multilingual = False
    with quiet_loading():
        model.save_pretrained(out)
    PreTrainedTokenizerFast(tokenizer_file=str(folder / TOKENIZER_FILE)).save_pretrained(out)
    WhisperFeatureExtractor().save_pretrained(out)


def to_ctranslate2(checkpoint: Path, out: Path, source: Path) -> None:
    """Convert a checkpoint that `to_transformers` wrote, with other weights, into CTranslate2's form in half precision.

    Half precision, so that another training can go on from it; 8-bit integers are made while loading.

    Args:
        checkpoint: of transformers.
        out: folder of the model; made if absent.
        source: what `to_transformers` read: tokenizer and settings are its own.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as made:
        with quiet_loading():
            TransformersConverter(str(checkpoint)).convert(made, quantization="float16", force=True)
        for path in Path(made).iterdir():
            shutil.move(path, out / path.name)
    for name in (CONFIG_FILE, TOKENIZER_FILE):
        shutil.copyfile(source / name, out / name)


@contextmanager
def short_window(model: Any, frames: int) -> Iterator[None]:
    """Let a Whisper's encoder take `frames` of a spectrogram, although it otherwise insists on those of 30 s."""
    encoder, full = model.get_encoder(), model.config.max_source_positions
    table = encoder.embed_positions
    model.config.max_source_positions = encoder.config.max_source_positions = frames // 2
    encoder.embed_positions = torch.nn.Embedding.from_pretrained(table.weight[: frames // 2])
    try:
        yield
    finally:
        model.config.max_source_positions = encoder.config.max_source_positions = full
        encoder.embed_positions = table
