"""Apps: the names that machines, volumes and addresses belong to."""

from secrets import token_hex

from attrs import frozen

from flyasync.api.resource import Caller, given, request
from flyasync.errors import FlyError, Forbidden, NameTaken
from flyasync.models.app import App, AppList
from flyasync.models.lint.linter import check_app_name, refuse
from flyasync.models.token import DeployToken
from flyasync.models.types import duration
from flyasync.transport.request import Repeat


@frozen
class Apps:
    """`fly.apps`: create, find and delete apps (docs: machines/api/apps-resource).

    App names are unique across all of Fly.io: `get` raises Forbidden for an app of another organization, and NotFound
    for a free name.
    """

    _caller: Caller

    async def create(
        self, app: str, *, org_slug: str, network: str | None = None, enable_subdomains: bool | None = None
    ) -> App:
        """Create an app, and return once all of Fly.io knows it.

        `network` puts it on a private network of its own, permanently. Raises InvalidInput for a name that the API
        would refuse, and NameTaken for one in use. Repeated after a lost response: an idempotency key has the API
        return the same app. If that fails too, for example because the name is taken by then, the app is looked up, and
        counts as created if it is in `org_slug`. For a minute, calls about it are repeated while parts of the API do
        not know it yet. If cancelled, it may have been created.
        """
        refuse(check_app_name(app))
        ask = request(
            "apps.create",
            org_slug,  # a rate for each new app would not limit anything
            to="POST apps",
            subject=app,
            repeat=Repeat.ANYTIME,
            query={"wait": True},
            body={
                # The documentation has app_name, the official client sends name.
                "name": app,
                "app_name": app,
                "org_slug": org_slug,
                "idempotency_key": token_hex(16),
                **given(network=network, enable_subdomains=enable_subdomains),
            },
        )
        try:
            # The documentation shows a response without a name.
            made = await self._caller.read(ask, App, pick=lambda response: {"name": app, **(response or {})})
        except FlyError as error:
            if isinstance(error, NameTaken):
                error.explained(f"Choose another name than {app!r}: the names of apps are unique across all of Fly.io")
            # An earlier attempt may have created the app, even if a later one finds the name in use: look it up.
            if not error.may_have_happened:
                raise
            made = await self._find_created(app, org_slug, error)
        self._caller.created(app)
        return made

    async def _find_created(self, app: str, org_slug: str, error: FlyError) -> App:
        """Return the app if an attempt whose response was lost has created it; otherwise raise `error`."""
        self._caller.created(app)  # if so, it is new, and parts of the API do not know it yet
        try:
            found = await self.get(app)
        except Forbidden:
            found = None  # another organization has the name
        except FlyError:
            self._caller.deleted(app)
            raise error from None
        owner = found and found.organization and found.organization.slug
        if found and owner == org_slug:
            return found
        self._caller.deleted(app)
        # An app whose owner the API does not show may be ours: the doubt remains.
        error.may_have_happened = found is not None and owner is None
        raise error

    async def list(self, org_slug: str, *, app_role: str | None = None) -> tuple[App, ...]:
        """List the apps of an organization; needs a token of the organization, not of one app."""
        response = await self._caller.read(
            request(
                "apps.list",
                org_slug,
                to="GET apps",
                repeat=Repeat.ANYTIME,
                query={"org_slug": org_slug, "app_role": app_role},
            ),
            AppList,
        )
        return tuple(response.apps)

    async def get(self, app: str) -> App:
        """Get one app. Raises NotFound if the name is free, Forbidden if another organization has it."""
        try:
            return await self._caller.read(request("apps.get", app, to="GET apps/{}", repeat=Repeat.ANYTIME), App)
        except Forbidden as taken:
            taken.explained(
                f"The name {app!r} is taken: if the app is not yours, choose another name; if it is, this token does "
                "not cover it"
            )
            raise

    async def delete(self, app: str, *, force: bool | None = None) -> None:
        """Delete an app and everything in it: machines, volumes, addresses, secrets.

        `force` stops its machines first. Repeated after a lost response. At most 100 a minute (docs:
        machines/api/working-with-machines-api, "Rate limits").
        """
        await self._caller.ask(
            request("apps.delete", app, to="DELETE apps/{}", repeat=Repeat.ANYTIME, query={"force": force})
        )
        self._caller.deleted(app)

    async def create_deploy_token(self, app: str, *, expiry: float | str | None = None) -> str:
        """Create a token that may do everything to this app, and nothing else; return it as an Authorization header.

        `expiry` is in seconds, or a Go duration such as `24h`; left out, the API decides how long it is valid. Not
        repeated after a lost response, since a token that no client knows may then exist until it expires. The token is
        in no repr, error or event of this library. (docs: security/tokens)
        """
        lasting = duration(expiry)
        ask = request(
            "apps.create_deploy_token",
            app,
            to="POST apps/{}/deploy_token",
            repeat=Repeat.UNSENT,
            body=given(expiry=lasting and lasting.wire),  # the API needs a body, even an empty one
        )
        return (await self._caller.read(ask, DeployToken)).token
