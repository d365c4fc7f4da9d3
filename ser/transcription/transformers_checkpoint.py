"""Loads a transcriber from a folder of a speech recognition checkpoint of transformers; runs no code of it.

Decides by its config.json what it is; the transcribers themselves are in `whisper.py` and `ctc.py`.
"""

from pathlib import Path

from transformers import AutoConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CTC_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)

from ser.acoustic.checkpoint import LOADING_ERRORS, describe_failure
from ser.checkpoints.folder import check_weights
from ser.checkpoints.hub import pick_device
from ser.errors import ModelUnavailableError
from ser.transcription.ctc import CtcTranscriber
from ser.transcription.whisper import WhisperTranscriber
from ser.types import Transcriber


def load_transformers(folder: Path, device: str = "cpu", name: str | None = None) -> Transcriber:
    """Load a checkpoint that writes words (Whisper and its like) or spells letters (wav2vec2-CTC and its like).

    Args:
        folder: with config.json, *.safetensors, and the files of its processor.
        device: `cpu`, `cuda` or `auto`.
        name: for people; by default the folder's.

    Raises:
        ModelUnavailableError: if it is another kind of model, damaged, or incomplete.
    """
    check_weights(folder)
    device = pick_device(device)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        architecture = (config.architectures or [""])[0]
        if architecture == MODEL_FOR_CTC_MAPPING_NAMES.get(config.model_type):
            return CtcTranscriber(folder, device, name)
        if architecture == MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES.get(config.model_type):
            return WhisperTranscriber(folder, device, name)
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(
            f"The checkpoint in '{folder}' cannot be loaded: {describe_failure(error)}"
        ) from error
    raise ModelUnavailableError(
        f"The checkpoint in '{folder}' is a {architecture or config.model_type}; a speech recognition model is "
        "expected, such as WhisperForConditionalGeneration or Wav2Vec2ForCTC. Name another one."
    )
