"""The public names are loaded on first use, from a copy of each module that nothing has used yet."""

from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

import flyasync
import flyasync.testing


def unused(module: ModuleType) -> ModuleType:
    """Return a copy of a module as it is before any of its names was used."""
    spec = spec_from_file_location(module.__name__, module.__file__)
    assert spec is not None
    assert spec.loader is not None
    copy = module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


@pytest.mark.parametrize(
    ("module", "name"), [(flyasync, "FlyClient"), (flyasync, "DeployReport"), (flyasync.testing, "mock_machine")]
)
def test_a_name_is_loaded_on_first_use_and_is_the_same_object_in_every_copy(module: ModuleType, name: str) -> None:
    copy = unused(module)
    assert name in copy.__all__
    assert name not in vars(copy)
    assert getattr(copy, name) is getattr(module, name)
    assert name in vars(copy)


@pytest.mark.parametrize("module", [flyasync, flyasync.testing])
def test_a_name_that_does_not_exist_is_an_attribute_error(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'FlyKlient'"):
        unused(module).FlyKlient  # noqa: B018 - the access raises


def test_the_names_that_can_be_loaded_are_listed_and_the_version_is_that_of_the_distribution() -> None:
    copy = unused(flyasync)
    assert set(copy.__all__) <= set(dir(copy))
    assert copy.__version__ == flyasync.__version__
