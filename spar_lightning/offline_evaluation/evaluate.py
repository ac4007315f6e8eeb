"""A decision without a simulator: what the data alone say of a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from spar_lightning.offline_evaluation.fitted_q import BEHAVIOUR, Settings, episode_means, fitted_q_evaluation
from spar_lightning.offline_evaluation.intervals import told
from spar_lightning.offline_evaluation.support import support
from spar_lightning.offline_evaluation.verdict import BETTER, judged
from spar_lightning.replay import OfflineDataModule, Transitions
from spar_lightning.types import Array, HasExpectedGain, HasReferencePolicies, Policy, UserError

POLICY, BASE = "policy", "base"
DISCOUNT = 0.99
"""Where a method has none of its own."""

_CHUNK = 8192  # states a forward pass


class FinitePolicy:
    """A policy whose actions are looked at: a NaN would be taken for something that nobody was asked about.

    Args:
        name: of the policy.
        policy: that acts.
    """

    def __init__(self, name: str, policy: Policy) -> None:
        self._name, self._policy = name, policy

    def act(self, observations: Array) -> Array:
        """Its actions.

        Raises:
            UserError: if one is not finite.
        """
        actions = self._policy.act(observations)
        if not bool(torch.isfinite(torch.as_tensor(actions)).all()):
            raise UserError(
                f"actions of the policy `{self._name}` are NaN or infinite, expected finite numbers: take an earlier"
                " checkpoint"
            )
        return actions


def evaluate_offline(
    module: Policy,
    datamodule: OfflineDataModule,
    settings: Settings,
    further: Mapping[str, Policy] | None = None,
    goes_on: Callable[[int], bool] = lambda _: True,
) -> dict[str, Any]:
    """What data and critics say of a module's policy over its base, or over the behaviour where it has no base.

    Args:
        module: with `reference_policies`, where it has some, and a discount among its hyper-parameters.
        datamodule: that has read its data.
        settings: of the fitted Q evaluation; 0 updates leave it out.
        further: policies that are evaluated too.
        goes_on: asked after each update of its critics, with their number; False gives it up.

    Returns:
        Primitives: `compared_with`, `verdict` and `reason`, `check` (what critics that did not guide the policy say of
        one step), `support` and `fqe`, each None where there is none.

    Raises:
        DataError: if there is one episode.
        UserError: if an action is not finite.
    """
    references = module.reference_policies() if isinstance(module, HasReferencePolicies) else {}
    compared_with = BASE if BASE in references else BEHAVIOUR
    named = {**references, **(further or {}), POLICY: module}
    acting = {name: FinitePolicy(name, policy) for name, policy in named.items()}
    held_out, transitions = datamodule.validation_transitions, datamodule.transitions
    near = None if held_out is None else support(acting, transitions, held_out, datamodule.statistics)
    check, fqe = check_critics(module, held_out), None
    if settings.updates:
        policies: dict[str, Policy | None] = {**({} if BASE in references else {BEHAVIOUR: None}), **acting}
        with_discount = replace(settings, discount=discount_of(module, settings))
        parts = (transitions, held_out, datamodule.statistics)
        fqe = fitted_q_evaluation(policies, compared_with, *parts, with_discount, goes_on)
    found = {"compared_with": compared_with, "check": check, "support": near, "fqe": fqe}
    return found | _verdict(check, near, fqe)


def discount_of(module: Any, settings: Settings) -> float:
    """The discount that was asked for, else the run's, else the usual one."""
    own = getattr(module, "hparams", {}).get("discount")
    found = settings.discount if settings.discount is not None else DISCOUNT if own is None else own
    return float(found)


def check_critics(module: Any, held_out: Transitions | None) -> dict[str, Any] | None:
    """The gain over the base of one step, after which the behaviour goes on, by critics that did not guide the policy.

    They learn from the same episodes as those that guide it, so an error that all share is not seen.

    Returns:
        `mean`, `low`, `high` (95%, None for one episode) of the discounted return, and `episodes`; None where nothing
        is held out, or the module has no such critics.
    """
    if held_out is None or not isinstance(module, HasExpectedGain):
        return None
    gains = [
        gain for chunk in held_out.chunks(_CHUNK) if (gain := module.expected_gain(chunk.observations)) is not None
    ]
    if not gains:
        return None
    means = episode_means(torch.cat(gains).double().cpu(), held_out.walks())
    return {**told(means.unsqueeze(0)), "episodes": len(means)}


def _verdict(
    check: Mapping[str, Any] | None, near: Mapping[str, Any] | None, fqe: Mapping[str, Any] | None
) -> dict[str, str | None]:
    own_support = None if near is None else near["policies"][POLICY]
    if fqe is not None:
        gains = {
            "the gain from the start": fqe["gains"][POLICY],
            "the gain over all states": fqe["state_gains"][POLICY],
        }
        found = judged(gains, own_support, fqe["explained"][POLICY])
    elif check is not None:
        found = judged({"the gain of one step": check}, own_support)
        if found.words == BETTER:  # of all policies so far, also of those that the simulator found no better, or worse
            return {
                "verdict": None,
                "reason": "critics of the run itself expect a gain of nearly every policy: ask `ope`",
            }
    else:
        return {"verdict": None, "reason": "no critics were asked"}
    return {"verdict": found.words, "reason": found.reason}
