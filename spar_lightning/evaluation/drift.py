"""How much of a policy's change leaves the data's manifold."""

from __future__ import annotations

import torch
from torch import Tensor


def split_change(action_change: Tensor, jacobians: Tensor, tolerance: float = 0.1) -> tuple[Tensor, Tensor]:
    r"""Parts of action changes along the action manifold, and normal to it.

    With the singular value decomposition of a state's Jacobian, :math:`J = U S V^T`, a direction :math:`u_i` is
    tangent if :math:`s_i \ge tolerance \cdot s_{max}`; every other direction of action space is normal.

    Args:
        action_change: (B, A).
        jacobians: (B, A, L), of the action by the latent, in the scale of `action_change`.
        tolerance: least singular value of a tangent direction, as a fraction of the state's largest.

    Returns:
        Tangential and normal part, (B, A) each; their sum is the change.

    >>> tangential, normal = split_change(torch.tensor([[3.0, 4.0]]), torch.tensor([[[1.0], [0.0]]]))
    >>> tangential.tolist(), normal.tolist()
    ([[3.0, 0.0]], [[0.0, 4.0]])
    """
    change = action_change.float()
    directions, strengths, _ = torch.linalg.svd(jacobians.float(), full_matrices=False)  # (B, A, R), (B, R)
    tangent = (strengths >= tolerance * strengths[:, :1]) & (strengths > 0)
    coordinates = torch.einsum("bar,ba->br", directions, change) * tangent
    tangential = torch.einsum("bar,br->ba", directions, coordinates)
    return tangential, change - tangential


def change_by_reach(action_change: Tensor, jacobians: Tensor) -> tuple[Tensor, Tensor]:
    """A squared change by how easily the manifold reaches its directions; see `split_change`.

    Returns:
        Reach (B, A), in [0, 1]: the singular value of each direction as a fraction of the state's largest, 0 where
        none leads; and the squared change along each, (B, A). A normal part is what has a reach below a tolerance.

    >>> reach, squares = change_by_reach(torch.tensor([[3.0, 4.0]]), torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]))
    >>> reach.tolist(), squares.round().tolist()
    ([[1.0, 0.5]], [[9.0, 16.0]])
    """
    change = action_change.float()
    directions, strengths, _ = torch.linalg.svd(jacobians.float(), full_matrices=True)  # (B, A, A), (B, R)
    missing = directions.shape[-1] - strengths.shape[-1]
    reach = torch.nn.functional.pad(strengths / strengths[:, :1].clamp(min=1e-12), (0, missing))
    return reach, torch.einsum("bar,ba->br", directions, change).square()


def normal_drift(action_change: Tensor, jacobians: Tensor, tolerance: float = 0.1) -> Tensor:
    r"""Share of a squared action change that lies in directions normal to the action manifold; see `split_change`.

    .. math:: \sum_b |\Delta a_b - U_b^{tangent} U_b^{tangent\,T} \Delta a_b|^2 \,/\, \sum_b |\Delta a_b|^2

    Returns:
        A scalar in [0, 1]; 0 where nothing changed.

    >>> change = torch.tensor([[3.0, 4.0]])
    >>> normal_drift(change, torch.tensor([[[1.0], [0.0]]]))  # only the first direction can be reached
    tensor(0.6400)
    """
    _, normal = split_change(action_change, jacobians, tolerance)
    total = action_change.float().square().sum()
    return torch.where(total > 0, normal.square().sum() / total, 0.0)
