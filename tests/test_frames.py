"""How deep a call is: our own stack frames between what the caller awaits and aiohttp.

How they are counted: a profile hook sees each function that starts. When the one function of aiohttp that sends a
request starts, the frames below it are walked, down to the event loop. Those whose code is in the package `flyasync`
are ours: methods, wrappers, lambdas, comprehensions and context managers alike. Those of backoff, attrs and asyncio,
and of this test, are not. Coroutines that await each other stand on one stack while the innermost one runs, so it is
the depth of the traceback that a caller would see.
"""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from aiohttp import ClientSession
from attrs import evolve

import flyasync
from flyasync import Check, DeployBuilder, Emulator, Fault, FlyClient, MachineConfig

OURS = str(Path(flyasync.__file__).parent)
SENDS = ClientSession._request.__code__
TRANSPORT = ("send", "attempt", "exchange")
NGINX = MachineConfig(image="nginx")


@contextmanager
def frames_to_aiohttp() -> Iterator[list[tuple[str, ...]]]:
    """Record for each request the names of our own frames on the stack, the outermost first."""
    stacks: list[tuple[str, ...]] = []
    seen: set[FrameType] = set()  # a coroutine that goes on after a pause is seen again

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is SENDS and frame not in seen:
            seen.add(frame)
            names: list[str] = []
            below = frame.f_back
            while below:
                if below.f_code.co_filename.startswith(OURS):
                    names.append(below.f_code.co_name)
                below = below.f_back
            stacks.append(tuple(reversed(names)))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield stacks
    finally:
        sys.setprofile(before)


async def with_a_machine(fly: FlyClient) -> str:
    await fly.apps.create("web", org_slug="personal")
    return (await fly.machines.create("web", NGINX)).id


def daily(config: MachineConfig) -> MachineConfig:
    return evolve(config, schedule="daily")


@pytest.mark.parametrize(
    ("ask", "most"),
    [
        (lambda fly, _: fly.apps.get("web"), 6),
        (lambda fly, _: fly.machines.list("web"), 6),
        (lambda fly, machine_id: fly.machines.get("web", machine_id), 6),
        (lambda fly, machine_id: fly.machines.cordon("web", machine_id), 6),
        (lambda fly, _: fly.machines.create("web", NGINX), 5),
        (lambda fly, _: fly.machines.create_once("web", NGINX, name="one", launch="v1"), 5),  # in a task of its own
        (lambda fly, machine_id: fly.machines.wait("web", machine_id), 8),
        (lambda fly, machine_id: fly.machines.wait_healthy("web", machine_id), 9),
        (lambda fly, machine_id: fly.machines.modify("web", machine_id, daily), 8),
    ],
    ids=["apps.get", "list", "get", "cordon", "create", "create_once", "wait", "wait_healthy", "modify"],
)
async def test_a_call_reaches_aiohttp_through_few_frames(
    ask: Callable[[FlyClient, str], Awaitable[Any]], most: int
) -> None:
    async with Emulator() as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        machine_id = await with_a_machine(fly)
        with frames_to_aiohttp() as stacks:
            await ask(fly, machine_id)
    assert stacks
    for stack in stacks:
        assert len(stack) <= most, stack
        assert stack[-3:] == TRANSPORT


async def test_the_delete_of_a_volume_is_one_deeper_since_it_may_be_answered_twice() -> None:
    async with Emulator() as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create("web", org_slug="personal")
        volume = await fly.volumes.create("web", name="data", region="iad")
        with frames_to_aiohttp() as stacks:
            await fly.volumes.delete("web", volume.id)
    assert stacks == [("delete", "remove", "ask", *TRANSPORT)]


async def test_a_wait_inside_a_deploy_is_at_most_14_frames_deep() -> None:
    """Counted from the task of its track, whether it launches a machine or replaces one, with checks and without."""
    base = DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx")
    checked = base.with_config(MachineConfig(image="nginx", checks={"alive": Check(type="tcp", port=80)}))
    deploys = [base, base.with_env(V="2"), checked, checked.with_env(V="3").canary(soak=5)]
    async with Emulator() as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        await fly.apps.create("web", org_slug="personal")
        with frames_to_aiohttp() as stacks:
            for deploy in deploys:
                assert (await deploy.execute(fly)).ok
    waits = [stack for stack in stacks if "until" in stack]
    assert {"wait", "wait_healthy"} <= {name for stack in waits for name in stack}
    assert max(len(stack) for stack in waits) <= 14, max(waits, key=len)


async def test_a_retry_is_one_frame_deeper() -> None:
    faults = [Fault(does="refuse", action="getMachine", status=503, times=1)]
    async with Emulator(faults=faults) as emulator, FlyClient(emulator.token, base_url=emulator.url) as fly:
        machine_id = await with_a_machine(fly)
        with frames_to_aiohttp() as stacks:
            await fly.machines.get("web", machine_id)
    first, second = stacks
    assert first[-3:] == TRANSPORT
    assert second == (*first[:-2], "retry", "attempt", "exchange")
