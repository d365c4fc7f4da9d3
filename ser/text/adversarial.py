"""Adversarial training of a text network: a second step on token embeddings moved to where the loss rises fastest."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Perturbation:
    """Moves the output of an embedding module along the gradient of the loss.

    Source: Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification",
    https://arxiv.org/abs/1605.07725 (equation 5), the step relative to the length of a sentence's embeddings.

    Args:
        embeddings: the module.
        size: of the step, relative; 0 for none.
    """

    def __init__(self, embeddings: nn.Module, size: float) -> None:
        self.size = size
        self._embeddings = embeddings
        self._output: Tensor | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep the embeddings of the forward pass, and let their gradient be kept."""

        def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            # The output of a frozen module carries no gradient by itself.
            self._output = output if output.requires_grad else output.detach().requires_grad_()
            self._output.retain_grad()
            return self._output

        with self._hooked(keep):
            yield

    @contextmanager
    def moved(self) -> Iterator[None]:
        """Move the embeddings of the forward passes within by the kept gradient."""
        output = self._output
        if output is None or output.grad is None:
            raise RuntimeError("no gradient was kept: the first forward and backward pass come before this one")
        dimensions = tuple(range(1, output.dim()))
        length = output.detach().norm(dim=dimensions, keepdim=True)
        slope = output.grad / output.grad.norm(dim=dimensions, keepdim=True).clamp(min=1e-12)
        step = self.size * length * slope
        with self._hooked(lambda module, inputs, output: output + step):
            yield

    @contextmanager
    def _hooked(self, hook: Any) -> Iterator[None]:
        if self.size == 0:
            yield
            return
        handle = self._embeddings.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()
