"""Verification from outside: what must succeed for each machine that is up, before others follow; pure."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

from attrs import field, frozen

from flyasync.deploy.plan.strategy import demand_seconds
from flyasync.errors import InvalidInput
from flyasync.models.machine import Machine
from flyasync.models.redaction import contains_secret

if TYPE_CHECKING:
    from flyasync.api.client import FlyClient

VerifyMachine = Callable[["FlyClient", Machine], Awaitable[object]]
"""An async function that raises if a machine that is up is not well; False counts as a failure too."""


@frozen(kw_only=True)
class Verification:
    """A shell command that must exit with 0 for each machine, or a function that must not raise.

    Exactly one of `command` and `function` is set. `timeout` is the number of seconds that each run may take.
    """

    command: str | None = field(default=None, repr=False)
    function: "VerifyMachine | None" = None
    timeout: float = 60.0

    @classmethod
    def of(cls, check: Any, *, timeout: float = 60.0) -> Self:
        """Return the verification by a command line or a function; raises InvalidInput for anything else."""
        demand_seconds("timeout", timeout, least=1)
        if callable(check):
            return cls(function=check, timeout=timeout)
        if not isinstance(check, str):
            raise InvalidInput(f"verify takes an async function or a command line, not {type(check).__name__}")
        if not check.strip() or "\0" in check:
            raise InvalidInput("a verification needs a command, such as 'curl -fsS https://shop.example/health'")
        return cls(command=check, timeout=timeout)

    @property
    def holds_a_secret(self) -> bool:
        """Whether the command line may contain a secret."""
        return contains_secret(self.command)

    def __str__(self) -> str:
        if self.holds_a_secret:
            return "a command that may contain a secret"
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        return str(name) if self.command is None else " ".join(self.command.split())
