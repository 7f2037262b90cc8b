"""The strategies that change a group, by name, as used in the journal and by the command.

A launch is not in the list: it is what a deploy without a strategy does.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyasync.deploy.plan.strategies.group import GroupStrategy

NAMES = ("rolling", "canary", "bluegreen", "immediate", "recreate")
"""The names of the strategies, in the order in which help texts list them."""


# The classes import all models. The command's help needs only the names, and must not wait for that import.
@cache
def strategies() -> "Mapping[str, type[GroupStrategy]]":
    """Return the classes by their names."""
    from flyasync.deploy.plan.strategies.bluegreen import BlueGreen
    from flyasync.deploy.plan.strategies.canary import Canary
    from flyasync.deploy.plan.strategies.immediate import Immediate
    from flyasync.deploy.plan.strategies.recreate import Recreate
    from flyasync.deploy.plan.strategies.rolling import Rolling

    return {each.name: each for each in (Rolling, Canary, BlueGreen, Immediate, Recreate)}


def takers(parameter: str) -> tuple[str, ...]:
    """Return the names of the strategies that have this parameter."""
    return tuple(name for name, strategy in strategies().items() if parameter in strategy.parameters())
