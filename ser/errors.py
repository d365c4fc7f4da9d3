"""Errors whose messages are sentences that are safe to show to a person.

A message says what was found, what was expected and what to do next. Errors of other libraries are
turned into these once, in the adapter that calls the library.
"""


class SerError(Exception):
    """Base of every error this project raises on purpose; its message may be shown to a person."""


class AudioError(SerError):
    """The given bytes or file are no usable speech recording."""


class RecordingTooLongError(AudioError):
    """A recording is longer than is accepted; its beginning may be usable."""


class PictureError(SerError):
    """The given bytes or file are no usable picture."""


class ModelUnavailableError(SerError):
    """A model could not be loaded: absent, damaged, incompatible, or out of reach."""


class RetiredModelError(ModelUnavailableError):
    """A model was made by an earlier version of the program, and nothing can run it any more."""


class TrainingDataError(SerError):
    """The examples given for training or evaluation do not suffice, or are malformed."""


class DataLeakError(TrainingDataError):
    """A speaker or a recording is in two parts of a split."""


class TrainingCancelledError(SerError):
    """A training run stopped because it was asked to."""


class SettingsError(SerError):
    """An option or an environment variable holds a value that cannot be used."""


class ExportError(SerError):
    """A model could not be brought into another form, or answers differently in it."""


class ScoringError(SerError):
    """The processes that should recognise many recordings could not go on."""


class LanguageModelError(SerError):
    """A language model gave no usable answer: too late, out of reach, or something else than was asked for."""
