"""Training in several processes at once, started by `torchrun` and joined by `accelerate`; alone, it costs nothing.

Every process holds the whole data and takes its own part of each step. Knows nothing of what is trained.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, reduce
from torch.nn.parallel import DistributedDataParallel

from ser.config import TrainConfig
from ser.errors import SettingsError

Result = TypeVar("Result")
Norm = torch.nn.modules.batchnorm._BatchNorm

PATIENCE = timedelta(hours=12)
"""How long processes wait for each other: one of them may decode a large corpus while the others stand by."""


class Processes:
    """The processes of a run, as seen from one of them.

    Attributes:
        count: of all.
        rank: of this one, from 0.
        device: of this one.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.count, self.rank = 1, 0
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            state = PartialState(cpu=torch.device(device).type == "cpu", timeout=PATIENCE)
            self.count, self.rank, self.device = state.num_processes, state.process_index, str(state.device)

    @property
    def main(self) -> bool:
        """Whether this one writes files and talks to people."""
        return self.rank == 0

    def check(self, config: TrainConfig) -> None:
        """Refuse steps that are too small to share.

        Raises:
            SettingsError: where a part of a step would have fewer than two clips.
        """
        parts = self.count * config.accumulation
        if parts > 1 and config.batch_size < 2 * parts:
            raise SettingsError(
                f"batch_size is {config.batch_size} for {self.count} process(es) and accumulation {config.accumulation}"
                f"; at least {2 * parts} is needed, two clips for each part."
            )

    def parts(self, places: np.ndarray, accumulation: int) -> list[np.ndarray]:
        """This process's share of a step, in so many parts; a step too small for all is shown to each of them."""
        total = self.count * accumulation
        if len(places) < 2 * total:
            places = np.resize(places, max(len(places), 2 * total) if total > 1 else len(places))
        return np.array_split(places, total)[self.rank * accumulation : (self.rank + 1) * accumulation]

    def wrap(self, network: torch.nn.Module) -> torch.nn.Module:
        """The network, with gradients averaged over the processes."""
        if self.count == 1:
            return network
        devices = None if torch.device(self.device).type == "cpu" else [torch.device(self.device)]
        # Statistics of normalisation are kept alike by `share_norms`; heads that a step does not need get no gradient.
        with warnings.catch_warnings():
            # torch 2.13 has another name for the first option, which 2.8 does not know.
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(
                network, device_ids=devices, broadcast_buffers=False, find_unused_parameters=True
            )

    def apart(self, wrapped: torch.nn.Module, last: bool) -> AbstractContextManager[None]:
        """Where gradients are only added up: in all parts of a step but the last."""
        if last or not isinstance(wrapped, DistributedDataParallel):
            return nullcontext()
        quiet: AbstractContextManager[None] = wrapped.no_sync()
        return quiet

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        return values if self.count == 1 else reduce(values, reduction="sum")

    def gather(self, value: Result) -> list[Result]:
        """The values of all processes, in order of rank."""
        return [value] if self.count == 1 else gather_object([value])

    def tell(self, value: Result) -> Result:
        """What the main process has."""
        return value if self.count == 1 else broadcast_object_list([value])[0]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The others wait until the main process has been through; then they go."""
        if self.count == 1:
            yield
            return
        with PartialState().main_process_first():
            yield

    def on_main(self, work: Callable[[], Result], otherwise: Callable[[], Result]) -> Result:
        """`work` in the main process; when that is done, `otherwise` in the others."""
        result = work() if self.main else None
        if self.count > 1:
            PartialState().wait_for_everyone()
        return result if result is not None else otherwise()

    def share_norms(self, network: torch.nn.Module) -> None:
        """Make the statistics of batch normalisation those of the whole step.

        Each process has moved them towards its own part of the step. The mean over the parts is the mean of the
        means; the variance is the mean of the variances and the variance of the means.
        """
        norms = [norm for norm in norms_of(network) if norm.training]
        if self.count == 1 or not norms:
            return
        parts = [torch.stack([n.running_mean, n.running_mean.square(), n.running_var]).double() for n in norms]
        totals = self.add(torch.cat(parts, dim=1)) / self.count
        sizes = [len(norm.running_mean) for norm in norms]
        for norm, (mean, square, variance) in zip(norms, totals.split(sizes, dim=1), strict=True):
            # Of the means' variance, the momentum has let through its square where the variance itself needs it once.
            spread = (square - mean.square()).clamp_min(0.0) / (norm.momentum or 1.0)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance + spread)


def norms_of(network: torch.nn.Module) -> list[Any]:
    """The batch normalisations that keep statistics, in order."""
    return [m for m in network.modules() if isinstance(m, Norm) and m.running_mean is not None]
