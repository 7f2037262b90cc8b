"""The strategies that change a group, by name."""

from collections.abc import Mapping

from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
from flyasync.deploy.plan.strategies.canary import Canary
from flyasync.deploy.plan.strategies.group import GroupStrategy
from flyasync.deploy.plan.strategies.immediate import Immediate
from flyasync.deploy.plan.strategies.rolling import Rolling

STRATEGIES: Mapping[str, type[GroupStrategy]] = {each.name: each for each in (Rolling, Canary, BlueGreen, Immediate)}
"""What the journal is read by, and what the command offers, in this order; a launch is what is done without any."""


def takers(parameter: str) -> tuple[str, ...]:
    """Return the names of the strategies that have this parameter."""
    return tuple(name for name, strategy in STRATEGIES.items() if parameter in strategy.parameters())
