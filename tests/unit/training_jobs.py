"""Training jobs for the tests of targets."""

from pathlib import Path

from annotations.learning.config import RetrainingConfig
from annotations.learning.promotion.holdout_store import hold_out
from annotations.learning.trainer import TrainingJob
from annotations.raters.votes import training_examples
from annotations.store import AnnotationStore
from tests.unit.stored import begin_run


def job_of(store: AnnotationStore, target: str, base: str, run_dir: Path, **changes: object) -> TrainingJob:
    """A job on the feedback as it stands, of a run that is recorded."""
    acoustic = store.ensure_base_version("embedded", "a" * 64)
    version = acoustic if target == "acoustic" else store.ensure_base_version(f"{target} {base}", "unknown", target)
    run = begin_run(store, version.id, "ann", target=target)
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
    return TrainingJob(**{**values, **changes})  # type: ignore[arg-type]
