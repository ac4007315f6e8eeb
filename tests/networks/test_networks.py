from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from spar_lightning.networks import (
    MLP,
    EnsembleCritic,
    GaussianManifold,
    LatentActor,
    Normalizer,
    ValueNetwork,
    VariationalManifold,
)
from spar_lightning.types import DatasetStatistics

OBS, ACT, BATCH = 5, 3, 17


def _shake(module: nn.Module) -> None:
    """Move every parameter, those of the norms too, so that each of them matters."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


def _alone(critic: EnsembleCritic, member: int, inputs: Tensor) -> Tensor:
    """One critic out of torch's own layers, with the ensemble's weights."""
    widths = [OBS + ACT, *(linear.weight.shape[-1] for linear in critic.hidden)]
    layers: list[nn.Module] = []
    for (before, after), linear, norm in zip(pairwise(widths), critic.hidden, critic.norms, strict=True):
        layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.ReLU()]
        layers[-3].load_state_dict({"weight": linear.weight[member].T, "bias": linear.bias[member, 0]})
        layers[-2].load_state_dict({"weight": norm.weight[member, 0], "bias": norm.bias[member, 0]})
    head = nn.Linear(widths[-1], 1)
    head.load_state_dict({"weight": critic.head.weight[member].T, "bias": critic.head.bias[member, 0]})
    return nn.Sequential(*layers, head)(inputs).squeeze(-1)


def test_an_ensemble_equals_a_loop_of_independent_critics() -> None:
    critic = EnsembleCritic(OBS, ACT, (16, 8), num_critics=4)
    _shake(critic)
    observations, actions = torch.randn(BATCH, OBS), torch.randn(BATCH, ACT)
    values = critic(observations, actions)
    assert values.shape == (4, BATCH)
    inputs = torch.cat([observations, actions], dim=1)
    expected = torch.stack([_alone(critic, member, inputs) for member in range(4)])
    assert torch.allclose(values, expected, atol=1e-5)


def test_members_start_apart_and_take_no_gradient_from_one_another() -> None:
    critic = EnsembleCritic(OBS, ACT, (16, 16), num_critics=3)
    values = critic(torch.randn(BATCH, OBS), torch.randn(BATCH, ACT))
    assert (values.std(dim=0) > 0).all()
    values[1].sum().backward()
    for name, parameter in critic.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad[1].abs().sum() > 0, name
        assert parameter.grad[[0, 2]].abs().sum() == 0, name


def test_an_ensemble_is_initialised_as_torch_linear_is() -> None:
    critic = EnsembleCritic(OBS, ACT, (256, 256), num_critics=2)
    reference = nn.Linear(256, 256)
    for ours, theirs in ((critic.hidden[1].weight, reference.weight), (critic.hidden[1].bias, reference.bias)):
        assert ours.abs().max() <= 1 / 16
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.15)


def test_a_critic_accepts_values_with_a_gradient_to_the_action() -> None:
    actions = torch.randn(BATCH, ACT, requires_grad=True)
    EnsembleCritic(OBS, ACT, (16,), 2)(torch.randn(BATCH, OBS), actions).sum().backward()
    assert actions.grad is not None
    assert (actions.grad.abs().sum(dim=1) > 0).all()


def test_a_latent_actor_starts_near_zero() -> None:
    actor = LatentActor(OBS, ACT, 6, (64, 64), bound=2.0)
    latents = actor(torch.randn(256, OBS), torch.rand(256, ACT))
    assert latents.shape == (256, 6)
    assert latents.abs().max() < 0.02
    assert latents.std() > 0


def test_a_latent_actor_stays_in_its_box() -> None:
    actor = LatentActor(OBS, ACT, 6, (16,), bound=1.5)
    with torch.no_grad():
        actor.mlp.head.weight.mul_(1e5)
    latents = actor(100 * torch.randn(256, OBS), torch.rand(256, ACT))
    assert latents.abs().max() <= 1.5
    assert latents.abs().median() > 1.4


def test_a_latent_actor_is_the_identity_of_its_head_near_the_origin() -> None:
    actor = LatentActor(OBS, ACT, 2, (16,), bound=2.0)
    inputs = torch.randn(BATCH, OBS), torch.rand(BATCH, ACT)
    head = actor.mlp(*inputs)
    assert torch.allclose(actor(*inputs), 2.0 * torch.tanh(head / 2.0))
    assert torch.allclose(actor(*inputs), head, atol=1e-5)


def test_an_mlp_without_autocast_is_torchs() -> None:
    mlp = MLP(OBS + ACT, 4, (16, 8))
    layers: list[nn.Module] = []
    for layer in mlp.hidden:
        layers += [layer, nn.ReLU()]
    left, right = torch.randn(BATCH, OBS), torch.randn(BATCH, ACT)
    expected = nn.Sequential(*layers, mlp.head)(torch.cat([left, right], dim=1))
    assert torch.equal(mlp(left, right), expected)
    assert torch.equal(mlp(torch.cat([left, right], dim=1)), expected)


NETWORKS = {
    "mlp": (MLP(OBS, 4, (16,)), (OBS,)),
    "critic": (EnsembleCritic(OBS, ACT, (16,), 2), (OBS, ACT)),
    "value": (ValueNetwork(OBS, (16,)), (OBS,)),
    "actor": (LatentActor(OBS, ACT, 4, (16,), 2.0), (OBS, ACT)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_float32_under_bf16_autocast(name: str) -> None:
    network, dims = NETWORKS[name]
    inputs = [torch.randn(BATCH, dim) for dim in dims]
    exact = network(*inputs)
    hidden_dtypes = []
    layer = network.get_submodule("hidden.0" if name in ("mlp", "critic") else "mlp.hidden.0")
    hook = layer.register_forward_hook(lambda module, arguments, output: hidden_dtypes.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        output = network(*inputs)
    hook.remove()
    assert hidden_dtypes == [torch.bfloat16]
    assert output.dtype == torch.float32
    assert torch.allclose(output, exact, atol=0.05)
    # ACT bf16 result has 16 zero bits at the end of each number: the head must really have been computed in float32.
    assert (output.contiguous().view(torch.int32) & 0xFFFF != 0).any()


def test_manifolds_are_float32_under_bf16_autocast() -> None:
    manifold = VariationalManifold(OBS, ACT, 6, (16,))
    states = torch.randn(BATCH, OBS), torch.rand(BATCH, ACT)
    with torch.autocast("cpu", torch.bfloat16):
        mean, log_std = manifold.encode(*states, torch.randn(BATCH, ACT))
        decoded = manifold.decode(*states, torch.randn(BATCH, 6))
        same = GaussianManifold(ACT).decode(*states, torch.randn(BATCH, ACT).bfloat16())
    assert {output.dtype for output in (mean, log_std, decoded, same)} == {torch.float32}


def test_a_variational_manifold_has_the_shapes_and_bounds_it_states() -> None:
    manifold = VariationalManifold(OBS, ACT, 6, (16,))
    states = torch.randn(BATCH, OBS), torch.rand(BATCH, ACT)
    mean, log_std = manifold.encode(*states, 1e6 * torch.randn(BATCH, ACT))
    assert mean.shape == log_std.shape == (BATCH, 6)
    assert -5 <= log_std.min() <= log_std.max() <= 2
    assert manifold.latent_dim == 6
    assert manifold.decode(*states, mean.clamp(-2, 2)).shape == (BATCH, ACT)


def test_a_gaussian_manifold_is_the_identity_without_parameters() -> None:
    manifold, latents = GaussianManifold(ACT), torch.randn(BATCH, ACT)
    assert manifold.latent_dim == ACT
    assert torch.equal(manifold.decode(torch.randn(BATCH, OBS), torch.rand(BATCH, ACT), latents), latents)
    assert not list(manifold.parameters())


def _statistics() -> DatasetStatistics:
    return DatasetStatistics(
        observation_mean=torch.tensor([1.0, -2.0]),
        observation_std=torch.tensor([2.0, 0.5]),
        action_low=torch.tensor([-1.0, 0.0, -4.0]),
        action_high=torch.tensor([1.0, 10.0, 0.0]),
    )


def test_a_normalizer_by_hand_and_round_trip() -> None:
    normalizer = Normalizer(2, 3)
    assert not normalizer.is_fitted
    normalizer.fit(_statistics())
    assert normalizer.is_fitted
    assert normalizer.normalize(torch.tensor([[3.0, -2.0], [1.0, -1.0]])).tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert normalizer.scale(torch.tensor([[-1.0, 10.0, -2.0]])).tolist() == [[-1.0, 1.0, 0.0]]
    assert normalizer.unscale(torch.tensor([[0.5, -1.0, 1.0]])).tolist() == [[0.5, 0.0, 0.0]]
    actions = torch.rand(BATCH, 3) * torch.tensor([2.0, 10.0, 4.0]) + torch.tensor([-1.0, 0.0, -4.0])
    assert torch.allclose(normalizer.unscale(normalizer.scale(actions)), actions, atol=1e-5)


def test_a_normalizer_clips_actions_outside_the_bounds() -> None:
    normalizer = Normalizer(2, 3)
    normalizer.fit(_statistics())
    assert normalizer.scale(torch.tensor([9.0, -9.0, 9.0])).tolist() == [1.0, -1.0, 1.0]


def test_a_normalizer_travels_in_its_state_and_knows_its_data() -> None:
    normalizer, other = Normalizer(2, 3), Normalizer(2, 3)
    normalizer.fit(_statistics())
    other.load_state_dict(normalizer.state_dict())
    assert other.is_fitted
    assert other.matches(_statistics())
    changed = DatasetStatistics(**(vars(_statistics()) | {"action_high": torch.tensor([1.0, 10.0, 0.1])}))
    assert not other.matches(changed)
