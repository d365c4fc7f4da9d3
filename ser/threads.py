"""Computes small things in torch on one core. Knows nothing of what is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def one_core() -> Iterator[None]:
    """Let torch compute on the calling thread alone; other threads, and this one afterwards, are as before.

    Between two operations torch's threads wait for each other without sleeping. Where another program holds one of
    the cores, features that take 1 ms on one core took 60 ms on two; a limit costs 0.1 ms.
    After `torch.set_num_threads`, which nothing that answers calls, matrix products keep the count given there.

    >>> with one_core():
    ...     torch.get_num_threads()
    1
    """
    # Torch sets a thread's count at its first use there, and would undo the limit.
    if torch.get_num_threads() == 1:
        yield
        return
    with _controller().limit(limits=1, user_api="openmp"):
        yield


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    """Finding the libraries takes 2 ms; torch's are loaded by now."""
    return ThreadpoolController()
