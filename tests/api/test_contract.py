"""The contract: every operation of the API's document, as the SDK asks for it and reads it."""

import random
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Coroutine
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import pytest
from attrs import Factory, define
from hypothesis import given, settings, strategies as st

from flyasync.api.apps import Apps
from flyasync.api.certificates import Certificates
from flyasync.api.client import FlyClient
from flyasync.api.ip_assignments import IPAssignments
from flyasync.api.machines.leases import Leases
from flyasync.api.machines.machines import Machines
from flyasync.api.platform import Platform
from flyasync.api.postgres import Postgres
from flyasync.api.resource import Caller
from flyasync.api.secret_keys import SecretKeys
from flyasync.api.secrets import Secrets
from flyasync.api.tokens import Tokens
from flyasync.api.volumes import Volumes
from flyasync.models.json.codec import structure, unstructure
from flyasync.models.model import Model, unknown_in
from flyasync.transport.ratelimit.rates import OPERATIONS as LIMITED
from flyasync.transport.request import Request
from flyasync.transport.retries import RetryPolicy
from flyasync.transport.sender import Sender
from tests.api.document import OPERATIONS, Described, Writer, unknown_keys
from tests.api.operations import NAMES, TABLE, Operation, unread

COUNT = 100
# Keys with capital letters have no field: a deprecated twin of `version`, and those that `GrantedAccess` mentions.
IN_EXTRA = {".Version", ".access.sourceApp", ".access.sourceMachine", ".access.sourceOrganization"}
READ = [name for name, operation in TABLE.items() if operation.gives is not unread]
FORMS = {
    # present, null, strange
    "as it comes": (0.6, 0.2, 0.3),
    "everything, and unknown keys at every depth": (0.9, 0.0, 1.0),
    "nulls in place of every optional": (1.0, 1.0, 0.0),
    "nothing but what is needed": (0.0, 0.0, 0.0),
}


@define
class Scripted:
    """Stands for the sender: notes each request, answers the first one, and has nothing more to say."""

    answer: Any
    asked: list[Request] = Factory(list)

    async def send(self, request: Request) -> Any:
        self.asked.append(request)
        answer = self.answer if len(self.asked) == 1 else {}
        return str(answer).encode() if request.reads == "bytes" else answer


def client(sender: Scripted) -> FlyClient:
    caller = Caller(cast("Sender", sender))
    volumes = Volumes(caller, lambda _, machine_id: machines.get("web", machine_id))
    machines = Machines(caller, RetryPolicy(), list_volumes=volumes.list, calls=64, polls=1000)
    return cast(
        "FlyClient",
        SimpleNamespace(
            apps=Apps(caller),
            machines=machines,
            leases=Leases(caller),
            volumes=volumes,
            secrets=Secrets(caller),
            secret_keys=SecretKeys(caller),
            certificates=Certificates(caller),
            ip_assignments=IPAssignments(caller),
            tokens=Tokens(caller),
            platform=Platform(caller),
            postgres=Postgres(caller),
        ),
    )


def call(operation: Operation, answer: Any) -> tuple[list[Request], Any]:
    """Ask for an operation; nothing in it waits, so it runs without a loop."""
    sender = Scripted(answer)
    asked = operation.ask(client(sender))
    coroutine = collected(asked) if isinstance(asked, AsyncIterator) else asked
    try:
        cast("Coroutine[Any, Any, Any]", coroutine).send(None)
    except StopIteration as done:
        return sender.asked, done.value
    raise AssertionError("it waits for something that is not the answer")


async def collected(rows: AsyncIterator[Any]) -> tuple[Any, ...]:
    return tuple([row async for row in rows])


def written(result: Any) -> Any:
    if isinstance(result, tuple):
        return [written(one) for one in result]
    if isinstance(result, bytes):
        return b64encode(result).decode()
    return unstructure(result) if isinstance(result, Model) else result


def typical(name: str) -> Any:
    return Writer(random.Random(name), present=1, null=0, strange=0).write(OPERATIONS[name].answer)


def expected_path(described: Described) -> str:
    return re.sub(r"\{(\w+)\}", lambda gap: quote(NAMES[gap[1]], safe=""), described.path)


def test_every_operation_of_the_document_has_a_method(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\ncontract: {len(TABLE.keys() & OPERATIONS.keys())} of {len(OPERATIONS)} operations")  # noqa: T201
    assert TABLE.keys() == OPERATIONS.keys()
    assert len(OPERATIONS) == COUNT


def test_limits_know_every_operation_by_the_name_that_errors_have_for_it() -> None:
    asked = {request.operation for name, operation in TABLE.items() for request in call(operation, typical(name))[0]}
    assert asked == LIMITED


@pytest.mark.parametrize("name", TABLE)
def test_what_is_sent_is_what_the_document_says(name: str) -> None:
    operation, described = TABLE[name], OPERATIONS[name]
    (request, *_), _ = call(operation, typical(name))
    assert f"{request.method} {request.path}" == f"{described.method} {expected_path(described)}"
    documented = described.query | set((described.body or {}).get("properties", {}))
    query, body = {key for key, _ in request.query}, set(request.body or {})
    assert query - operation.besides.keys() <= described.query
    assert query | body == documented - operation.left_out.keys() | operation.besides.keys()
    assert operation.left_out.keys() <= documented
    if described.body is None:
        assert request.body is None
    else:
        assert request.body is not None
        known = {key: value for key, value in request.body.items() if key not in operation.besides}
        assert not unknown_keys(known, described.body)


@pytest.mark.parametrize("name", READ)
def test_every_field_of_the_document_is_a_field_of_a_model(name: str) -> None:
    operation, answer = TABLE[name], typical(name)
    result = structure(answer, operation.model) if operation.model else call(operation, answer)[1]
    assert {unknown.path for unknown in unknown_in(result)} <= IN_EXTRA


@pytest.mark.parametrize("name", READ)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), form=st.sampled_from(list(FORMS)))
def test_every_answer_of_the_document_is_read_and_written_back_equal(name: str, seed: int, form: str) -> None:
    present, null, strange = FORMS[form]
    writer = Writer(random.Random(seed), present=present, null=null, strange=strange)
    operation = TABLE[name]
    answer = writer.write(OPERATIONS[name].answer)
    _, result = call(operation, answer)
    assert written(result) == operation.gives(answer)
    if operation.model:
        assert unstructure(structure(answer, operation.model)) == answer
