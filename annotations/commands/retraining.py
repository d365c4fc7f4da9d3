"""`retrain`: learn from the votes, and without what was erased where that is asked for."""

import argparse
import importlib
import sys

from tqdm import tqdm

from annotations.commands.common import add_by, add_json, open_existing, print_result
from annotations.erasure_log import newest_untouched_version
from annotations.learning.retraining import Retrainer
from annotations.learning.run_status import TrainingStatus
from ser.config import Settings


def add_retrain(parser: argparse.ArgumentParser) -> None:
    """The options of `retrain`."""
    parser.add_argument(
        "--without-erased",
        action="store_true",
        help="first go back to the newest version that learnt from nothing that was erased since",
    )
    add_by(parser)
    add_json(parser)


def run_retrain(options: argparse.Namespace) -> int:
    """Retrain and wait for the outcome; 1 where the new version was refused or the run failed."""
    with open_existing(options.data_dir) as store:
        # By name, because it brings torch in.
        active = importlib.import_module("annotations.learning.model_loading").load_active_model(
            store, Settings.from_env()
        )
        remark = active.settle()
        if remark:
            print(remark, file=sys.stderr)
        if options.without_erased:
            clean = newest_untouched_version(store)
            if clean is not None and clean.id != active.version.id:
                active.use(clean.id, by=options.by, reason="it learnt from nothing that was erased since")
        retrainer = Retrainer(active)
        retrainer.start(options.by)
        with tqdm(desc="retrain", total=100, unit="%", disable=None) as bar:

            def show(status: TrainingStatus) -> None:
                bar.update(round(100 * status.progress) - bar.n)

            status = retrainer.wait(show)
    result = {"run": status.run_id, "state": status.state, "message": status.message}
    print_result(result, [status.message], options.json)
    return 0 if status.state == "promoted" else 1
