"""Ids, names and addresses of new resources, drawn from seeded random sources: the same seed repeats them."""

from functools import lru_cache
from random import Random
from uuid import UUID

# The alphabet of ULIDs, without the letters that look like digits.
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Two digits at once.
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_LOWER = "0123456789abcdefghijklmnopqrstuvwxyz"
# Ids of requests contain the time since this moment, not since the epoch of the emulator: a seed gives the same ids on
# any day. Those of versions and events contain the true time: clients read it from them, and compare them.
_ULID_BIRTH_MS = 1_767_225_600_000
_ADJECTIVES = ("aged", "bold", "calm", "damp", "empty", "falling", "green", "hidden", "icy", "little", "misty", "quiet")
_NOUNS = ("bird", "brook", "cloud", "dawn", "field", "fire", "leaf", "moon", "pine", "river", "snow", "thunder")


def seeded(seed: int, purpose: str) -> Random:
    """Return a random source for one purpose; it is independent of those for other purposes."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 - it must be repeatable, and protects nothing


def machine_id(random: Random) -> str:
    """Draw a machine id: 14 hexadecimal digits, like most of Fly's."""
    return f"{random.getrandbits(56):014x}"


def hexadecimal(random: Random, digits: int) -> str:
    """Draw `digits` hexadecimal digits."""
    return f"{random.getrandbits(4 * digits):0{digits}x}"


def uuid(random: Random) -> str:
    """Draw a UUID of version 4."""
    return str(UUID(int=random.getrandbits(128), version=4))


def token(random: Random, length: int) -> str:
    """Draw that many lowercase letters and digits."""
    return "".join(random.choices(_LOWER, k=length))


def ulid(random: Random, now: float, *, birth_ms: int = _ULID_BIRTH_MS) -> str:
    """Draw a ULID: 26 characters that sort by time. Versions and events are named by them.

    `now` is in seconds since `birth_ms`, in milliseconds since 1970.
    """
    first, second = divmod(random.getrandbits(80), 1 << 40)
    return f"{_moment(birth_ms + round(now * 1000))}{_forty(first)}{_forty(second)}"


def machine_name(random: Random) -> str:
    """Draw a name such as `aged-thunder-7371`."""
    return f"{random.choice(_ADJECTIVES)}-{random.choice(_NOUNS)}-{random.randint(1000, 9999)}"


def private_ip(random: Random) -> str:
    """Draw an address in the private network, whose prefix is `fdaa`."""
    return "fdaa:0:" + ":".join(f"{random.randint(1, 0xFFFF):x}" for _ in range(5)) + ":2"


# Cached, since what happens at once has one time.
@lru_cache(maxsize=64)
def _moment(milliseconds: int) -> str:
    return _forty(milliseconds >> 10) + _PAIRS[milliseconds & 1023]


def _forty(bits: int) -> str:
    """Return forty bits as eight digits."""
    return f"{_PAIRS[bits >> 30]}{_PAIRS[bits >> 20 & 1023]}{_PAIRS[bits >> 10 & 1023]}{_PAIRS[bits & 1023]}"
