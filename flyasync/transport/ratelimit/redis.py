"""One budget for many hosts: buckets in Redis or Valkey, computed by the server on its own clock."""

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from flyasync.errors import InvalidInput
from flyasync.transport.ratelimit.gcra import LATE, LONGEST, SLACK
from flyasync.transport.ratelimit.rates import Rate, without_password
from flyasync.transport.ratelimit.shared import AT_ONCE, PATIENCE, SECOND, Census, StoreFailed, StoreReply

NAMESPACE: Final = "flyasync"
TIMEOUT: Final = 2.0
"""Seconds until the connection is closed; the caller gives up earlier."""
LATELY: Final = 60 * SECOND
"""How long a worker is counted after it was last seen."""
MEMORY: Final = 86400
"""Seconds for which the server keeps the time at which it first saw the buckets."""

# The functions of `gcra`, in Lua, so that a permit costs one round trip; a test compares the two implementations. A
# bucket is a list: full_at, at, and then alternately each worker in the queue and its due time.
SCRIPT: Final = f"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local worker, interval, room, asked, amount = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])

local known = redis.call('GET', KEYS[1])
local bucket
if known then
  bucket = cmsgpack.unpack(known)
else
  local born = tonumber(redis.call('GET', KEYS[2]))
  if not born then
    born = now
    redis.call('SET', KEYS[2], string.format('%.0f', born), 'EX', {MEMORY})
  end
  bucket = {{math.max(now, born + room), now}}
end

local full_at, at, back = bucket[1], bucket[2], 0
if now < at - {SLACK} then back = at - now else now = math.max(now, at) end
full_at = math.max(full_at - back, now)
if full_at - room - now > {LONGEST} then full_at, bucket = now + room, {{}} end

local line, mine = {{}}, nil
for i = 3, #bucket, 2 do
  local due = bucket[i + 1] - back
  if due + {LATE} >= now then
    if bucket[i] == worker then mine = #line / 2 end
    line[#line + 1] = bucket[i]
    line[#line + 1] = due
  end
end

local wait = 0
if asked == 'pause' then
  full_at = math.max(full_at, now + amount + room)
elseif asked == 'charge' then
  full_at = math.max(full_at, math.min(full_at + amount * interval, now + room))
else
  mine = mine or #line / 2
  local ready = full_at + (mine + 1) * interval - room
  if ready <= now then
    full_at = full_at + interval
    table.remove(line, 2 * mine + 1)
    table.remove(line, 2 * mine + 1)
  else
    wait = ready - now
    line[2 * mine + 1] = worker
    line[2 * mine + 2] = ready
  end
end

local rest, kept = full_at - now, {{full_at, now}}
for i = 1, #line do
  kept[i + 2] = line[i]
  if i % 2 == 0 then rest = math.max(rest, line[i] + {LATE} - now) end
end
redis.call('SET', KEYS[1], cmsgpack.pack(kept), 'PX', math.ceil(rest / 1000) + 1000)
return {{wait, math.max(0, full_at - room - now)}}
"""
CENSUS: Final = f"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - {LATELY})
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], {LATELY // SECOND})
redis.call('EXPIRE', KEYS[2], {MEMORY})
local workers = redis.call('ZRANGE', KEYS[1], 0, -1)
local rank = 0
for i = 1, #workers do
  if workers[i] < ARGV[1] then rank = rank + 1 end
end
return {{#workers, rank, now}}
"""


class RedisStore:
    """Buckets on a Redis or Valkey server, in one namespace; each expires one second after it is full again."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            query = dict(parse_qsl(parts.query))
            self._namespace = query.pop("namespace", NAMESPACE)
            bare = urlunsplit(parts._replace(query=urlencode(query)))
            if parts.scheme != "unix":
                int(parts.path.strip("/") or 0)  # redis-py would read anything but a number as 0
            pool = BlockingConnectionPool.from_url(
                bare,
                max_connections=AT_ONCE + 2,  # one to count the workers, one to check whether the server is back
                timeout=TIMEOUT,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 1),  # for a connection that was closed while idle
            )
            cast("Any", pool).make_connection()  # validates the options without connecting
        except (ValueError, TypeError):
            # The parsers' errors contain a part of the URL, which may be a part of the password.
            raise InvalidInput(
                f"{without_password(url)!r} is not a valid Redis or Valkey URL: use redis://USER:PASSWORD@HOST:PORT/DB "
                "with redis-py's options after a ?. In the password, write %2F for /, %3F for ?, %23 for #, %40 for @, "
                "%5B for [ and %25 for %"
            ) from None
        self._redis: Redis = Redis.from_pool(pool)
        self._take = self._redis.register_script(SCRIPT)
        self._count = self._redis.register_script(CENSUS)
        self._id = f"{socket.gethostname()}-{uuid4().hex[:8]}"
        self.name = without_password(url) or ""

    def __repr__(self) -> str:
        return f"<RedisStore {self.name}, worker {self._worker}>"

    @property
    def _worker(self) -> str:
        return f"{self._id}-{os.getpid()}"  # after a fork, the client counts as a separate worker in each process

    async def take(self, key: str, rate: Rate) -> StoreReply:
        """Request one permit. Raises StoreFailed if the server fails."""
        wait, paused = await self._run(key, rate, "take")
        return StoreReply(wait=wait / SECOND, paused=paused / SECOND)

    async def pause(self, key: str, rate: Rate, seconds: float) -> None:
        """Grant nothing for `seconds`. Raises StoreFailed if the server fails."""
        await self._run(key, rate, "pause", round(seconds * SECOND))

    async def charge(self, key: str, rate: Rate, requests: int) -> None:
        """Count requests that were sent without a permit. Raises StoreFailed if the server fails."""
        await self._run(key, rate, "charge", requests)

    async def census(self) -> Census:
        """Register this worker, and count all workers. Raises StoreFailed if the server fails."""
        found = await self._ask(self._count, ["workers", "born"], [self._worker])
        workers, rank, clock = found
        return Census(workers=workers, rank=rank, clock=clock)

    async def close(self) -> None:
        """Unregister this worker, and close the connections. If that fails, its registration expires."""
        try:
            with suppress(RedisError, OSError):
                async with asyncio.timeout(PATIENCE):
                    await self._redis.zrem(self._key("workers"), self._worker)
        finally:
            await self._redis.aclose()

    async def _run(self, key: str, rate: Rate, asked: Literal["take", "pause", "charge"], amount: int = 0) -> Any:
        arguments = [self._worker, rate.interval, rate.room, asked, amount]
        return await self._ask(self._take, [f"bucket:{key}", "born"], arguments)

    async def _ask(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        try:
            return await script([self._key(key) for key in keys], arguments)
        except RedisError as error:
            raise StoreFailed(f"{type(error).__name__}: {error}") from None

    def _key(self, name: str) -> str:
        # The braces keep a namespace in one slot of a cluster, since all keys of a script must be in the same slot.
        return f"{{{self._namespace}}}:{name}"
