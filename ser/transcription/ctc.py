"""Transcribes with any transformers checkpoint that spells letter by letter: wav2vec2, HuBERT, WavLM... with CTC.

Reads the likeliest letters off, without a language model.
"""

import threading
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer

from ser.errors import ModelUnavailableError
from ser.transcription.chunks import group_regions
from ser.transcription.words import Piece, join_pieces
from ser.types import SAMPLING_RATE, Audio, Segment, SpeechRegion, Transcript


class CtcTranscriber:
    """A `Transcriber`; calls from several threads wait for each other, so as not to compete for the cores.

    Args:
        folder: of the checkpoint.
        device: `cpu` or `cuda`.
        name: for people; by default the folder's.

    Raises:
        ModelUnavailableError: if the checkpoint expects another rate than 16 kHz.
    """

    def __init__(self, folder: Path, device: str = "cpu", name: str | None = None) -> None:
        self.name = name or folder.name
        self._extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
        if self._extractor.sampling_rate != SAMPLING_RATE:
            raise ModelUnavailableError(
                f"'{self.name}' expects {self._extractor.sampling_rate} Hz; {SAMPLING_RATE} Hz is needed. "
                "Name another checkpoint."
            )
        self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self._model = (
            AutoModelForCTC.from_pretrained(folder, use_safetensors=True, trust_remote_code=False).to(device).eval()
        )
        self._lock = threading.Lock()

    def transcribe(self, audio: Audio, regions: Sequence[SpeechRegion]) -> Transcript:
        """The words within the regions, with times and confidences; the language is not told."""
        words: list[Segment] = []
        for stretch in group_regions(regions, audio.duration):
            words += self._spell(audio.crop(stretch.start, stretch.end), stretch.start)
        return Transcript(" ".join(word.text for word in words), None, tuple(words), self.name)

    def _spell(self, part: Audio, offset: float) -> list[Segment]:
        inputs = self._extractor(part.signal, sampling_rate=SAMPLING_RATE, return_tensors="pt")
        with self._lock, torch.inference_mode():
            logits = self._model(**inputs.to(self._model.device)).logits[0]
        probabilities, ids = logits.float().softmax(-1).max(-1)
        seconds = part.duration / len(ids)
        pieces = []
        for token_id, run in groupby(range(len(ids)), key=ids.tolist().__getitem__):
            frames = list(run)
            if token_id == self._tokenizer.pad_token_id or token_id in self._special_ids():
                continue
            token = self._tokenizer.convert_ids_to_tokens(token_id)
            sure = float(np.mean([float(probabilities[frame]) for frame in frames]))
            pieces.append(Piece(token, offset + frames[0] * seconds, offset + (frames[-1] + 1) * seconds, sure))
        return join_pieces(pieces, self._text, getattr(self._tokenizer, "word_delimiter_token", None))

    def _special_ids(self) -> set[int]:
        """The blank and its like; a word delimiter may be registered as special, and is none here."""
        return set(self._tokenizer.all_special_ids) - {getattr(self._tokenizer, "word_delimiter_token_id", None)}

    def _text(self, tokens: Sequence[str]) -> str:
        if getattr(self._tokenizer, "word_delimiter_token", None) is not None:
            return "".join(tokens)
        return str(self._tokenizer.convert_tokens_to_string(list(tokens)))
