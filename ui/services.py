"""What every tab works with, in one value; built once by `ui.app`."""

from dataclasses import dataclass, field

from annotations.active_model import ActiveModel
from annotations.retraining import Retrainer
from annotations.store import AnnotationStore
from ser.recognizer import Recognizer
from ui.uploads import Uploads


@dataclass(frozen=True)
class Services:
    """The domain as the page sees it.

    Attributes:
        recognizer: answers.
        store: keeps clips and votes.
        retrainer: trains in a process of its own.
        active_model: keeps the recogniser on the version in use.
        uploads: the files of open sessions.
    """

    recognizer: Recognizer
    store: AnnotationStore
    retrainer: Retrainer
    active_model: ActiveModel
    uploads: Uploads = field(default_factory=Uploads)
