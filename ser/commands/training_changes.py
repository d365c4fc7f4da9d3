"""What `--set` and `--tune` of the command line ask for, as changes of a training's config."""

import json
from collections.abc import Sequence
from dataclasses import fields

from ser.config import TrainConfig
from ser.errors import SettingsError
from ser.text.config import TextTrainConfig


def training_changes(
    assignments: Sequence[str],
    tune: str | None = None,
    config: type[TrainConfig] | type[TextTrainConfig] = TrainConfig,
) -> dict[str, object]:
    """Read assignments by the names of a config's attributes.

    Values are JSON, or else taken as text; lists become tuples.

    Args:
        assignments: `NAME=VALUE`.
        tune: of `--tune`.
        config: whose attributes they are.

    Raises:
        SettingsError: if there is no such attribute, or no value.

    >>> training_changes(["batch_size=32", "speed=[0.9, 1.1]", "patience=null"], "lora")
    {'batch_size': 32, 'speed': (0.9, 1.1), 'patience': None, 'tune': 'lora'}
    """
    kinds = {attribute.name: attribute.type for attribute in fields(config)}
    changes: dict[str, object] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in kinds:
            raise SettingsError(f"--set {assignment}: expected NAME=VALUE, NAME being one of {', '.join(kinds)}.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if isinstance(value, str) and kinds[name] is not str:
            raise SettingsError(f"--set {assignment}: a number is expected, or [low, high], true, false or null.")
        changes[name] = tuple(value) if isinstance(value, list) else value
    return changes | ({"tune": tune} if tune else {})
