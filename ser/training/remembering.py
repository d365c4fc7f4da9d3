"""A trained model that is saved with its prototypes, so that whoever trains it further does not make it forget."""

from dataclasses import dataclass
from pathlib import Path

from ser.config import NO_MODEL
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS
from ser.training.memory import Prototypes, make_prototypes
from ser.training.preparation import Preparation, prepare
from ser.training.run import TrainedModel
from ser.types import Example


@dataclass(frozen=True)
class RememberingModel(TrainedModel):
    """See `TrainedModel`.

    Attributes:
        prototypes: written beside the weights; None for none.
    """

    prototypes: Prototypes | None = None

    @classmethod
    def of(cls, model: TrainedModel, prototypes: Prototypes | None) -> "RememberingModel":
        """A model with prototypes."""
        return cls(**{**vars(model), "prototypes": prototypes})

    def _save_weights(self, folder: Path) -> None:
        super()._save_weights(folder)
        if self.prototypes is not None:
            self.prototypes.save(folder)


def remember(model: TrainedModel, examples: list[Example], how: Preparation) -> RememberingModel:
    """The model with prototypes of what it was trained on.

    Args:
        model: of this project's kind.
        examples: of the base.
        how: their features are made; untouched ones suffice.
    """
    return RememberingModel.of(model, make_prototypes(model.network, prepare(examples, how)))


def require_emotions(labels: tuple[str, ...], where: Path) -> None:
    """Refuse a network that answers in other labels than `EMOTIONS`.

    Raises:
        TrainingDataError: where it does.
    """
    if labels != EMOTIONS:
        raise TrainingDataError(
            f"The model in {where} has the labels {', '.join(labels)}; {', '.join(EMOTIONS)} are expected. "
            f"Take another model, or begin from '{NO_MODEL}'."
        )
