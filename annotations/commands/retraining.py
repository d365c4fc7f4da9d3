"""`retrain`: train on the votes, or train a version anew without erased votes."""

import argparse
import sys
from collections.abc import Mapping

from tqdm import tqdm

from annotations.commands.common import add_by, add_json, load_active, open_existing, print_result
from annotations.learning.config import BY_PRESET, PRESETS, RetrainingConfig
from annotations.learning.runs.estimate import estimate
from annotations.learning.runs.process import spawn_worker
from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.runs.status import TrainingStatus
from annotations.learning.runs.triggers import Triggers
from annotations.store import AnnotationStore
from annotations.store.erasure_log import newest_untouched_version
from annotations.store.records import TARGETS, TrainingRun

NOT_DUE = "not due"
"""Decision to report when a trigger was asked and nothing started."""


def add_retrain(parser: argparse.ArgumentParser) -> None:
    """The options of `retrain`."""
    parser.add_argument("--preset", choices=PRESETS, default=PRESETS[0], help="effort (default: %(default)s)")
    parser.add_argument("--target", choices=TARGETS, default=TARGETS[0], help="what to train (default: %(default)s)")
    parser.add_argument(
        "--tune",
        default=BY_PRESET,
        metavar="PART",
        help="layers of the acoustic model to train: head, frozen, top-k:N, lora, adalora or full "
        "(default: by the preset)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--resume", action="store_true", help="go on with the run that was paused or interrupted")
    what.add_argument("--if-due", action="store_true", help="only if the settings say that it is time")
    what.add_argument("--pause", action="store_true", help="pause the run under way, and return")
    what.add_argument("--cancel", action="store_true", help="end the run under way, and return")
    parser.add_argument(
        "--without-erased",
        action="store_true",
        help="first go back to the newest version that was trained on nothing erased since",
    )
    add_by(parser)
    add_json(parser)


def run_retrain(options: argparse.Namespace) -> int:
    """Retrain and wait for the outcome; returns 1 if the new version was refused or the run failed."""
    with open_existing(options.data_dir) as store:
        active = load_active(store)
        if options.without_erased:
            clean = newest_untouched_version(store)
            if clean is not None and clean.id != active.version.id:
                active.use(clean.id, by=options.by, reason="it was trained on nothing erased since")
        config = RetrainingConfig(target=options.target, preset=options.preset, tune=options.tune)
        # The run outlives this command, which only follows it.
        retrainer = Retrainer(active, config, spawn=spawn_worker)
        return ask(retrainer, options)


def ask(retrainer: Retrainer, options: argparse.Namespace) -> int:
    """Do what the options say with runs; returns the exit code."""
    store = retrainer.store
    if options.pause or options.cancel:
        run_id = retrainer.status().run_id
        (retrainer.pause if options.pause else retrainer.cancel)()
        return report(store, retrainer.status(run_id), options.json)
    run_id = None
    if options.if_due:
        found = Triggers(retrainer).check()
        if not found.began:
            result = {"run": None, "version": None, "decision": NOT_DUE, "reason": found.message}
            print_result({**result, "before": {}, "after": {}}, [found.message], options.json)
            return 0
        run_id = found.run_id
    elif options.resume:
        run_id = retrainer.resume().id
    else:
        expected = estimate(store, retrainer.config)
        run_id = retrainer.start(options.by).id
        print(
            f"About {expected.seconds:.0f} s for {expected.clips} clip{'' if expected.clips == 1 else 's'} "
            f"on {expected.device}, by {expected.basis}.",
            file=sys.stderr,
        )
    return report(store, follow(retrainer, run_id), options.json)


def follow(retrainer: Retrainer, run_id: int | None) -> TrainingStatus:
    """Wait for a run's end, with its progress on stderr; it goes on by itself where this is interrupted."""
    with tqdm(desc="retrain", total=100, unit="%", disable=None) as bar:
        printed: tuple[str, int] | None = None

        def show(status: TrainingStatus) -> None:
            nonlocal printed
            percent = round(100 * status.progress)
            bar.update(percent - bar.n)
            # A message may count seconds: a log gets a line when the run moves, not one a second.
            if bar.disable and printed != (status.state, percent):
                printed = (status.state, percent)
                print(status.message, file=sys.stderr, flush=True)

        try:
            return retrainer.wait(show, run_id=run_id)
        except KeyboardInterrupt:
            print(f"Run {run_id} goes on. `retrain --pause` or `retrain --cancel` stops it.", file=sys.stderr)
            raise


def report(store: AnnotationStore, status: TrainingStatus, as_json: bool) -> int:
    """Print the outcome or the state of a run; returns the exit code."""
    run = store.get_training_run(status.run_id) if status.run_id is not None else None
    print_result(summary(store, run, status), [status.message], as_json)
    return 0 if status.state in ("promoted", "paused", "queued", "idle") else 1


def summary(store: AnnotationStore, run: TrainingRun | None, status: TrainingStatus) -> dict[str, object]:
    """A run as JSON values: `run`, `version`, `decision`, `reason`, `before`, `after` and what led to it."""
    if run is None:
        return {"run": None, "version": None, "decision": status.state, "reason": status.message} | {
            "before": {},
            "after": {},
        }
    made = store.get_model_version(run.new_version_id) if run.new_version_id is not None else None
    metrics: Mapping[str, object] = run.metrics
    return {
        "run": run.id,
        "version": made.name if made else None,
        "decision": run.status,
        "reason": run.reason or status.message,
        "before": metrics.get("before", {}),
        "after": metrics.get("after", {}),
        **{name: value for name, value in metrics.items() if name not in ("before", "after")},
        "target": run.target,
        "preset": run.preset,
        "cause": run.cause,
        "started_by": run.started_by,
        "snapshot_sha256": run.snapshot_sha256,
        "log": status.log,
    }
