"""Transcribes with any transformers checkpoint that writes words: Whisper of any size, and other encoder-decoders.

Takes stretches of speech of up to 28 s one by one, so recordings may be of any length.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoFeatureExtractor, AutoModelForSpeechSeq2Seq, AutoTokenizer

from ser.errors import ModelUnavailableError
from ser.transcription.chunks import group_regions
from ser.transcription.words import Piece, join_pieces
from ser.types import SAMPLING_RATE, Audio, Segment, SpeechRegion, Transcript


class WhisperTranscriber:
    """A `Transcriber`; calls from several threads wait for each other, so as not to compete for the cores.

    Args:
        folder: of the checkpoint.
        device: `cpu` or `cuda`.
        name: for people; by default the folder's.
        language: ISO 639-1 code of what is spoken; None to detect it, where the checkpoint can.

    Raises:
        ModelUnavailableError: if the checkpoint expects another rate than 16 kHz.
    """

    def __init__(
        self, folder: Path, device: str = "cpu", name: str | None = None, *, language: str | None = None
    ) -> None:
        self.name = name or folder.name
        self._extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
        if self._extractor.sampling_rate != SAMPLING_RATE:
            raise ModelUnavailableError(
                f"'{self.name}' expects {self._extractor.sampling_rate} Hz; {SAMPLING_RATE} Hz is needed. "
                "Name another checkpoint."
            )
        self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self._model = (
            AutoModelForSpeechSeq2Seq.from_pretrained(folder, use_safetensors=True, trust_remote_code=False)
            .to(device)
            .eval()
        )
        self._language = language
        self._is_whisper = self._model.config.model_type == "whisper"
        self._lock = threading.Lock()

    def transcribe(self, audio: Audio, regions: Sequence[SpeechRegion]) -> Transcript:
        """The words within the regions, with times where the checkpoint aligns them, else phrase by phrase."""
        words: list[Segment] = []
        language = self._language
        for stretch in group_regions(regions, audio.duration):
            with self._lock, torch.inference_mode():
                inputs = self._inputs(audio.crop(stretch.start, stretch.end))
                language = language or self._detect_language(inputs)
                words += self._write(inputs, stretch, language)
        return Transcript(" ".join(word.text for word in words), language, tuple(words), self.name)

    def _inputs(self, part: Audio) -> Any:
        inputs = self._extractor(
            part.signal, sampling_rate=SAMPLING_RATE, return_tensors="pt", return_attention_mask=True
        )
        return inputs.to(self._model.device)

    def _detect_language(self, inputs: Any) -> str | None:
        """Of the first stretch; None for checkpoints that cannot tell, `en` for Whispers that know nothing else."""
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
        return words if aligned else _as_phrase(words, stretch)


def _as_phrase(words: list[Segment], stretch: SpeechRegion) -> list[Segment]:
    """One segment over the whole stretch, for checkpoints that do not tell when a word was said."""
    if not words:
        return []
    confidence = sum(word.confidence or 0.0 for word in words) / len(words)
    return [Segment(stretch.start, stretch.end, " ".join(word.text for word in words), confidence)]
