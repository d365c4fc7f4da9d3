"""The exponential moving average of a network's weights, kept beside it. Knows no loop.

Source: Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging",
https://doi.org/10.1137/0330046; with the decay that grows at first of TensorFlow's ExponentialMovingAverage.
"""

import copy

import torch


class WeightAverage:
    """An average that follows a network; with a decay of 0 it is the network itself.

    Attributes:
        network: with the averaged weights, in evaluation mode; the followed one where the decay is 0.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self._followed = network
        self.network = copy.deepcopy(network).eval() if decay else network
        frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
        theirs = network.state_dict()
        self._names = [name for name in theirs if name not in frozen]
        ours = self.network.state_dict()
        # The lists stay good: weights are changed in place, never replaced.
        pairs = [(ours[name], theirs[name]) for name in self._names] if decay else []
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move the average a step towards the network; counters are copied."""
        if self._floats:
            ours, theirs = zip(*self._floats, strict=True)
            torch._foreach_lerp_(ours, theirs, 1.0 - decay)
        for our, their in self._counters:
            our.copy_(their)

    def changing(self, network: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Those of a network's weights and statistics that training changes, by name."""
        state = network.state_dict()
        return {name: state[name] for name in self._names}

    def copy(self) -> dict[str, torch.Tensor]:
        """The averaged weights as they are now."""
        return {name: value.clone() for name, value in self.changing(self.network).items()}

    def choose(self, weights: dict[str, torch.Tensor]) -> None:
        """Put these weights into the followed network."""
        self._followed.load_state_dict(weights, strict=False)
