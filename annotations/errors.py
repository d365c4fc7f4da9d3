"""Errors of the store, with messages that are safe to show to a person."""

from ser.errors import SerError


class StoreError(SerError):
    """The store cannot be opened, read or written: no space, no permission, damage, a newer schema."""


class ClipNotFoundError(SerError):
    """No clip with that id, or its recording is missing."""


class ConsentRequiredError(SerError):
    """No purpose of a recording was consented to."""


class InvalidVoteError(SerError):
    """A vote holds something that cannot be: an unknown label, an intensity out of range, no rater."""


class NothingToUndoError(SerError):
    """The rater has no vote left that could be taken back."""


class TrainingInProgressError(SerError):
    """Another training run has not ended."""


class VersionNotFoundError(SerError):
    """No model version with that id, or no current version yet."""


class ExchangeError(SerError):
    """Something to import cannot be read, or an export cannot be written."""


class UnmappedTableError(ExchangeError):
    """A table to import has no column that is known to name recordings."""

    def __init__(self, message: str, headers: tuple[str, ...]) -> None:
        super().__init__(message)
        self.headers = headers


class InvalidSettingError(SerError):
    """A setting of the annotation is not what it can be."""


class ElsewhereError(StoreError):
    """The store elsewhere is out of reach or refuses; a later try may succeed.

    Attributes:
        retry_after: seconds that it asks to be left alone; None if it says nothing.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MovedOnError(ElsewhereError):
    """Something was written elsewhere since it was last looked at: look again."""


class TakenOverError(StoreError):
    """Another program writes to the store elsewhere."""
