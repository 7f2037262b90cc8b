"""An app that is created before anything is deployed to it (`--create-app`)."""

from typing import Self

from attrs import field, fields, frozen

from flyasync.api.client import FlyClient
from flyasync.cli.shared.organizations import default_org
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.reporting.report import DeployReport
from flyasync.errors import NameTaken, NotFound


@frozen
class AppCreatingBuilder(DeployBuilder):
    """A DeployBuilder that first creates its app in the organization `org`, if it does not exist.

    An empty `org` is the default one of the token. If the app cannot be created, the deploy fails. Like any builder, it
    can be pickled.
    """

    _org: str = field(default="personal", kw_only=True)

    @classmethod
    def of(cls, builder: DeployBuilder, org: str) -> Self:
        """Return a builder that deploys as `builder` does."""
        # Private attributes have public names in the constructor.
        values = {str(each.alias): getattr(builder, each.name) for each in fields(DeployBuilder)}
        return cls(**values, org=org)

    async def execute(self, fly: FlyClient) -> DeployReport:
        """Create the app if it is missing, then deploy; raises what `execute` and creating the app raise."""
        await create_if_missing(fly, self.app, self._org)
        return await super().execute(fly)


async def create_if_missing(fly: FlyClient, app: str, org: str) -> str | None:
    """Create an app unless it exists and the token has access to it; return its organization if it was created.

    An empty `org` is the default one of the token. Raises InvalidInput if there is none, and what creating raises.
    """
    # A token for one app cannot create apps, so the app is read first.
    try:
        await fly.apps.get(app)
    except NotFound:
        org = org or await default_org(fly)
        try:
            await fly.apps.create(app, org_slug=org)
        except NameTaken:  # another client was faster; this raises if the token has no access to its app
            await fly.apps.get(app)
        else:
            return org
    return None
