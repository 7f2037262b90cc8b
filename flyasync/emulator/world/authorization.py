"""Whether the token of a request permits it."""

from attrs import frozen

from flyasync.emulator.core.accepted_token import AcceptedToken, bare, is_scheme
from flyasync.emulator.core.errors import forbidden, unauthenticated
from flyasync.emulator.world.world import World


@frozen(kw_only=True)
class Access:
    """What a request needs: an app or an organization, if it names one, and whether it changes something."""

    app: str = ""
    org: str = ""
    writes: bool = False


def is_good(token: str) -> bool:
    """Whether this is a token, and not the one that is always invalid."""
    return token not in {"", "invalid"} and not is_scheme(token)


def held(world: World, authorization: str) -> list[AcceptedToken]:
    """Return the accepted tokens of an Authorization header that have not expired."""
    items = {item.strip() for item in bare(authorization).split(",")}
    known = [token for token in world.tokens if token.key in items]
    return [token for token in known if token.expires is None or world.clock < token.expires]


def demand_token(authorization: str) -> None:
    """Raise 401 for a request without a token; a world without a list of tokens accepts all but `invalid`."""
    if not is_good(bare(authorization)):
        raise unauthenticated()


def demand(world: World, authorization: str, access: Access) -> None:
    """Raise 401 for a request without an accepted token, and 403 for one that its tokens do not permit."""
    tokens = held(world, authorization)
    if not tokens:
        raise unauthenticated()
    if not any(_permits(world, token, access) for token in tokens):
        raise forbidden()


def accept(world: World, token: AcceptedToken) -> None:
    """Accept a token that the API has created, in a world with a list of tokens."""
    if world.tokens:
        world.tokens.append(token)


def revoke(world: World, value: str) -> None:
    """Accept a token no longer."""
    world.tokens[:] = [token for token in world.tokens if token.value != value]


def _permits(world: World, token: AcceptedToken, access: Access) -> bool:
    if token.read_only and access.writes:
        return False
    # 1. An app is looked up before the token is checked, so that 404 shows that a name is free.
    app = world.apps.get(access.app)
    if app is not None and (token.org not in {None, app.org_slug} or token.app not in {None, app.name}):
        return False
    # 2. The token of an app permits nothing about its organization.
    return not access.org or (token.app is None and token.org in {None, access.org})
