"""A trained policy as a program: its operations and the weights that they use, and nothing of its training."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from spar_lightning.algorithms import Algorithm


class _Deployed(nn.Module):
    """Raw observations to actions in the environment's units, as `Algorithm.select_actions`."""

    def __init__(self, algorithm: Algorithm) -> None:
        super().__init__()
        self.algorithm = algorithm

    def forward(self, observations: Tensor) -> Tensor:
        actions: Tensor = self.algorithm.select_actions(observations)
        return actions


def capture(algorithm: Algorithm) -> ExportedProgram:
    """The program of a policy: observations (B, O) float32 to actions (B, A), for any B.

    Normalization, base, residual and clipping are in it; critics and target networks are not.
    """
    deployed = _Deployed(deepcopy(algorithm).cpu()).requires_grad_(False).eval()
    _drop_unused(deployed, _traced(deployed))
    return _traced(deployed)


def _traced(deployed: _Deployed) -> ExportedProgram:
    example = torch.zeros(2, deployed.algorithm.observation_dim)  # a batch of one would be taken for a constant
    return torch.export.export(deployed, (example,), dynamic_shapes={"observations": {0: Dim("batch")}})


def _drop_unused(deployed: nn.Module, program: ExportedProgram) -> None:
    """Take out the parts of a module none of whose tensors its program reads: they would travel along."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    used = {names[node.name] for node in program.graph.nodes if node.name in names and node.users}
    for name, part in list(deployed.named_modules()):
        for child, network in list(part.named_children()):
            prefix = ".".join(filter(None, (name, child))) + "."
            tensors = {prefix + tensor for tensor in network.state_dict()}
            if tensors and not tensors & used:
                setattr(part, child, _Nothing.in_place_of(network))


class _Nothing(nn.Module):
    """In the place of a part that acts no more; it has the plain attributes of what it replaces."""

    @classmethod
    def in_place_of(cls, part: nn.Module) -> _Nothing:
        nothing = cls()
        vars(nothing).update(
            {name: value for name, value in vars(part).items() if isinstance(value, int | float | str)}
        )
        return nothing
