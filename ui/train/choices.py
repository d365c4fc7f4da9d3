"""Choices of the train tab: targets, layers, and their names."""

from annotations.learning.config import BY_PRESET
from annotations.learning.versions.active import ActiveModel
from ser.acoustic.model import HeadModel

TARGET_NAMES = {
    "acoustic": "Voice",
    "text": "Words",
    "fusion": "Fusion of voice and words",
    "transcriber": "Transcripts",
}

HEAD_CHOICES = {"Preset default": BY_PRESET, "Classifier head": "head"}
"""Layers of the embedded model that can be trained: its encoder is frozen."""

ENCODER_CHOICES = {
    "Preset default": BY_PRESET,
    "Classifier head": "head",
    "Head only, encoder frozen": "frozen",
    "Last 2 encoder layers": "top-k:2",
    "LoRA": "lora",
    "AdaLoRA": "adalora",
    "All layers": "full",
}
"""Layers of a pretrained encoder that can be trained."""


def is_tuned_whole(active: ActiveModel) -> bool:
    """True if the current acoustic model is a checkpoint whose encoder can be trained, too."""
    return not isinstance(active.recognizer.acoustic, HeadModel)
