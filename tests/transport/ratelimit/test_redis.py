"""Buckets in a real Valkey server: the same arithmetic, on the server's clock, in real time."""

import asyncio
import os
import random
import signal
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis.asyncio import Redis

from flyasync import Emulator, FlyClient, Limits
from flyasync.errors import InvalidInput, RateLimited
from flyasync.transport.events import ClientEvent, LimitsBack, LimitsLost, Paused
from flyasync.transport.ratelimit import gcra
from flyasync.transport.ratelimit.buckets import Bucket
from flyasync.transport.ratelimit.rates import Rate
from flyasync.transport.ratelimit.redis import RedisStore
from flyasync.transport.ratelimit.shared import PATIENCE, SharedLimits, Store, StoreFailed
from flyasync.transport.ratelimit.stores import budget, find_store
from tests.transport.ratelimit.valkey import free_port, serving

RATE = Rate(per_second=100, burst=10)
PASSWORD = "hunter2-is-secret"
UNPACK = "local raw = redis.call('GET', KEYS[1]); return raw and cmsgpack.unpack(raw)"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as server:
        yield server.port


@pytest.fixture
def url(port: int, request: pytest.FixtureRequest) -> str:
    """Return each test a namespace of its own."""
    return f"redis://127.0.0.1:{port}/0?namespace={request.node.name}"


def really(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run in real time: the clock that counts is the server's."""
    asyncio.run(main())


@asynccontextmanager
async def store_at(url: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(url)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def working(url: str, rate: Rate = RATE) -> AsyncIterator[tuple[SharedLimits, Bucket, list[ClientEvent]]]:
    """Return one client's access to the store, a bucket, and the events it emits."""
    told: list[ClientEvent] = []
    shared = SharedLimits(RedisStore(url), told.append)
    try:
        yield shared, Bucket(rate, shared.limiter("key", rate)), told
    finally:
        await shared.close()


async def turns(bucket: Bucket, count: int) -> list[float]:
    times: list[float] = []

    async def one() -> None:
        await bucket.acquire()
        times.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(one() for _ in range(count)))
    return times


def peak(times: list[float], rate: Rate) -> float:
    """Return the greatest number of permits in any stretch of time, less what the rate allows in it."""
    low, most = float("inf"), 0.0
    for number, at in enumerate(sorted(times)):
        low = min(low, number - at * rate.per_second)
        most = max(most, number - at * rate.per_second - low + 1)
    return most


async def expiries(url: str) -> dict[str, int]:
    """Return all keys of the server, each with the milliseconds until it expires."""
    async with Redis.from_url(url.partition("?")[0], decode_responses=True) as redis:
        return {str(key): await redis.pttl(key) for key in await redis.keys()}


async def bucket_in(redis: Any, name: str) -> gcra.State | None:
    """Read what the script keeps."""
    known = await redis.eval(UNPACK, 1, name)
    if known is None:
        return None
    full_at, at, *line = known
    places = zip(line[::2], line[1::2], strict=True)
    return gcra.State(
        full_at=full_at, at=at, queue=tuple(gcra.Reservation(worker.decode(), due) for worker, due in places)
    )


def test_the_script_and_the_arithmetic_in_python_agree(url: str) -> None:
    rate = Rate(per_second=2000, burst=7, spare=0.3)
    interval, room = rate.interval, rate.room
    said: Counter[str] = Counter()

    async def one_question(stores: list[RedisStore], redis: Any, noise: random.Random) -> None:
        store = noise.choice(stores)
        name = store._key("bucket:key")
        before = await bucket_in(redis, name)
        asked = noise.choices(["take", "pause", "absurd pause", "charge"], [95, 2, 1, 2])[0]
        amount, wait, paused = noise.randrange(2_000) + (10**12 if asked == "absurd pause" else 0), 0, 0
        if asked == "take":
            answer = await store.take("key", rate)
            wait, paused = round(answer.wait * 1_000_000), round(answer.paused * 1_000_000)
        elif "pause" in asked:
            await store.pause("key", rate, amount / 1_000_000)
        else:
            await store.charge("key", rate, amount % 5)
        after = await bucket_in(redis, name)
        assert after, "it expires no sooner than it is full"
        known = before or gcra.State(full_at=after.at, at=after.at)
        if asked == "take":
            assert (after, wait) == gcra.take(known, store._worker, after.at, interval=interval, room=room)
            assert paused == after.paused(room=room)
        elif "pause" in asked:
            assert after == gcra.pause(known, after.at, room=room, length=amount)
        else:
            assert after == gcra.charge(known, after.at, interval=interval, room=room, requests=amount % 5)
        said[f"{asked}, {'paused' if paused else 'to wait'}" if wait else asked] += 1

    async def main() -> None:
        noise = random.Random(7)
        async with AsyncExitStack() as opened, Redis.from_url(url.partition("?")[0]) as redis:
            stores = [await opened.enter_async_context(store_at(url)) for _ in range(4)]
            await stores[0].take("another key", rate)
            await asyncio.sleep(rate.refill)  # until the store is old enough to know a full bucket
            for _ in range(2000):
                await one_question(stores, redis, noise)

    really(main)
    assert min(said[each] for each in ("take", "take, to wait", "take, paused", "pause", "charge")) > 10
    assert said["absurd pause"] > 5


def test_a_new_server_begins_with_empty_buckets_for_it_may_have_forgotten_them(url: str) -> None:
    async def main() -> None:
        slow = Rate(per_second=1, burst=3)
        async with store_at(url) as store:
            assert 0.9 <= (await store.take("key", slow)).wait <= 1

    really(main)


def test_three_clients_together_get_what_one_alone_would_and_the_same_each(url: str) -> None:
    async def main() -> None:
        async with working(url) as (_, one, _a), working(url) as (_, two, _b), working(url) as (_, three, _c):
            await turns(one, 1)
            start = asyncio.get_running_loop().time()
            times = await asyncio.gather(*(turns(bucket, 30) for bucket in (one, two, three)))
            last = [max(each) - start for each in times]
            # The first client has waited for the new server's first turn, so nothing is left of the burst.
            assert min(last) >= 0.8
            assert max(last) - min(last) <= 0.25
            assert max(last) >= (90 - RATE.usable) / RATE.per_second

    really(main)


def test_a_429_of_one_pauses_all(url: str) -> None:
    async def main() -> None:
        async with working(url) as (shared, one, _a), working(url) as (_, two, _b):
            await turns(one, 1)
            start = asyncio.get_running_loop().time()
            before = set(shared._tasks)
            one.pause(0.5)
            await asyncio.wait(shared._tasks - before)
            times = [*await turns(two, 2), *await turns(one, 1)]
            assert min(times) - start >= 0.5

    really(main)


def test_a_pause_for_longer_than_a_call_may_take_ends_it_at_once_in_every_process(url: str) -> None:
    async def main() -> None:
        told: list[ClientEvent] = []
        async with Emulator() as emulator:

            def client() -> FlyClient:
                return FlyClient(emulator.token, base_url=emulator.url, limits=url, on_event=told.append)

            async with client() as fly, store_at(url) as store:
                await fly.apps.create("web", org_slug="personal")
                await store.pause(f"{budget(emulator.url)}:machines.list:web", Limits().default, 3600)
            async with client() as one, client() as other, asyncio.timeout(5):
                ends = await asyncio.gather(
                    *(fly.machines.list("web") for fly in (one, other, one)), return_exceptions=True
                )
                assert [type(end) for end in ends] == [RateLimited] * 3
                assert all(3590 < (end.retry_after or 0) <= 3600 for end in ends if isinstance(end, RateLimited))
                await one.apps.get("web")
        pauses = [event for event in told if isinstance(event, Paused)]
        assert [(event.operation, event.identifier, event.is_ours) for event in pauses] == [
            ("machines.list", "web", False)
        ] * 2

    really(main)


def test_keys_are_namespaced_tell_no_secret_and_expire_by_themselves(port: int) -> None:
    async def main() -> None:
        url = f"redis://127.0.0.1:{port}/3?namespace=staging"
        async with Emulator() as emulator:
            async with FlyClient(emulator.token, base_url=emulator.url, limits=url) as fly:
                await fly.apps.create("web", org_slug="personal")
                await fly.apps.get("web")
                kept = await expiries(url)
                assert all(key.startswith("{staging}:") for key in kept)
                assert any(key.endswith(":apps.get:web") for key in kept)
                assert all(0 < left <= (86_400_000 if key.endswith(":born") else 61_000) for key, left in kept.items())
                assert max(left for key, left in kept.items() if ":bucket:" in key) <= 5_000
                async with Redis.from_url(url.partition("?")[0]) as redis:
                    values = [await redis.dump(key) for key in kept]
                assert emulator.token not in f"{kept} {values}"
            left = await expiries(url)
            assert not any(key.endswith(":workers") for key in left), "a client that is closed is no worker any more"

    really(main)


def test_many_buckets_at_once_are_no_trouble(url: str) -> None:
    async def main() -> None:
        told: list[ClientEvent] = []
        shared = SharedLimits(RedisStore(url), told.append)
        buckets = [Bucket(RATE, shared.limiter(f"key-{number}", RATE)) for number in range(500)]
        await asyncio.gather(*(bucket.acquire() for bucket in buckets))
        await shared.close()
        assert told == []

    really(main)


def test_a_loop_that_was_busy_for_long_does_not_blame_the_server(url: str) -> None:
    async def main() -> None:
        async with working(url) as (_, bucket, told):
            await turns(bucket, 1)
            for _ in range(2):
                turn = asyncio.create_task(bucket.acquire())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                time.sleep(PATIENCE + 0.1)  # noqa: ASYNC251 - as a long computation does
                await turn
            assert told == []

    really(main)


def test_while_the_server_is_stopped_each_client_keeps_to_its_share_and_then_they_count_together_again() -> None:
    async def main(server: Any) -> None:
        loop = asyncio.get_running_loop()
        async with working(server.connection_url) as (shared, bucket, told):
            await turns(bucket, 5)
            os.kill(server._process.pid, signal.SIGSTOP)
            try:
                start = loop.time()
                await turns(bucket, 50)
                assert loop.time() - start >= 0.45
                assert shared.is_lost
                assert [type(event) for event in told] == [LimitsLost]
            finally:
                os.kill(server._process.pid, signal.SIGCONT)
            await shared.back_within(10)
            await turns(bucket, 1)
            assert [type(event) for event in told] == [LimitsLost, LimitsBack]

    with serving() as server:
        really(lambda: main(server))


def test_a_server_that_was_killed_and_forgot_all_is_taken_up_again_without_a_burst() -> None:
    port = free_port()

    async def main(first: Any) -> None:
        async with working(f"redis://127.0.0.1:{port}") as (shared, bucket, told):
            times = await turns(bucket, 30)
            os.kill(first._process.pid, signal.SIGKILL)
            first._process.wait()
            times += await turns(bucket, 50)
            assert [type(event) for event in told] == [LimitsLost]
            with serving(port):
                await shared.back_within(10)
                times += await turns(bucket, 50)
                assert not shared.is_lost
            assert peak(times, RATE) <= RATE.usable + 1
            assert [type(event) for event in told] == [LimitsLost, LimitsBack]

    with serving(port) as first:
        really(lambda: main(first))


def test_connections_that_the_server_closed_while_nothing_was_asked_are_made_anew(url: str) -> None:
    async def main() -> None:
        told: list[ClientEvent] = []
        shared = SharedLimits(RedisStore(url), told.append)
        buckets = [Bucket(RATE, shared.limiter(f"key-{number}", RATE)) for number in range(20)]
        await asyncio.gather(*(bucket.acquire() for bucket in buckets))
        async with Redis.from_url(url.partition("?")[0]) as redis:
            await redis.client_kill_filter(_type="normal", skipme=True)
        await asyncio.gather(*(bucket.acquire() for bucket in buckets))
        await shared.close()
        assert told == []

    really(main)


def test_a_server_that_forgot_its_scripts_is_told_them_again(url: str) -> None:
    async def main() -> None:
        async with store_at(url) as store, Redis.from_url(url.partition("?")[0]) as redis:
            await store.take("key", RATE)
            await redis.script_flush()
            await store.take("key", RATE)
            assert (await store.census()).workers == 1

    really(main)


def shown_by(url: str) -> str:
    """Return all that people get to see of a client at `url`."""
    fly = FlyClient("a token", limits=url)
    assert fly._shared
    return f"{fly!r} {fly.limits!r} {fly._shared!r} {fly._shared._store!r} {Limits(shared=url)}"


@pytest.mark.parametrize("password", [PASSWORD, f"{PASSWORD}-no"])
def test_credentials_work_and_are_never_shown(password: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main(port: int) -> None:
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        assert PASSWORD not in shown_by(url)
        async with working(url) as (shared, bucket, told):
            await turns(bucket, 2)
            assert shared.is_lost is (password != PASSWORD)
            assert len(told) == shared.is_lost
            assert PASSWORD not in repr(told)

    async def lock(port: int) -> None:
        async with Redis(port=port) as redis:
            await redis.config_set("requirepass", PASSWORD)

    with serving() as server:
        really(lambda: lock(server.port))
        really(lambda: main(server.port))
    assert PASSWORD not in caplog.text


@contextmanager
def certificates(directory: Path) -> Iterator[tuple[Path, ssl.SSLContext]]:
    """Return an authority's certificate, and what a server at 127.0.0.1 proves itself with."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    yield directory / "authority.pem", context


@asynccontextmanager
async def tls_before(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Speak TLS before a server that does not."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, behind[1]), pipe(behind[0], writer))

    front = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        front.close()


def test_tls_works_and_a_server_that_cannot_prove_itself_is_not_asked(port: int, tmp_path: Path) -> None:
    async def main() -> None:
        with certificates(tmp_path) as (authority, context):
            async with tls_before(port, context) as front:
                async with store_at(f"rediss://127.0.0.1:{front}/5?ssl_ca_certs={authority}") as store:
                    await store.take("key", RATE)
                async with store_at(f"rediss://127.0.0.1:{front}/5") as store:
                    with pytest.raises(StoreFailed, match="certificate verify failed"):
                        await store.take("key", RATE)

    really(main)


def test_a_socket_of_this_host_is_a_way_to_the_server_too(tmp_path: Path) -> None:
    async def main(path: Path) -> None:
        async with store_at(f"unix://{path}?db=2") as store:
            await store.take("key", RATE)

    with serving(unix_socket_path=tmp_path / "valkey.sock") as server:
        really(lambda: main(server.unix_socket_path))


@pytest.mark.parametrize("scheme", ["valkey", "redis"])
def test_valkey_and_redis_are_two_words_for_it(port: int, scheme: str) -> None:
    async def main() -> None:
        store: Store | None = find_store(Limits(shared=f"{scheme}://127.0.0.1:{port}/6"))
        assert isinstance(store, RedisStore)
        assert store.name == f"redis://127.0.0.1:{port}/6"
        await store.take("key", RATE)
        await store.close()

    really(main)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}@cache:no-port/0",
        f"redis://:{PASSWORD}@cache/0?colour={PASSWORD}",
        f"redis://:{PASSWORD}@cache:6379/abc",
        f"redis://:{PASSWORD}/x@cache:6379/0",
        f"redis://:x/{PASSWORD}?y@cache:6379/0",
        f"redis://:x?{PASSWORD}@cache:no-port",
        f"redis://:[{PASSWORD}]x@cache:6379/0",
        f"redis://:x#{PASSWORD}@cache:no-port/0",
        f"unix:///run/valkey.sock?colour={PASSWORD}@x",
    ],
)
def test_a_url_that_names_no_server_is_refused_and_nothing_of_a_password_repeated(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not a valid Redis or Valkey URL") as caught:
        FlyClient("a token", limits=url)
    for part in (PASSWORD, "hunter2", "secret"):
        assert part not in str(caught.value)
        assert part not in repr(Limits(shared=url))
