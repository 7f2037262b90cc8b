"""The strategies by name, and what the command and the journal are derived from."""

import pytest

from flyasync import DeployBuilder, Requirement
from flyasync.deploy.plan.strategies.registry import NAMES, strategies, takers
from flyasync.deploy.plan.strategy import Share, Strategy


def test_each_strategy_is_there_by_its_name() -> None:
    assert NAMES[:4] == ("rolling", "canary", "bluegreen", "immediate")
    assert tuple(strategies()) == NAMES
    assert all(strategy.name == name and issubclass(strategy, Strategy) for name, strategy in strategies().items())


def test_which_strategies_have_a_parameter() -> None:
    assert takers("max_unavailable") == ("rolling", "canary")
    assert takers("machines") == takers("soak") == ("canary",)
    assert takers("drain") == ("bluegreen",)
    assert takers("speed") == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_builder_has_a_method_for_each_that_takes_its_parameters(name: str) -> None:
    given: dict[str, object] = {"max_unavailable": 2, "machines": 3, "soak": 4.0, "drain": 5.0}
    chosen = {each: given[each] for each in strategies()[name].parameters()}
    strategy = getattr(DeployBuilder("web").to_regions("iad").with_image("x"), name)(**chosen).deployment().strategy
    assert type(strategy) is strategies()[name]
    for each, value in chosen.items():
        held = getattr(strategy, each)
        assert (held.amount if isinstance(held, Share) else held) == value


def test_without_a_strategy_a_deploy_only_adds() -> None:
    spec = DeployBuilder("web").to_regions("iad").with_image("x").deployment()
    assert spec.strategy.only_adds
    assert (spec.strategy.name, spec.strategy_name) == ("launch", None)
    assert (spec.requirement, spec.smoke) == (Requirement(1), 0.0)


def test_only_bluegreen_makes_a_new_machine_for_each() -> None:
    assert [name for name, strategy in strategies().items() if strategy.replaces_machines] == ["bluegreen"]
