"""Lessons for the tests of what a run teaches."""

from pathlib import Path

from annotations.learning.config import RetrainingConfig
from annotations.learning.feedback import training_examples
from annotations.learning.learners import Lesson
from annotations.learning.sides import hold_out
from annotations.store import AnnotationStore


def lesson_of(store: AnnotationStore, target: str, base: str, run_dir: Path, **changes: object) -> Lesson:
    """A lesson on the feedback as it stands, of a run that is recorded."""
    acoustic = store.ensure_base_version("embedded", "a" * 64)
    version = acoustic if target == "acoustic" else store.ensure_base_version(f"{target} {base}", "unknown", target)
    run = store.start_training_run({}, None, version.id, "ann", [], target=target)
    run_dir.mkdir(parents=True, exist_ok=True)
    values = {
        "store": store,
        "run": run,
        "config": RetrainingConfig(target=target, base=base),
        "holdout": hold_out(store, training_examples(store), target),
        "base": base,
        "run_dir": run_dir,
        "device": "cpu",
        "say": lambda sentence: None,
        "on_progress": lambda progress: None,
        "should_stop": lambda: False,
    }
    return Lesson(**{**values, **changes})  # type: ignore[arg-type]
