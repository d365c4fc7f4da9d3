"""Settings of a text model's training."""

from dataclasses import dataclass

from ser.config import LoopConfig
from ser.errors import SettingsError


@dataclass(frozen=True)
class TextTrainConfig(LoopConfig):
    """Settings of a text model's training.

    Attributes:
        tune: `full`, `frozen` (all but the encoder), `head` (the last layer), `top-k:N` (the last N layers and all
            after them), `lora`, `adalora`, `ia3`, `prefix` or `prompt`; the embedded encoder takes `lora` only.
        learning_rate: peak of AdamW's; 0 for the usual one of `tune`.
        dropout: before the head of the embedded model. There is none inside its encoder, where drawing the masks would
            cost a third of the time.
        max_tokens: longer texts are cut.
        class_balance: 0 weighs every row of a file alike, 1 every class; a row weighs its class's rarity to this power.
        transcript_share: share of training rows shown without case and punctuation.
        noise_share: share of training rows shown a second time, with errors of a recogniser.
        noise_rate: largest share of wrong words in such a row; drawn evenly from 0 on.
        fine_weight: of the loss of an auxiliary head on labels finer than the seven, for files that have them; the
            embedded model's only.
        adversarial: length of the step by which each sentence's token embeddings are moved to where its loss rises
            fastest, relative to their own length; the moved sentence's loss then counts as well. 0 for none.
    """

    tune: str = "lora"
    lora_rank: int = 16
    epochs: int = 2
    batch_size: int = 64
    learning_rate: float = 0.0
    warmup: float = 0.06
    dropout: float = 0.1
    max_tokens: int = 56
    class_balance: float = 0.35
    transcript_share: float = 0.3
    noise_share: float = 0.3
    noise_rate: float = 0.25
    fine_weight: float = 0.5
    adversarial: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tune == "auto":
            raise SettingsError("tune is 'auto', which is for recordings; name what of a text model is trained.")
        self._require_above_zero("max_tokens")
        self._require_shares("dropout", "class_balance", "transcript_share", "noise_share", "noise_rate")
        if self.transcript_share + self.noise_share > 1.0:
            raise SettingsError("transcript_share and noise_share are above 1 together; they are shares of all rows.")
