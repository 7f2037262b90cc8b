"""The tree of errors: as drawn, and whole after every journey."""

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from flyasync import errors
from flyasync.errors import (
    Abandoned,
    AlreadyStarting,
    BadRequest,
    CallFailed,
    ClaimLingers,
    ClientClosed,
    Conflict,
    ConnectFailed,
    ConnectionLost,
    DeployFailed,
    FileNotCopied,
    FleetChanged,
    FlyError,
    Forbidden,
    GraphQLFailed,
    ImageNotFound,
    IncompleteList,
    InvalidInput,
    JobLost,
    LeaseHeld,
    MissingToken,
    NameTaken,
    NoCapacity,
    NoFreeVolume,
    NoReplyInTime,
    NotFound,
    NotSettled,
    PoolExhausted,
    RateLimited,
    Refused,
    Scope,
    SecretsNotReady,
    ServerFault,
    StaleVersion,
    TimedOut,
    Unanswered,
    Unauthorized,
    Unreadable,
    VolumeInUse,
    WaitFailed,
    WrongLoop,
    WrongState,
)

CALL = ("machines.start", "m1", "it went wrong")
NO: dict[str, Any] = {"status": 409, "code": "a_code", "request_id": "01K4-yyz"}

EXAMPLES: list[FlyError] = [
    FlyError("any"),
    InvalidInput("no"),
    MissingToken("none"),
    ClientClosed("closed"),
    WrongLoop("another loop"),
    PoolExhausted("web", "pool", 60.0, most=5, machines=5, claimed=5, refusal=None),
    FileNotCopied("m1", "/data/a", 1, "no such file"),
    Abandoned("given up"),
    FleetChanged("the fleet has changed", ["app-iad-1 is gone"], command="plan again"),
    CallFailed(*CALL),
    Unanswered(*CALL),
    ConnectFailed(*CALL),
    ConnectionLost(*CALL),
    NoReplyInTime(*CALL),
    Refused(*CALL, status=302, advice="Ask elsewhere"),
    BadRequest(*CALL, status=422),
    Unauthorized(*CALL, status=401),
    Forbidden(*CALL, status=403),
    NotFound(*CALL, status=404),
    NotFound(*CALL, status=404, what="machine"),
    ImageNotFound(*CALL, status=400),
    Conflict(*CALL, **NO),
    LeaseHeld(*CALL, **NO, holder="me@example.com", expires_at="2026-01-01T00:00:00Z"),
    NameTaken(*CALL, **NO, existing_id="m2"),
    AlreadyStarting(*CALL, **NO),
    WrongState(*CALL, **NO),
    NotSettled(*CALL, **NO),
    StaleVersion(*CALL, **NO),
    VolumeInUse(*CALL, **NO, machine_id="m2"),
    ClaimLingers(*CALL, **NO),
    SecretsNotReady(*CALL, **NO),
    RateLimited(*CALL, status=429, retry_after=1.5),
    NoCapacity(*CALL, status=422, scope=Scope.REGION),
    TimedOut(*CALL, status=408),
    ServerFault(*CALL, status=500),
    Unreadable(*CALL),
    GraphQLFailed("graphql", "GetApp", [{"message": "no", "extensions": {"code": "NOT_FOUND"}}], data={"app": None}),
    NoFreeVolume("web", "data", ["iad"], held=2, free=["lhr"]),
    IncompleteList("machines.list_org", "personal", ["sin"]),
    WaitFailed("web", "m1", wanted="started", state="failed", reason="it exited", hopeless=True),
    JobLost("web", "v1", "its worker died"),
    DeployFailed("what runs where"),
]

MAY_HAVE_HAPPENED = {
    Unanswered, ConnectionLost, NoReplyInTime, TimedOut, ServerFault, Unreadable, JobLost, DeployFailed,
}  # fmt: skip


def in_doubt(error: FlyError, *, may_have_happened: bool = True) -> FlyError:
    error.may_have_happened = may_have_happened
    return error


def drawn() -> dict[str, str]:
    """Read the tree at the module's top: each class and its parent."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"(?P<lines>[│├└─ ]*)(?P<name>[A-Z]\w+)(?:\s{2,}|$| [a-z])", line):
            depth = len(found["lines"]) // 4
            if depth or found["name"] == "FlyError":
                above[depth:] = [found["name"]]
                parents[found["name"]] = above[depth - 1] if depth else "Exception"
    return parents


def real() -> dict[str, str]:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    return {kind.__name__: kind.__bases__[0].__name__ for kind in classes if issubclass(kind, FlyError)}


def test_the_tree_is_as_drawn() -> None:
    assert drawn() == real()


def test_every_class_has_an_example_here() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == real().keys()


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_and_copying(error: FlyError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert other.args == error.args
        assert vars(other) == vars(error)
        assert str(other) == str(error)
        assert other.may_have_happened == error.may_have_happened


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_says_whether_it_may_have_happened(error: FlyError) -> None:
    assert error.may_have_happened == (type(error) in MAY_HAVE_HAPPENED)


def test_a_closed_client_knows_about_the_call_it_ended() -> None:
    error = pickle.loads(pickle.dumps(ClientClosed("closed", may_have_happened=True)))
    assert error.may_have_happened


def test_what_was_learnt_later_is_pickled_too() -> None:
    error = ConnectFailed(*CALL)
    error.may_have_happened, error.is_temporary = True, False
    other = pickle.loads(pickle.dumps(error))
    assert other.may_have_happened
    assert not other.is_temporary


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ConnectionLost(*CALL),
            "machines.start m1: it went wrong. The request may have happened: check before you retry",
        ),
        (
            in_doubt(ConnectionLost(*CALL), may_have_happened=False),
            "machines.start m1: it went wrong. The request changes nothing and is safe to retry",
        ),
        (
            ConnectFailed(*CALL),
            "machines.start m1: it went wrong. Nothing was sent. Check the base URL and the network",
        ),
        (
            in_doubt(ConnectFailed(*CALL, advice="Renew the certificate")),
            (
                "machines.start m1: it went wrong. An earlier attempt may have happened: check before you retry. "
                "Renew the certificate"
            ),
        ),
        (
            in_doubt(RateLimited(*CALL, status=429)),
            (
                "machines.start m1: it went wrong (HTTP 429). An earlier attempt may have happened: check before you "
                "retry. Another process uses the same limit: 1 request per second for each action and identifier"
            ),
        ),
        (
            ServerFault(*CALL, status=500),
            (
                "machines.start m1: it went wrong (HTTP 500). The request may have happened: check before you retry. "
                "See https://status.flyio.net"
            ),
        ),
        (
            in_doubt(Unreadable(*CALL), may_have_happened=False),
            "machines.start m1: it went wrong. The base URL may point to something other than the Machines API",
        ),
        (Refused("a", "b", "\x1b[2Jc\u202ed", status=400), "a b: cd (HTTP 400)"),
        (InvalidInput("\x1b[2Jc\u202ed"), "cd"),
        (
            BadRequest("a", "b", "<html><title>Not here</title>", status=400, request_id="01K", advice=""),
            'a b: an HTML page, "Not here" (HTTP 400, request 01K)',
        ),
        (
            WrongState(*CALL, **NO),
            (
                "machines.start m1: it went wrong (HTTP 409 a_code, request 01K4-yyz). "
                "Wait for the machine to settle, then try again"
            ),
        ),
        (NotFound(*CALL, status=404, advice=""), "machines.start m1: it went wrong (HTTP 404)"),
        (Refused(*CALL, status=302, advice="Ask there"), "machines.start m1: it went wrong (HTTP 302). Ask there"),
        (
            WaitFailed("web", "m1", wanted="started", state="failed", reason="it exited", hopeless=True),
            "machine m1 of web is failed, not started: it exited. See its events: fly.machines.events('web', 'm1')",
        ),
        (DeployFailed("what runs where"), "what runs where"),
    ],
)
def test_the_text_says_what_where_why_and_what_to_do(error: FlyError, text: str) -> None:
    assert str(error) == text


def test_what_to_do_is_stated_for_python_and_for_the_command() -> None:
    error = InvalidInput("no region", python="use to_regions('iad')", command="use --region iad\x1b[2J")
    assert str(error) == "no region: use to_regions('iad')"
    assert error.for_command == "no region: use --region iad"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.for_command) == (str(error), error.for_command)
    same = InvalidInput("no region")
    assert str(same) == same.for_command == "no region"
    assert Refused("a", "b", "c", status=400).for_command == "a b: c (HTTP 400)"
    refused = Refused("a", "b", "c", status=400).explained("Pass x=", command="Use --x")
    for one in (refused, pickle.loads(pickle.dumps(refused))):
        assert (str(one), one.for_command) == ("a b: c (HTTP 400). Pass x=", "a b: c (HTTP 400). Use --x")
    held = LeaseHeld("a", "b", "c", status=409)
    assert str(held).endswith("or pass the nonce of the lease you hold")
    assert held.for_command.endswith("or release it: flyasync machines lease clear")
    failed = WaitFailed("web", "m1", wanted="started", state="failed", reason="it exited", hopeless=True)
    assert failed.for_command == (
        "machine m1 of web is failed, not started: it exited. See its events: flyasync machines events web m1"
    )
    incomplete = IncompleteList("machines.list_org", "acme", ["sin"])
    assert str(incomplete) == f"{incomplete.for_command}, or pass on_error_regions= to continue without these regions"
    assert incomplete.for_command.endswith("the API could not read sin. Retry later")


@pytest.mark.parametrize(
    ("regions", "held", "free", "says"),
    [
        (["iad", "yyz"], 0, [], "web has no free volume data in iad or yyz: there is none. Create one with: "),
        ([], 0, [], "web has no free volume data: there is none. Create one with: "),
        (["iad"], 1, [], "web has no free volume data in iad: the only one is taken. Create one with: "),
        (
            ["iad"],
            2,
            ["ams"],
            "web has no free volume data in iad: all 2 are taken, but there are free ones in ams. Create one with: ",
        ),
    ],
)
def test_a_volume_that_is_not_free_says_why_and_how_to_get_one(
    regions: list[str], held: int, free: list[str], says: str
) -> None:
    error = NoFreeVolume("web", "data", regions, held=held, free=free)
    assert str(error) == f"{says}fly.volumes.create('web', name='data', region={'iad' if regions else '…'!r})"
    assert error.for_command == f"{says}flyasync volumes create web data --region {'iad' if regions else 'CODE'}"


def test_a_message_is_cut_at_64_kb() -> None:
    error = Refused("a", "b", "x" * 1_000_000, status=500)
    assert len(str(error)) < 66_000
    assert len(error.args[2]) < 66_000
    failed = GraphQLFailed("graphql", "Q", [{"message": "x" * 50_000}] * 10)
    assert len(str(failed)) < 66_000


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_can_be_redacted_and_is_the_same_else(error: FlyError) -> None:
    other = copy.copy(error).redact(lambda text: text.replace("it went wrong", "[redacted]"))
    assert type(other) is type(error)
    assert "it went wrong" not in f"{other} {other!r} {vars(other)}"
    assert str(other) == str(error).replace("it went wrong", "[redacted]")
    assert {name: type(value) for name, value in vars(other).items()} == {
        name: type(value) for name, value in vars(error).items()
    }


def test_errors_can_be_caught_by_their_standard_kin() -> None:
    assert issubclass(InvalidInput, ValueError)
    assert issubclass(ClientClosed, RuntimeError)
