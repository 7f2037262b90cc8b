"""Which failures deserve another try, and after how long."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from flyasync.errors import (
    BadRequest,
    CallFailed,
    ClaimLingers,
    ClientClosed,
    Conflict,
    ConnectFailed,
    ConnectionLost,
    Forbidden,
    ImageNotFound,
    InvalidInput,
    LeaseHeld,
    NoCapacity,
    NoReplyInTime,
    NotFound,
    NotSettled,
    RateLimited,
    Refused,
    Scope,
    SecretsNotReady,
    ServerFault,
    TimedOut,
    Unauthorized,
    Unreadable,
    VolumeInUse,
    WrongState,
)
from flyasync.transport.request import Repeat
from flyasync.transport.retries import RetryPolicy, deserves_another_try, retrying
from tests.transport.scripted import now

CALL = ("machines.start", "m1", "no")
LIMITED = RateLimited(*CALL, status=429, retry_after=10.0)


def hopeless() -> ConnectFailed:
    error = ConnectFailed(*CALL)
    error.is_temporary = False
    return error


BOTH, ANYTIME, NEVER = set(Repeat), {Repeat.ANYTIME}, set[Repeat]()


@pytest.mark.parametrize("repeat", Repeat)
@pytest.mark.parametrize(
    ("error", "repeats"),
    [
        (LIMITED, BOTH),
        (ConnectFailed(*CALL), BOTH),
        (hopeless(), NEVER),
        (ConnectionLost(*CALL), ANYTIME),
        (NoReplyInTime(*CALL), ANYTIME),
        (TimedOut(*CALL, status=408), ANYTIME),
        (TimedOut(*CALL, status=504), ANYTIME),
        (ServerFault(*CALL, status=500), ANYTIME),
        (ServerFault(*CALL, status=502), ANYTIME),
        (ServerFault(*CALL, status=503), ANYTIME),
        (ServerFault(*CALL, status=501), NEVER),
        (BadRequest(*CALL, status=400), NEVER),
        (Unauthorized(*CALL, status=401), NEVER),
        (Forbidden(*CALL, status=403), NEVER),
        (NotFound(*CALL, status=404), NEVER),
        (Conflict(*CALL, status=409), NEVER),
        (LeaseHeld(*CALL, status=409), NEVER),
        (NoCapacity(*CALL, status=503, scope=Scope.REGION), NEVER),
        (Refused(*CALL, status=302), NEVER),
        (ImageNotFound(*CALL, status=400), BOTH),
        (NotFound(*CALL, status=404, what="machine"), BOTH),
        (NotSettled(*CALL, status=412), BOTH),
        (ClaimLingers(*CALL, status=412), BOTH),
        (SecretsNotReady(*CALL, status=412), BOTH),
        (NotFound(*CALL, status=404, what="app"), NEVER),
        (WrongState(*CALL, status=412), NEVER),
        (VolumeInUse(*CALL, status=412), NEVER),
        (Unreadable(*CALL), NEVER),
        (ClientClosed("closed"), NEVER),
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "status", "")),
)
def test_another_try_is_deserved_where_it_is_safe_and_may_help(
    error: Exception, repeats: set[Repeat], repeat: Repeat
) -> None:
    assert deserves_another_try(error, repeat) == (repeat in repeats)


class Attempts:
    """Attempts that fail in order, and the times at which they were made."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.times: list[float] = []

    async def attempt(self, call: str) -> str:
        self.times.append(now())
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return f"done {call}"


def made(attempts: Attempts, policy: RetryPolicy, repeat: Repeat = Repeat.ANYTIME) -> Callable[[str], Awaitable[Any]]:
    return retrying(policy, partial(deserves_another_try, repeat=repeat), attempts.attempt)


async def test_a_bound_method_is_awaited_and_tried_again_until_it_succeeds() -> None:
    attempts = Attempts(ConnectionLost(*CALL), ServerFault(*CALL, status=503))
    assert await made(attempts, RetryPolicy())("it") == "done it"
    assert len(attempts.times) == 3


async def test_the_original_error_comes_out_once_the_attempts_are_used_up() -> None:
    errors = [ConnectionLost("machines.start", "m1", str(number)) for number in range(9)]
    with pytest.raises(ConnectionLost) as caught:
        await made(attempts := Attempts(*errors), RetryPolicy(attempts=4))("it")
    assert caught.value is errors[3]
    assert len(attempts.times) == 4


async def test_one_attempt_means_no_retry() -> None:
    attempts = Attempts(ConnectionLost(*CALL))
    with pytest.raises(ConnectionLost):
        await made(attempts, RetryPolicy(attempts=1))("it")
    assert len(attempts.times) == 1


@pytest.mark.parametrize("error", [ConnectionLost(*CALL), ServerFault(*CALL, status=500), TimedOut(*CALL, status=408)])
async def test_a_create_that_may_have_happened_is_not_sent_again(error: CallFailed) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)) as caught:
        await made(attempts, RetryPolicy(), Repeat.UNSENT)("it")
    assert caught.value is error
    assert len(attempts.times) == 1


async def test_a_create_that_never_left_is_sent_again() -> None:
    attempts = Attempts(ConnectFailed(*CALL), LIMITED)
    assert await made(attempts, RetryPolicy(), Repeat.UNSENT)("it") == "done it"


async def test_an_error_of_another_kind_is_not_touched() -> None:
    attempts = Attempts(KeyError("a mistake of ours"))
    with pytest.raises(KeyError):
        await made(attempts, RetryPolicy())("it")
    assert len(attempts.times) == 1


async def test_one_retrier_serves_many_calls_at_once_each_with_its_own_count() -> None:
    async def fail_twice(call: list[int]) -> int:
        call.append(0)
        if len(call) < 3:
            raise ConnectionLost(*CALL)
        return len(call)

    send = retrying(RetryPolicy(attempts=3), lambda _: True, fail_twice)
    assert await asyncio.gather(*(send([]) for _ in range(50))) == [3] * 50


def waits(policy: RetryPolicy, *errors: Exception) -> list[float]:
    generator = policy.waits()
    next(generator)
    given: list[float] = []
    for error in errors:
        try:
            given.append(generator.send(error))
        except StopIteration:
            break
    return given


LOST = [ConnectionLost(*CALL)] * 50


def test_the_waits_are_fully_jittered_and_grow_to_the_cap() -> None:
    policy = RetryPolicy(attempts=8, base=1, cap=10)
    random.seed(1)
    columns = list(zip(*(waits(policy, *LOST) for _ in range(400)), strict=True))
    assert len(columns) == 7
    for column, bound in zip(columns, [1, 2, 4, 8, 10, 10, 10], strict=True):
        assert 0 <= min(column) < 0.1 * bound
        assert 0.9 * bound < max(column) <= bound


def test_a_base_above_the_cap_is_capped_too() -> None:
    assert max(waits(RetryPolicy(attempts=40, base=10, cap=0.5), *LOST)) <= 0.5


def test_any_number_of_attempts_can_be_waited_for() -> None:
    assert len(waits(RetryPolicy(attempts=3000), *LOST * 100)) == 2999


def test_a_429_waits_in_its_bucket_and_does_not_count() -> None:
    policy = RetryPolicy(attempts=2)
    assert waits(policy, *[LIMITED] * 50) == [0.0] * 50
    lost = ConnectionLost(*CALL)
    assert len(waits(policy, LIMITED, lost, LIMITED, LIMITED, lost)) == 4


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [
        (NotFound(*CALL, status=404, what="machine"), 2),
        (NotSettled(*CALL, status=412), 30),
        (ImageNotFound(*CALL, status=400), 60),
        (SecretsNotReady(*CALL, status=412), 60),
        (ClaimLingers(*CALL, status=412), 120),
    ],
)
def test_a_refusal_that_clears_by_itself_is_outlasted_for_its_time_at_growing_pauses(
    refusal: Refused, seconds: float
) -> None:
    for _ in range(50):
        pauses = waits(RetryPolicy(attempts=1), *[refusal] * 200)
        assert seconds - 7.5 < sum(pauses) <= seconds
        assert pauses
        for pause, shortest in zip(pauses, [1, 1.5, 2.25, 3.375, *[5] * 200], strict=False):
            assert shortest <= pause <= 1.5 * shortest


def test_a_refusal_that_clears_by_itself_does_not_count_among_the_failures() -> None:
    lost, refusal = ConnectionLost(*CALL), NotSettled(*CALL, status=412)
    assert len(waits(RetryPolicy(attempts=3), refusal, lost, refusal, lost, refusal, lost)) == 5


async def test_the_caller_is_notified_of_each_pause() -> None:
    failures = [ConnectionLost(*CALL), NotSettled(*CALL, status=412)]
    told: list[tuple[Any, ...]] = []
    attempts = Attempts(*failures)
    send = retrying(RetryPolicy(), lambda _: True, attempts.attempt, lambda *pause: told.append(pause))
    assert await send("it") == "done it"
    assert [(call, failure) for call, failure, _ in told] == [("it", failure) for failure in failures]
    gaps = [after - before for before, after in zip(attempts.times, attempts.times[1:], strict=False)]
    assert gaps == pytest.approx([pause for _, _, pause in told], abs=1e-4)


async def test_between_two_attempts_it_waits_as_the_policy_says_and_nothing_is_added() -> None:
    policy = RetryPolicy(attempts=6, base=1, cap=10)
    random.seed(3)
    attempts = Attempts(*LOST[:5])
    await made(attempts, policy)("it")
    random.seed(3)
    expected = waits(policy, *LOST[:5])
    gaps = [after - before for before, after in zip(attempts.times, attempts.times[1:], strict=False)]
    assert gaps == pytest.approx(expected, abs=1e-4)


async def test_after_a_429_the_retry_reaches_its_bucket_at_once() -> None:
    attempts = Attempts(*[LIMITED] * 7)
    await made(attempts, RetryPolicy(attempts=1))("it")
    assert len(attempts.times) == 8
    assert attempts.times[-1] < 0.01


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0}, {"attempts": 2.5}, {"attempts": "5"}, {"base": 0}, {"base": float("inf")}, {"cap": 0},
        {"cap": None}, {"total": 0}, {"total": float("nan")}, {"total": True},
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(InvalidInput, match=rf"^RetryPolicy\.{name} is {value!r}, but must be an? "):
        RetryPolicy(**wrong)


def test_a_policy_may_be_endless() -> None:
    assert RetryPolicy(total=float("inf")).total == float("inf")


def test_a_retry_after_beyond_the_total_is_not_waited_out() -> None:
    waits = RetryPolicy(total=60).waits()
    next(waits)
    limited = RateLimited("machines.get", "web/1", "slow down", status=429, retry_after=60.0)
    with pytest.raises(StopIteration):
        waits.send(limited)


async def test_what_comes_out_in_the_end_does_not_drag_earlier_failures_along() -> None:
    failures = [ConnectFailed(*CALL), ConnectFailed(*CALL), BadRequest(*CALL, status=400)]
    left = iter(failures)

    async def attempt(_: None) -> None:
        raise next(left)

    with pytest.raises(BadRequest) as caught:
        await retrying(RetryPolicy(), partial(deserves_another_try, repeat=Repeat.UNSENT), attempt)(None)
    assert caught.value is failures[-1]
    assert caught.value.__context__ is None
