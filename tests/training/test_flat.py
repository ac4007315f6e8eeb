"""Parameters in one buffer are the parameters that they were."""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import pytest
import torch
from small_runs import memory
from torch import Tensor, nn
from torch.optim import Adam

from spar_lightning.algorithms import Optimized
from spar_lightning.training.updates.flat import Averages, FlatParameters, flat_parameters
from spar_lightning.training.updates.optimizers import FlatAdam
from spar_lightning.types import UserError


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))  # 15, 5, 5 and 1 elements: none fills its place


def test_parameters_move_into_one_buffer_with_their_values() -> None:
    network = _network()
    names, before = list(dict(network.named_parameters())), deepcopy(network).state_dict()
    parameters = list(network.parameters())
    flat = flat_parameters(network)
    assert list(dict(network.named_parameters())) == names
    assert all(new is old for new, old in zip(network.parameters(), parameters, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert memory(parameters) == memory([flat])
    assert flat.shape == (64,)
    assert flat.count_nonzero() == 26
    assert all(parameter.data_ptr() % 64 == flat.data_ptr() % 64 for parameter in parameters)


def test_they_move_once_unless_something_takes_them_apart() -> None:
    network = _network()
    flat = flat_parameters(network)
    assert flat_parameters(network).data_ptr() == flat.data_ptr()
    copied = flat_parameters(deepcopy(network))
    assert copied.data_ptr() != flat.data_ptr()
    assert torch.equal(copied, flat)
    part = flat_parameters(network[0])  # a part of a buffer is none of its own
    assert part.shape == (32,)
    assert flat_parameters(network).data_ptr() != flat.data_ptr()
    network.double()
    assert flat_parameters(network).dtype == torch.float64


def test_an_optimizer_of_the_buffer_takes_the_steps_of_one_of_the_parameters() -> None:
    plain, flat = _network(), _network()
    together = FlatParameters(flat)
    optimizers = Adam(plain.parameters(), lr=0.1), Adam([together.vector], lr=0.1)
    for inputs in torch.randn(5, 8, 3):
        plain.zero_grad()
        together.clear_gradients()
        assert together.vector.grad is None
        for network in (plain, flat):
            network(inputs).square().sum().backward()
        together.gather_gradients()
        for optimizer in optimizers:
            optimizer.step()
    for left, right in zip(plain.parameters(), flat.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-6)
    assert together.vector.count_nonzero() == 26


def test_averages_of_parts_and_of_the_whole_do_not_part_from_their_networks() -> None:
    network, slow = _network(), deepcopy(_network())
    slower = deepcopy(slow)
    by_hand = [deepcopy(one) for one in (network, slow, slower)]
    FlatParameters(network)  # as an optimizer steps it
    averages = Averages()
    with torch.no_grad():
        for update in range(3):
            for one in (network, by_hand[0]):
                for parameter in one.parameters():
                    parameter.add_(1.0)
            averages.move(slow, network, 0.5, update)
            averages.move(slower[2], slow[2], 0.5, update)
            averages.move(slower[0], network[0], 0.25, update)
            for own, other, tau in (
                (by_hand[1], by_hand[0], 0.5),
                (by_hand[2][2], by_hand[1][2], 0.5),
                (by_hand[2][0], by_hand[0][0], 0.25),
            ):
                for mine, theirs in zip(own.parameters(), other.parameters(), strict=True):
                    mine.lerp_(theirs, tau)
    for found, expected in zip((network, slow, slower), by_hand, strict=True):
        for name, value in found.state_dict().items():
            torch.testing.assert_close(value, expected.state_dict()[name], msg=name)


def test_an_average_of_two_optimizers_networks() -> None:
    network, slow = _network(), _network()
    optimizers = [FlatParameters(network[0]), FlatParameters(network[2])]
    with torch.no_grad():
        for one in optimizers:
            one.vector.add_(1.0)
    Averages().move(slow, network, 1.0, 0)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in slow.state_dict().items())
    for one in optimizers:
        assert memory(one.parameters) <= memory([one.vector]), "they still step it"


def test_statistics_of_batches_would_stay_behind() -> None:
    network = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    with pytest.raises(UserError, match=r"a BatchNorm keeps would stay behind"):
        Averages().move(deepcopy(network), network, 0.5, 0)


def test_what_is_cleared_is_passed_by() -> None:
    network = _network()
    together = FlatParameters(network)
    optimizer = Adam([together.vector], lr=0.1)
    network(torch.ones(1, 3)).sum().backward()
    together.gather_gradients()
    optimizer.step()
    before = together.vector.clone()
    together.clear_gradients()
    optimizer.step()
    assert torch.equal(together.vector, before)


def test_gradients_are_views_between_gathering_and_the_step() -> None:
    network = _network()
    together = FlatParameters(network)
    network(torch.ones(1, 3)).sum().backward()
    expected = [cast(Tensor, parameter.grad).clone() for parameter in network.parameters()]
    together.gather_gradients()
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        assert torch.equal(cast(Tensor, parameter.grad), gradient)
        cast(Tensor, parameter.grad).zero_()  # as a callback may, or clipping of the vector
    assert cast(Tensor, together.vector.grad).count_nonzero() == 0


def test_a_parameter_without_gradient_is_an_error() -> None:
    network = _network()
    together = FlatParameters(network)
    cast(nn.Linear, network[0]).bias.requires_grad_(False)
    network(torch.ones(1, 3)).sum().backward()
    with pytest.raises(UserError, match="1 of the 4 parameters of a network have no gradient"):
        together.gather_gradients()


def test_a_parameter_in_new_memory_is_an_error() -> None:
    network = _network()
    together = FlatParameters(network)
    weight = cast(nn.Linear, network[0]).weight
    weight.data = weight.data * 0.5
    network(torch.ones(1, 3)).sum().backward()
    with pytest.raises(UserError, match="were given new memory during the training"):
        together.gather_gradients()


def test_a_step_that_is_left_out_does_not_shrink_the_weights() -> None:
    network = _network()
    adam = FlatAdam(Optimized([network], 0.1, decays=[0.5]), fused=True)
    before = adam.flats[0].vector.detach().clone()
    network(torch.randn(8, 3)).square().sum().backward()
    adam.gather_gradients()
    adam.grad_scale, adam.found_inf = torch.ones(()), torch.ones(())  # as a scaler of gradients that overflowed does
    adam.step()
    assert torch.equal(adam.flats[0].vector, before)
    adam.found_inf = torch.zeros(())
    adam.step()
    assert not torch.equal(adam.flats[0].vector, before)
