"""Training in several processes at once, started by `torchrun` and joined by `accelerate`; alone, it costs nothing.

Every process holds the whole data and takes its own part of each step. Knows nothing of what is trained.
"""

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, reduce
from torch.nn.parallel import DistributedDataParallel

from ser.config import LoopConfig
from ser.errors import SettingsError

Result = TypeVar("Result")

PATIENCE = timedelta(hours=12)
"""Time that processes wait for each other: one of them may decode a large corpus while the others stand by."""


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
        """True in the process that writes files and talks to people."""
        return self.rank == 0

    def check(self, config: LoopConfig) -> None:
        """Refuse steps that are too small to share.

        Raises:
            SettingsError: if a part of a step would have no example.
        """
        parts = self.count * config.accumulation
        if config.batch_size < parts:
            raise SettingsError(
                f"batch_size is {config.batch_size} for {self.count} process(es) and accumulation {config.accumulation}"
                f"; at least {parts} is needed, one example for each part."
            )

    def parts(self, places: np.ndarray, accumulation: int) -> list[np.ndarray]:
        """Take this process's share of a step, in so many parts; a step too small for all processes is shared twice."""
        if self.count == 1:
            return np.array_split(places, min(accumulation, len(places)))
        total = self.count * accumulation
        places = np.resize(places, max(len(places), total))
        return np.array_split(places, total)[self.rank * accumulation : (self.rank + 1) * accumulation]

    def wrap(self, network: torch.nn.Module) -> torch.nn.Module:
        """Make the network average its gradients over the processes."""
        if self.count == 1:
            return network
        devices = None if torch.device(self.device).type == "cpu" else [torch.device(self.device)]
        with warnings.catch_warnings():
            # Layers that a step does not need get no gradient; torch warns of the cost of looking for them.
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(network, device_ids=devices, find_unused_parameters=True)

    def apart(self, wrapped: torch.nn.Module, last: bool) -> AbstractContextManager[None]:
        """Accumulate gradients without exchanging them between processes, until the last part of a step."""
        if last or not isinstance(wrapped, DistributedDataParallel):
            return nullcontext()
        quiet: AbstractContextManager[None] = wrapped.no_sync()
        return quiet

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over all processes."""
        return values if self.count == 1 else reduce(values, reduction="sum")

    def gather(self, value: Result) -> list[Result]:
        """Collect the values of all processes, in order of rank."""
        return [value] if self.count == 1 else gather_object([value])

    def broadcast(self, value: Result) -> Result:
        """Give all processes the main one's value."""
        return value if self.count == 1 else broadcast_object_list([value])[0]

    def on_main(self, work: Callable[[], Result], otherwise: Callable[[], Result]) -> Result:
        """Do `work` in the main process and, when that is done, `otherwise` in the others."""
        result = work() if self.main else None
        if self.count > 1:
            PartialState().wait_for_everyone()
        return result if result is not None else otherwise()
