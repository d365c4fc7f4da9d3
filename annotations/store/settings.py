"""Settings of the annotation: a maintainer changes them, and each change is kept with its author and time."""

import json
import math
import re
from dataclasses import asdict, dataclass, fields, replace
from sqlite3 import Connection

from annotations.errors import InvalidSettingError
from annotations.masking import MASKING
from annotations.store.new_records import check_rater
from annotations.store.rows import insert_row, timestamp
from annotations.store.store import AnnotationStore


@dataclass(frozen=True)
class AnnotationSettings:
    """Settings for everybody who annotates; checked when they are made.

    Attributes:
        overlap: people who are to label each clip; None for all of them. A label and an unsure count, a skip and the
            labels that a corpus came with do not.
        gold_rate: the share of clips with a known label among those given, 0..1; by it raters are measured.
        blind: whether no rater sees the model's answer before they vote.
        lease_minutes: how long a clip is kept for the rater it was given to.
        retention_days: after which clips are erased; None for never.
        retrain_after: new votes after which a retraining begins by itself; None for never.
        retrain_at: time of day, "HH:MM" in UTC, at which one begins if there are new votes; None for never.
        keep_versions: the newest of each model keep their weights; None for all of them.
        mask_transcripts: `export` masks names and numbers in exported transcripts, `store` also before they are stored;
            None leaves them as they are.
        hasty_weight: weight in training of a vote that came before half of its clip had been played, 0..1.
    """

    overlap: int | None = None
    gold_rate: float = 0.0
    blind: bool = False
    lease_minutes: float = 10.0
    retention_days: int | None = None
    retrain_after: int | None = None
    retrain_at: str | None = None
    keep_versions: int | None = None
    hasty_weight: float = 0.5
    mask_transcripts: str | None = None

    def __post_init__(self) -> None:
        for name in ("overlap", "retention_days", "retrain_after", "keep_versions"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidSettingError(f"{name} is {value!r}; expected a whole number of 1 or more, or nothing.")
        if not isinstance(self.blind, bool):
            raise InvalidSettingError(f"blind is {self.blind!r}; expected true or false.")
        if self.retrain_at is not None and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", str(self.retrain_at)):
            raise InvalidSettingError(
                f"retrain_at is {self.retrain_at!r}; expected a time such as '02:30', or nothing."
            )
        if self.mask_transcripts not in (None, *MASKING):
            raise InvalidSettingError(
                f"mask_transcripts is {self.mask_transcripts!r}; expected {' or '.join(MASKING)}, or nothing."
            )
        _check_number("gold_rate", self.gold_rate, 0.0, 1.0)
        _check_number("hasty_weight", self.hasty_weight, 0.0, 1.0)
        _check_number("lease_minutes", self.lease_minutes, 0.05, 24 * 60.0)


@dataclass(frozen=True)
class SettingsChange:
    """Settings as somebody left them.

    Attributes:
        by: who.
        at: when, ISO 8601, UTC.
    """

    settings: AnnotationSettings
    by: str
    at: str


def read_settings(store: AnnotationStore) -> AnnotationSettings:
    """Read the present settings; the defaults if nobody ever changed them."""
    with store.reading() as connection:
        return settings_in_force(connection)


def settings_in_force(connection: Connection) -> AnnotationSettings:
    """Read the present settings from a connection."""
    row = connection.execute("SELECT settings FROM settings ORDER BY id DESC LIMIT 1").fetchone()
    return _from_json(row["settings"]) if row else AnnotationSettings()


def change_settings(store: AnnotationStore, settings: AnnotationSettings, *, by: str) -> SettingsChange:
    """Let other settings hold from now on; the earlier ones stay on record.

    Args:
        store: to write to.
        settings: all of them; `dataclasses.replace(read_settings(store), overlap=3)` changes one.
        by: who decides.

    Raises:
        InvalidVoteError: if nobody is named.
    """
    change = SettingsChange(settings, check_rater(by), timestamp())
    with store.database.writing() as connection:
        insert_row(connection, "settings", settings=asdict(settings), changed_by=change.by, created_at=change.at)
    return change


def list_settings_changes(store: AnnotationStore) -> list[SettingsChange]:
    """List every change ever made, newest first."""
    rows = store.fetch("SELECT * FROM settings ORDER BY id DESC")
    return [SettingsChange(_from_json(row["settings"]), row["changed_by"], row["created_at"]) for row in rows]


def _from_json(text: str) -> AnnotationSettings:
    # A later version of the program may know more settings than this one.
    known = {field.name for field in fields(AnnotationSettings)}
    return replace(AnnotationSettings(), **{key: value for key, value in json.loads(text).items() if key in known})


def _check_number(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:  # type: ignore[operator]
        raise InvalidSettingError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}.")
