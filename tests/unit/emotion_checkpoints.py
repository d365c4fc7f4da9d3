"""Tiny, randomly initialised audio classification checkpoints, written to disk in the form that real ones have."""

from pathlib import Path

import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    HubertConfig,
    HubertForSequenceClassification,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WavLMConfig,
    WavLMForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

IEMOCAP = ("ang", "hap", "neu", "sad")


SPEECH_MODELS = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2ForSequenceClassification),
    "hubert": (HubertConfig, HubertForSequenceClassification),
    "wavlm": (WavLMConfig, WavLMForSequenceClassification),
}


def write_classifier(
    folder: Path, kind: str, labels: tuple[str, ...] = IEMOCAP, rate: int = 16_000, layers: int = 1
) -> Path:
    """A tiny random checkpoint of a published architecture."""
    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    size = {"hidden_size": 16, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 16}
    if kind in SPEECH_MODELS:
        shape = {"conv_dim": (8, 8), "conv_stride": (20, 16), "conv_kernel": (20, 16), "num_conv_pos_embeddings": 4}
        extra = {"num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2, "classifier_proj_size": 8}
        shape_of, model_of = SPEECH_MODELS[kind]
        network = model_of(shape_of(**size, **shape, **extra, **names))
        extractor = Wav2Vec2FeatureExtractor(sampling_rate=rate)
    elif kind == "whisper":
        shape = {"d_model": 16, "encoder_layers": layers, "encoder_attention_heads": 2, "encoder_ffn_dim": 16}
        decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 10}
        tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
        network = WhisperForAudioClassification(WhisperConfig(**shape, **decoder, **tokens, **names))
        extractor = WhisperFeatureExtractor(sampling_rate=rate)
    else:
        network = ASTForAudioClassification(ASTConfig(**size, max_length=128, **names))
        extractor = ASTFeatureExtractor(max_length=128, sampling_rate=rate)
    network.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder
