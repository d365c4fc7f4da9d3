"""One way to any encoder: the embedded one, or a checkpoint of transformers by folder or id."""

import importlib
from functools import lru_cache
from typing import cast

from ser.config import EMBEDDED
from ser.encoder.embedded import embedded_encoder
from ser.encoder.windows import Encoder


@lru_cache(maxsize=4)
def load_encoder(name: str = EMBEDDED, device: str = "cpu") -> Encoder:
    """Load an encoder, once in each process.

    Args:
        name: `embedded`, or the folder or hub id of any audio encoder that transformers knows (wav2vec2, HuBERT,
            WavLM, Whisper).
        device: of torch; the embedded encoder runs on the CPU.

    Raises:
        ModelUnavailableError: if it is absent, damaged, or no audio encoder.
    """
    if name == EMBEDDED:
        return embedded_encoder()
    # Only here is torch brought in.
    pretrained = importlib.import_module("ser.encoder.pretrained")
    return cast(Encoder, pretrained.open_encoder(name, device))
