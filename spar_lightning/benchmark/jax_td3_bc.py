"""TD3+BC in JAX, one file, trained as implementations in JAX are: many updates scanned in one program, seeds by `vmap`.

The data lie on the device, batches are drawn in the program. It imports nothing of this project, and JAX, which is not
among this project's requirements, only where it is used. It runs by itself:
`python spar_lightning/benchmark/jax_td3_bc.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

DISCOUNT, TAU, NOISE, NOISE_CLIP, ALPHA, RATE = 0.99, 0.005, 0.2, 0.5, 2.5, 3e-4
AT_ONCE = 100
"""Updates of one program: the actor moves at every second."""


def limit_threads(threads: int, accelerator: str) -> None:
    """Compute with so many threads; to be called before JAX is imported, which reads these when it starts."""
    os.environ["NPROC"] = str(threads)
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # others use the device too
    if accelerator == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"


class JaxTD3BC:
    """Trainings that differ in their seed.

    Args:
        columns: of the data, float32: observations (N, O), actions (N, A), rewards (N,), next_observations (N, O),
            terminations (N,).
        action_dim: A.
        width: of both hidden layers.
        batch_size: transitions an update.
        num_seeds: trained at once.
    """

    def __init__(
        self,
        columns: Mapping[str, npt.NDArray[np.float32]],
        action_dim: int,
        width: int = 256,
        batch_size: int = 256,
        num_seeds: int = 1,
    ) -> None:
        import jax
        from jax import numpy as jnp

        names = ("observations", "actions", "rewards", "next_observations", "terminations")
        rows = [columns[name].reshape(len(columns["rewards"]), -1) for name in names]
        dims = rows[0].shape[1], action_dim
        self._data = jnp.asarray(np.concatenate(rows, axis=1))
        self._states = jax.vmap(lambda key: _begin(key, dims, width))(jax.random.split(jax.random.key(0), num_seeds))

        def train(states: Any, data: Any) -> Any:
            def pair(state: Any, _: Any) -> Any:
                for moves_actor in (False, True):
                    state = _update(state, data, dims, batch_size, moves_actor)
                return state, None

            return jax.vmap(lambda state: jax.lax.scan(pair, state, None, length=AT_ONCE // 2)[0])(states)

        self._train = jax.jit(train, donate_argnums=0)
        self._num_seeds = num_seeds
        self.updates = 0

    def train(self) -> None:
        """Make `AT_ONCE` updates of each seed, and wait for them."""
        import jax

        self._states = jax.block_until_ready(self._train(self._states, self._data))
        self.updates += AT_ONCE * self._num_seeds


def _begin(key: Any, dims: tuple[int, int], width: int) -> dict[str, Any]:
    """Networks, slow copies, and the state of Adam of a seed."""
    import jax
    from jax import numpy as jnp

    key, first, second = jax.random.split(key, 3)
    critic = jax.vmap(lambda one: _network(one, sum(dims), width, 1))(jax.random.split(first, 2))
    actor = _network(second, dims[0], width, dims[1])
    networks = {"critic": critic, "actor": actor}
    adam = {
        name: {"first": _zeros(one), "second": _zeros(one), "steps": jnp.zeros(())} for name, one in networks.items()
    }
    slow = jax.tree.map(jnp.copy, networks)  # buffers that are given away must be distinct
    return {**networks, "slow": slow, "adam": adam, "key": key}


def _zeros(tree: Any) -> Any:
    import jax
    from jax import numpy as jnp

    return jax.tree.map(jnp.zeros_like, tree)


def _network(key: Any, inputs: int, width: int, outputs: int) -> list[Any]:
    """Weights and biases of three layers."""
    import jax
    from jax import numpy as jnp

    shapes = ((inputs, width), (width, width), (width, outputs))
    keys = jax.random.split(key, 3)
    return [
        (jax.random.uniform(one, shape, minval=-(shape[0] ** -0.5), maxval=shape[0] ** -0.5), jnp.zeros(shape[1]))
        for one, shape in zip(keys, shapes, strict=True)
    ]


def _apply(network: Any, inputs: Any) -> Any:
    import jax

    for weight, bias in network[:-1]:
        inputs = jax.nn.relu(inputs @ weight + bias)
    return inputs @ network[-1][0] + network[-1][1]


def _act(actor: Any, observations: Any) -> Any:
    from jax import numpy as jnp

    return jnp.tanh(_apply(actor, observations))


def _values(critic: Any, observations: Any, actions: Any) -> Any:
    """Of both critics, (2, B)."""
    import jax
    from jax import numpy as jnp

    inputs = jnp.concatenate([observations, actions], -1)
    return jax.vmap(lambda network: _apply(network, inputs)[..., 0])(critic)


def _update(state: dict[str, Any], data: Any, dims: tuple[int, int], batch_size: int, moves_actor: bool) -> Any:
    """A step of the critics, and of actor and slow copies if their turn has come."""
    import jax
    from jax import numpy as jnp

    key, drawn, noisy = jax.random.split(state["key"], 3)
    rows = data[jax.random.randint(drawn, (batch_size,), 0, len(data))]
    cuts = np.cumsum([dims[0], dims[1], 1, dims[0]])
    observations, actions, rewards, following, ends = jnp.split(rows, cuts, axis=1)
    noise = jnp.clip(NOISE * jax.random.normal(noisy, actions.shape), -NOISE_CLIP, NOISE_CLIP)
    next_actions = jnp.clip(_act(state["slow"]["actor"], following) + noise, -1.0, 1.0)
    next_values = _values(state["slow"]["critic"], following, next_actions).min(0)
    target = rewards[:, 0] + DISCOUNT * (1.0 - ends[:, 0]) * next_values

    def critic_loss(critic: Any) -> Any:
        return ((_values(critic, observations, actions) - target) ** 2).mean(-1).sum()

    def actor_loss(actor: Any) -> Any:
        chosen = _act(actor, observations)
        value = _values(state["critic"], observations, chosen)[0]
        weight = ALPHA / jnp.abs(jax.lax.stop_gradient(value)).mean()
        return ((chosen - actions) ** 2).mean() - weight * value.mean()

    state = _stepped({**state, "key": key}, "critic", jax.grad(critic_loss)(state["critic"]))
    if moves_actor:
        state = _stepped(state, "actor", jax.grad(actor_loss)(state["actor"]))
        networks = {name: state[name] for name in ("critic", "actor")}
        state["slow"] = jax.tree.map(lambda slow, fast: slow + TAU * (fast - slow), state["slow"], networks)
    return state


def _stepped(state: dict[str, Any], name: str, gradient: Any) -> dict[str, Any]:
    """A step of Adam."""
    import jax
    from jax import numpy as jnp

    adam = state["adam"][name]
    steps = adam["steps"] + 1
    first = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, adam["first"], gradient)
    second = jax.tree.map(lambda old, new: 0.999 * old + 0.001 * new**2, adam["second"], gradient)
    rate = RATE * jnp.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
    network = jax.tree.map(lambda x, m, v: x - rate * m / (jnp.sqrt(v) + 1e-8), state[name], first, second)
    moments = {"first": first, "second": second, "steps": steps}
    return {**state, name: network, "adam": {**state["adam"], name: moments}}


if __name__ == "__main__":
    shapes = {"observations": (10_000, 17), "actions": (10_000, 6), "next_observations": (10_000, 17)}
    shapes |= {"rewards": (10_000, 1), "terminations": (10_000, 1)}
    generator = np.random.default_rng(0)
    found = {name: generator.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    training = JaxTD3BC(found | {"terminations": np.zeros((10_000, 1), np.float32)}, 6)
    training.train()
    first, began = training.updates, time.perf_counter()
    while training.updates < first + 2000:
        training.train()
    print(f"{(training.updates - first) / (time.perf_counter() - began):.0f} updates/s")
