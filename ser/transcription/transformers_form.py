"""Transcribes with checkpoints of transformers that write words (Whisper...) or spell letters (wav2vec2 with CTC...).

Takes stretches of speech of up to 28 s one by one, so recordings may be of any length. Runs no code of a checkpoint.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForCTC, AutoModelForSpeechSeq2Seq, AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CTC_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)

from ser.checkpoints.folder import check_weights
from ser.checkpoints.hub import pick_device
from ser.checkpoints.pretrained import LOADING_ERRORS, LOCAL, describe_failure
from ser.errors import ModelUnavailableError
from ser.protocols import Transcriber
from ser.transcription.windows import group_regions
from ser.types import SAMPLING_RATE, Audio, Segment, SpeechRegion, Transcript

WORD_MARKS = ("Ġ", "▁", " ")
"""First characters of pieces that begin a word, in byte-level BPE, in SentencePiece, and in plain vocabularies."""


def load_transformers(folder: Path, device: str = "cpu", name: str | None = None) -> Transcriber:
    """Load a checkpoint; its config.json tells which of the two kinds it is.

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
        config = AutoConfig.from_pretrained(folder, **LOCAL)
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


class _Checkpoint:
    """A network with its extractor and tokenizer; calls from several threads wait, not to compete for the cores.

    Args:
        folder: of the checkpoint.
        device: `cpu` or `cuda`.
        name: for people; by default the folder's.

    Raises:
        ModelUnavailableError: if the checkpoint expects another rate than 16 kHz.
    """

    kind: ClassVar[Any]
    """Class of transformers that loads it."""

    def __init__(self, folder: Path, device: str = "cpu", name: str | None = None) -> None:
        self.name = name or folder.name
        self._extractor = AutoFeatureExtractor.from_pretrained(folder, **LOCAL)
        if self._extractor.sampling_rate != SAMPLING_RATE:
            raise ModelUnavailableError(
                f"'{self.name}' expects {self._extractor.sampling_rate} Hz; {SAMPLING_RATE} Hz is needed. "
                "Name another checkpoint."
            )
        self._tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
        self._model: Any = self.kind.from_pretrained(folder, use_safetensors=True, **LOCAL).to(device).eval()
        self._lock = threading.Lock()


class CtcTranscriber(_Checkpoint):
    """A `Transcriber` that reads the likeliest letters off, without a language model."""

    kind = AutoModelForCTC

    def transcribe(self, audio: Audio, regions: Sequence[SpeechRegion]) -> Transcript:
        """Transcribe the regions, with times and confidences; the language stays unknown."""
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
        delimiter = getattr(self._tokenizer, "word_delimiter_token", None)
        # The blank and its like; a word delimiter may be registered as special, and is none here.
        special = {self._tokenizer.pad_token_id, *self._tokenizer.all_special_ids}
        special -= {getattr(self._tokenizer, "word_delimiter_token_id", None)}
        pieces = []
        for token_id, run in groupby(range(len(ids)), key=ids.tolist().__getitem__):
            frames = list(run)
            if token_id in special:
                continue
            token = self._tokenizer.convert_ids_to_tokens(token_id)
            sure = float(np.mean([float(probabilities[frame]) for frame in frames]))
            pieces.append(Piece(token, offset + frames[0] * seconds, offset + (frames[-1] + 1) * seconds, sure))
        return join_pieces(pieces, "".join if delimiter is not None else self._text, delimiter)

    def _text(self, tokens: Sequence[str]) -> str:
        return str(self._tokenizer.convert_tokens_to_string(list(tokens)))


class WhisperTranscriber(_Checkpoint):
    """A `Transcriber` that writes words: Whisper of any size, and other encoder-decoders."""

    kind = AutoModelForSpeechSeq2Seq

    @property
    def _is_whisper(self) -> bool:
        return bool(self._model.config.model_type == "whisper")

    def transcribe(self, audio: Audio, regions: Sequence[SpeechRegion]) -> Transcript:
        """Transcribe the regions, with times of words if the checkpoint aligns them, else phrase by phrase."""
        words: list[Segment] = []
        language = None
        for stretch in group_regions(regions, audio.duration):
            with self._lock, torch.inference_mode():
                inputs = self._extractor(
                    audio.crop(stretch.start, stretch.end).signal,
                    sampling_rate=SAMPLING_RATE,
                    return_tensors="pt",
                    return_attention_mask=True,
                ).to(self._model.device)
                language = language or self._detect_language(inputs)
                words += self._write(inputs, stretch, language)
        return Transcript(" ".join(word.text for word in words), language, tuple(words), self.name)

    def _detect_language(self, inputs: Any) -> str | None:
        """Detect it on the first stretch; None for checkpoints that cannot, `en` for English-only Whispers."""
        if not self._is_whisper:
            return None
        if not getattr(self._model.generation_config, "lang_to_id", None):
            return "en" if getattr(self._model.generation_config, "is_multilingual", None) is False else None
        token_id = int(self._model.detect_language(inputs["input_features"])[0])
        return str(self._tokenizer.convert_ids_to_tokens(token_id)).strip("<|>")

    def _write(self, inputs: Any, stretch: SpeechRegion, language: str | None) -> list[Segment]:
        aligned = self._is_whisper and bool(getattr(self._model.generation_config, "alignment_heads", None))
        options: dict[str, Any] = (
            {"return_timestamps": False, "force_unique_generate_call": True} if self._is_whisper else {}
        )
        if aligned:
            options["return_token_timestamps"] = True
        if self._is_whisper and language and getattr(self._model.generation_config, "lang_to_id", None):
            options |= {"language": language, "task": "transcribe"}
        output = self._model.generate(**inputs, return_dict_in_generate=True, output_scores=True, **options)
        # By key: it is a plain dict where timestamps are asked for, and a ModelOutput otherwise.
        written = len(output["scores"])
        ids = output["sequences"][0, -written:].tolist()
        steps = zip(output["scores"], ids, strict=True)
        sure = [float(scores[0].float().softmax(-1)[token_id]) for scores, token_id in steps]
        starts = output["token_timestamps"][0, -written:].tolist() if aligned else [0.0] * written
        duration = stretch.end - stretch.start
        pieces = []
        for index, token_id in enumerate(ids):
            if token_id in self._tokenizer.all_special_ids or token_id >= len(self._tokenizer):
                continue
            end = starts[index + 1] if aligned and index + 1 < written else duration
            start, end = min(starts[index], duration), min(max(starts[index], end), duration)
            token = self._tokenizer.convert_ids_to_tokens(token_id)
            pieces.append(Piece(token, stretch.start + start, stretch.start + end, sure[index]))
        words = join_pieces(pieces, lambda tokens: str(self._tokenizer.convert_tokens_to_string(list(tokens))))
        if aligned or not words:
            return words
        # One segment over the whole stretch: nothing is known of when a word was said.
        confidence = sum(word.confidence or 0.0 for word in words) / len(words)
        return [Segment(stretch.start, stretch.end, " ".join(word.text for word in words), confidence)]


@dataclass(frozen=True)
class Piece:
    """A token as the vocabulary spells it; times in seconds, probability in 0..1."""

    token: str
    start: float
    end: float
    probability: float


def join_pieces(
    pieces: Iterable[Piece], spell: Callable[[Sequence[str]], str], delimiter: str | None = None
) -> list[Segment]:
    """Join a tokenizer's pieces into words in order; each is as sure as its pieces are on average.

    Args:
        pieces: without special tokens.
        spell: turns the tokens of a word into its text.
        delimiter: a token that stands between words, if the vocabulary has one.

    >>> pieces = [Piece("▁so", 0.0, 0.2, 0.5), Piece("me", 0.2, 0.3, 1.0), Piece("▁day", 0.3, 0.6, 0.8)]
    >>> [(word.text, word.end, word.confidence) for word in join_pieces(pieces, lambda t: "".join(t).strip("▁"))]
    [('some', 0.3, 0.75), ('day', 0.6, 0.8)]
    """
    groups: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.token == delimiter:
            groups.append([])
        elif piece.token.startswith(WORD_MARKS):
            groups.append([piece])
        else:
            groups[-1].append(piece)
    words = []
    for group in groups:
        text = spell([piece.token for piece in group]).strip() if group else ""
        if text:
            confidence = sum(piece.probability for piece in group) / len(group)
            words.append(Segment(group[0].start, group[-1].end, text, min(1.0, confidence)))
    return words
