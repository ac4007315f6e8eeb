"""Adam over a few long vectors, and how its learning rate moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from spar_lightning.algorithms import Optimized
from spar_lightning.training.updates.flat import FlatParameters
from spar_lightning.types import CheckpointError


class FlatAdam(Adam):
    """Adam over the parameters of networks, each network's in one vector.

    Args:
        optimized: what it steps, and how fast; the networks are on their device.
        fused: use torch's fused kernel.
    """

    def __init__(self, optimized: Optimized, fused: bool) -> None:
        self.flats = [FlatParameters(network) for network in optimized.networks]
        self.optimized = optimized
        self.decays = optimized.decays or [0.0] * len(self.flats)
        vectors = [flat.vector for flat in self.flats]
        on_cuda = vectors[0].is_cuda
        super().__init__(vectors, lr=optimized.learning_rate, fused=fused, capturable=on_cuda)
        # No `step` of its own: torch lets hooks of steps run once for each class of a step.
        self.register_step_pre_hook(lambda *_: decay_weights(vectors, self.decays, self._decaying_rate()))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; how steps are made is this machine's affair, and not the checkpoint's.

        Raises:
            CheckpointError: if an average of the state has not the shape of what it is of.
        """
        for number, moments in state_dict["state"].items():
            for name in ("exp_avg", "exp_avg_sq"):
                expected = self.flats[number].vector.shape if number in range(len(self.flats)) else None
                if moments[name].shape != expected:
                    raise CheckpointError(
                        f"the checkpoint's `optimizer_states` hold {name} of network {number} as"
                        f" {tuple(moments[name].shape)}, expected {expected and tuple(expected)}: take another"
                        " checkpoint of this run"
                    )
        own = {name: self.param_groups[0][name] for name in ("fused", "capturable")}
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group.update(own)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters, network after network."""
        return [parameter for flat in self.flats for parameter in flat.parameters]

    def rate(self, update: int) -> float:
        """The learning rate of an update."""
        factor = self.optimized.factor
        return self.optimized.learning_rate * (1.0 if factor is None else factor(update))

    def set_rate(self, rate: float | Tensor) -> None:
        """Step at this rate from here on; a tensor may change without a word."""
        for group in self.param_groups:
            group["lr"] = rate

    def _decaying_rate(self) -> float | Tensor:
        """The rate, or 0 in a step that is left out: a scaler of gradients tells a fused optimizer so."""
        rate: float | Tensor = self.param_groups[0]["lr"]
        overflow: Tensor | None = getattr(self, "found_inf", None)
        return rate if overflow is None else rate * (1.0 - overflow)

    def clear_gradients(self) -> None:
        """Forget all gradients."""
        for flat in self.flats:
            flat.clear_gradients()

    def gather_gradients(self) -> None:
        """Put the parameters' gradients where the step finds them."""
        for flat in self.flats:
            flat.gather_gradients()


@torch.no_grad()
def decay_weights(vectors: Sequence[Tensor], decays: Sequence[float], rate: float | Tensor) -> None:
    """Shrink vectors by their decay times the learning rate, apart from the gradient (Loshchilov and Hutter, 2019)."""
    for vector, decay in zip(vectors, decays, strict=True):
        if decay > 0:
            vector.mul_(1.0 - rate * decay)


def adam_step(
    vector: Tensor, gradient: Tensor, moments: tuple[Tensor, Tensor, Tensor], rate: Tensor, group: dict[str, Any]
) -> None:
    """A step of torch's Adam in place, of element-wise operations alone, which a compiler can join to the gradient's.

    Args:
        vector: (S, P), what is stepped.
        gradient: (S, P).
        moments: number of steps, (), and the averages of the gradient and of its square, (S, P).
        rate: learning rate, ().
        group: with Adam's `betas` and `eps`.
    """
    step, average, square = moments
    first, second = group["betas"]
    step.add_(1.0)
    average.lerp_(gradient, 1.0 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
    # Not `1 - second ** step`, which loses four digits of the first steps in single precision.
    corrections = [-torch.expm1(step * math.log(beta)) for beta in (first, second)]
    deviation = (square / corrections[1]).sqrt() + group["eps"]
    vector.sub_(rate / corrections[0] * average / deviation)
