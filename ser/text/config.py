"""How a text model is trained."""

from dataclasses import dataclass

from ser.errors import SettingsError


@dataclass(frozen=True)
class TextTrainConfig:
    """How the text model is trained; the defaults made the shipped weights.

    Attributes:
        rank: of the low-rank update of each linear layer.
        alpha: the update is scaled by alpha / rank.
        dropout: before the head. There is none inside the encoder, where drawing the masks would cost a third of
            the time.
        learning_rate: peak, reached after `warmup` and then falling linearly to 0; None for the usual one of `tune`.
        warmup: share of all steps.
        weight_decay: AdamW's, on adapter and head.
        epochs: passes over the training rows.
        batch_size: rows a step.
        max_tokens: longer texts are cut.
        class_balance: 0 weighs every row of a file alike, 1 every class; a row weighs its class's rarity to this power.
        label_smoothing: mass moved from the truth to all classes.
        transcript_share: share of training rows shown without case and punctuation.
        noise_share: share of training rows shown with errors of a recogniser besides.
        noise_rate: largest share of wrong words in such a row; drawn evenly from 0 on.
        multi_label: also train on rows with several emotions, as soft labels.
        fine_weight: of the loss of an auxiliary head on labels finer than the seven, for files that have them.
        adversarial: length of the step by which each sentence's token embeddings are moved to where its loss rises
            fastest, relative to their own length; the step's loss then counts as well. 0 for none.
        tune: which weights of a pretrained checkpoint are trained, one of `ser.text.adapters.METHODS`; the embedded
            encoder takes `lora` only.
        autocast: half precision (bfloat16).
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.1
    learning_rate: float | None = None
    warmup: float = 0.06
    weight_decay: float = 0.01
    epochs: int = 2
    batch_size: int = 64
    max_tokens: int = 56
    class_balance: float = 0.35
    label_smoothing: float = 0.0
    transcript_share: float = 0.3
    noise_share: float = 0.3
    noise_rate: float = 0.25
    multi_label: bool = True
    fine_weight: float = 0.5
    adversarial: float = 0.0
    tune: str = "lora"
    autocast: bool = True

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", "learning_rate", "epochs", "batch_size", "max_tokens"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be above 0.")
        for name in ("dropout", "warmup", "class_balance", "label_smoothing", "transcript_share", "noise_share",
                     "noise_rate"):  # fmt: skip
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must lie in 0..1.")
        if self.transcript_share + self.noise_share > 1.0:
            raise SettingsError("transcript_share and noise_share are above 1 together; they are shares of all rows.")
