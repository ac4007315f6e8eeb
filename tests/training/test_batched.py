"""Updates of tensors alone: of one seed, of several, compiled as a whole; all of them the same."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW
from torch.optim.optimizer import register_optimizer_step_post_hook

from spar_lightning.algorithms import BC, IQL, SPAR, TD3BC, Algorithm, Batch, Optimized, ReBRAC
from spar_lightning.algorithms.algorithm import Learner, Metrics
from spar_lightning.replay import Minibatches
from spar_lightning.training.updates import products
from spar_lightning.training.updates.batched import BatchedExecution
from spar_lightning.training.updates.optimizers import FlatAdam, adam_step, decay_weights
from spar_lightning.training.updates.stack import Training
from spar_lightning.training.updates.stream import NetworkUnits

SIZE, UPDATES = 8, 6
WITH_ONE_DNN = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch came without oneDNN")


class Stream:
    """Random batches in place of data."""

    def __init__(self, seed: int, action_dim: int) -> None:
        self._generator, self._action_dim = torch.Generator().manual_seed(seed), action_dim

    def batches(self, minibatches: Minibatches) -> list[Batch]:
        return [self._batch() for _ in range(len(minibatches))]

    def _batch(self) -> Batch:
        def draw(*shape: int) -> Tensor:
            return torch.rand(SIZE, *shape, generator=self._generator) * 2 - 1

        actions = [draw(self._action_dim) for _ in range(3)]
        columns = {"base_actions": actions[1], "next_base_actions": actions[2], "returns": draw()}
        columns |= {"next_actions": actions[1], "has_next_action": (draw() > 0).float()}
        for name in ("base_deviations", "next_base_deviations"):
            columns[name] = draw(self._action_dim).abs() + 0.1
        return Batch(draw(5), actions[0], draw(), draw(5), (draw() > 0.5).float(), columns)


def make(kind: str, seed: int, settings: dict[str, Any]) -> Algorithm:
    torch.manual_seed(seed)
    if kind == "spar":
        networks: dict[str, Any] = {"hidden_dims": (8,), "critic_hidden_dims": (8,), "num_critics": 2}
        course = {"warmup_steps": 3, "manifold_steps": 2, "lsi_batch": 4, "num_candidates": 3}
        return SPAR(BC(5, 2, (8,)), **(networks | course | settings))
    classes: dict[str, Any] = {"bc": BC, "td3_bc": TD3BC, "averaged": Averaged, "iql": IQL, "rebrac": ReBRAC}
    algorithm: Algorithm = classes[kind](5, 2, hidden_dims=(8,), **settings)
    return algorithm


def train(
    kind: str, seeds: list[int], clip_norm: float | None = None, compiles: bool = False, **settings: Any
) -> list[dict[str, Tensor]]:
    """Updates of these seeds together; the weights of each."""
    algorithms = [make(kind, seed, settings) for seed in seeds]
    brought = [
        Training(
            algorithm,
            cast(NetworkUnits, Stream(seed, algorithm.action_dim)),
            {name: FlatAdam(one, fused=True) for name, one in algorithm.optimizers(UPDATES).items()},
            torch.Generator().manual_seed(seed),
            settings,
            clip_norm,
            compiles,
        )
        for seed, algorithm in zip(seeds, algorithms, strict=True)
    ]
    execution = BatchedExecution(brought)
    minibatches = [cast(Minibatches, [None, None])] * len(seeds)
    for update in range(0, UPDATES, 2):
        told = execution.run(minibatches, update)
        assert len(told) == len(seeds)
        assert all(value.isfinite().all() for metrics, _ in told for value in metrics.values())
    return [{name: value.clone() for name, value in one.state_dict().items()} for one in algorithms]


def assert_near(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, value in one.items():
        assert torch.allclose(value.float(), other[name].float(), atol=1e-5), name


class Averaged(TD3BC):
    """Its targets follow at rates that change, as an average over a share of all updates does."""

    def update(self, batch: Batch, phase: bool, learner: Learner) -> Metrics:
        metrics = learner.descend("critic", self.critic_loss, batch, learner.normal(batch.size, self.action_dim))
        learner.follow(self.target_critic, self.critic, lambda update: 1 / (1 + update))
        return metrics


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("bc", {}),
    ("td3_bc", {"clip_norm": 0.1}),
    ("iql", {}),
    ("averaged", {}),
    ("rebrac", {}),
    ("spar", {}),
    ("spar", {"warmup_steps": 2}),  # the actor's first update and its second are of one training step
    ("spar", {"critic_target": "policy"}),
    ("spar", {"improvement": "value_gradient"}),
]


@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=str)
def test_seeds_together_are_the_seeds_alone(kind: str, settings: dict[str, Any]) -> None:
    for seed, state in zip((3, 4), train(kind, [3, 4], **settings), strict=True):
        assert_near(train(kind, [seed], **settings)[0], state)


@pytest.fixture(params=[False, pytest.param(True, marks=WITH_ONE_DNN)], ids=["", "faster"])
def faster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether this is a processor on which products, however small, are better made by another library."""
    monkeypatch.setattr(products, "mkl_lacks_avx512", lambda: request.param)
    monkeypatch.setattr(products, "_SMALLEST", 1)
    return bool(request.param)


@pytest.mark.parametrize("seeds", [[3], [3, 4]], ids=str)
@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=str)
def test_whole_updates_are_the_updates(
    monkeypatch: pytest.MonkeyPatch, kind: str, settings: dict[str, Any], seeds: list[int], faster: bool
) -> None:
    operations: set[str] = set()

    def as_traced(graph: Any, **_: Any) -> Any:  # what is compiled, without the compiler
        operations.update(str(node.target) for node in graph.__self__.graph.nodes)
        return graph

    monkeypatch.setattr(torch, "compile", as_traced)
    compiled = train(kind, seeds, compiles=True, **settings)
    assert ("spar_lightning.product.default" in operations) == faster
    assert bool(operations & {f"aten.{name}.default" for name in ("mm", "addmm", "bmm", "baddbmm")}) != faster
    for one, other in zip(compiled, train(kind, seeds, **settings), strict=True):
        assert_near(one, other)


@pytest.mark.parametrize("seeds", [[3], [3, 4]], ids=str)
def test_updates_are_made_in_mixed_precision_too(seeds: list[int]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        train("spar", seeds)  # looks at what the updates tell


@pytest.mark.slow
@pytest.mark.usefixtures("faster")
def test_whole_updates_are_compiled() -> None:
    for one, other in zip(train("td3_bc", [3, 4], compiles=True), train("td3_bc", [3, 4]), strict=True):
        assert_near(one, other)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_step_is_adams(decay: float) -> None:
    networks = [nn.Linear(3, 2), nn.Linear(2, 1)]
    adam = FlatAdam(Optimized(networks, 1e-2, decays=[decay, 0.0]), fused=True)
    flats = [flat.vector for flat in adam.flats]
    vectors, alone = ([one.detach().clone() for one in flats] for _ in range(2))
    groups = [{"params": [vector], "weight_decay": own} for vector, own in zip(alone, (decay, 0.0), strict=True)]
    torchs = AdamW(groups, lr=1e-2)
    moments = [(torch.zeros(()), torch.zeros_like(vector), torch.zeros_like(vector)) for vector in vectors]
    rate = torch.tensor(1e-2)
    for _ in range(5):
        gradients = [torch.randn_like(vector) for vector in vectors]
        for number, gradient in enumerate(gradients):
            flats[number].grad, alone[number].grad = gradient.clone(), gradient.clone()
        adam.step()
        torchs.step()
        decay_weights(vectors, adam.decays, rate)
        for vector, gradient, its in zip(vectors, gradients, moments, strict=True):
            adam_step(vector, gradient, its, rate, adam.param_groups[0])
    for vector, own, expected in zip(vectors, flats, alone, strict=True):
        assert torch.allclose(own, expected, atol=1e-6)
        assert torch.allclose(vector, expected, atol=1e-6)


def test_a_step_is_one_to_who_watches_steps() -> None:
    Adam([nn.Parameter(torch.zeros(1))])  # from then on torch watches Adam's own steps too
    adam = FlatAdam(Optimized([nn.Linear(3, 2)], 1e-2, decays=[0.5]), fused=True)
    seen: list[Any] = []
    watch = register_optimizer_step_post_hook(lambda optimizer, *_: seen.append(optimizer))
    adam.flats[0].vector.grad = torch.ones_like(adam.flats[0].vector)
    adam.step()
    watch.remove()
    assert seen == [adam]
