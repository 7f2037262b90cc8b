import pytest
from attrs import evolve

from flyasync import Guest, Machine, MachineConfig
from flyasync.deploy.run.sharing import sharing
from flyasync.testing import mock_machine


def config(launch: str = "v1", guest: Guest | None = None, **extra: object) -> MachineConfig:
    image = b"nginx".decode()  # a string of its own in each config
    metadata = {"launch": launch, "name": b"app".decode()}
    return MachineConfig(image=image, guest=guest or Guest(cpus=2, memory_mb=2048), metadata=metadata, extra=extra)


def test_equal_parts_become_the_same_objects_at_every_depth_and_the_value_stays_equal() -> None:
    first, second = (evolve(mock_machine(id=letter * 14), config=config(letter)) for letter in "ab")
    shared = sharing(second, first)
    assert shared == second
    assert shared.state is first.state
    assert shared.config is not None
    assert first.config is not None
    assert shared.config.guest is first.config.guest
    assert shared.config.image is first.config.image
    assert shared.config.metadata == {"launch": "b", "name": "app"}
    assert shared.config.metadata["name"] is (first.config.metadata or {})["name"]


def test_a_value_that_is_equal_in_all_parts_is_the_known_one() -> None:
    known = config()
    assert sharing(config(), known) is known


@pytest.mark.parametrize("known", [config(other=1), config(other=True)])
def test_unknown_keys_are_never_exchanged(known: MachineConfig) -> None:
    mine = config(other="mine")
    assert sharing(mine, known) is mine
    assert sharing(config(), known).extra == {}
    inner = config(guest=Guest(cpus=2, memory_mb=2048, extra={"cores": 3}))
    assert sharing(config(), inner).guest == Guest(cpus=2, memory_mb=2048)
    assert getattr(sharing(config(), inner).guest, "extra", None) == {}
    assert getattr(sharing(inner, config()).guest, "extra", None) == {"cores": 3}


def test_values_of_other_types_are_not_equal() -> None:
    assert sharing(MachineConfig(auto_destroy=True), MachineConfig(auto_destroy=1)).auto_destroy is True  # type: ignore[arg-type]


def test_lists_and_what_only_one_of_them_has_stay() -> None:
    first = evolve(mock_machine(id="a" * 14), region="iad", config=None)
    second = evolve(mock_machine(id="b" * 14), region="lhr", config=config())
    shared = sharing(second, first)
    assert shared == second
    assert isinstance(shared, Machine)
    assert shared.config == config()
