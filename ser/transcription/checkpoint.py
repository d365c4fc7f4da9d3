"""Loads a transcriber from a folder of a transformers speech recognition checkpoint.

Decides by the checkpoint's own words what it is; the recognisers themselves are in `whisper.py` and `ctc.py`.
"""

from pathlib import Path

from safetensors import SafetensorError
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CTC_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)

from ser.errors import ModelUnavailableError
from ser.transcription.ctc import CtcTranscriber
from ser.transcription.whisper import WhisperTranscriber
from ser.types import Transcriber


def load_checkpoint(folder: Path, device: str = "cpu", name: str | None = None) -> Transcriber:
    """Load a checkpoint that writes words (Whisper and its like) or spells letters (wav2vec2-CTC and its like).

    Args:
        folder: with config.json, *.safetensors, and the files of its processor.
        device: `cpu` or `cuda`.
        name: to show; the folder's own where it is not given.

    Raises:
        ModelUnavailableError: where it is another kind of model, damaged, or incomplete.
    """
    try:
        config = AutoConfig.from_pretrained(folder)
        architecture = (config.architectures or [""])[0]
        if architecture == MODEL_FOR_CTC_MAPPING_NAMES.get(config.model_type):
            return CtcTranscriber(folder, device, name)
        if architecture == MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES.get(config.model_type):
            return WhisperTranscriber(folder, device, name)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelUnavailableError(f"The checkpoint in '{folder}' cannot be loaded: {reason}") from error
    raise ModelUnavailableError(
        f"The checkpoint in '{folder}' is a {architecture or config.model_type}; a speech recognition model is "
        "expected, such as WhisperForConditionalGeneration or Wav2Vec2ForCTC. Name another one."
    )
