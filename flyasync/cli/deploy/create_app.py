"""An app that is made before anything is deployed to it."""

from typing import Self

from attrs import field, fields, frozen

from flyasync.api.client import FlyClient
from flyasync.deploy.builder import DeployBuilder
from flyasync.deploy.reporting.report import DeployReport
from flyasync.errors import NameTaken, NotFound


@frozen
class AppMaking(DeployBuilder):
    """A DeployBuilder that makes its app first, in the organization `org`, if it is not there.

    An app that cannot be made is an error of this deploy. It can be sent to another process, as any builder.
    """

    _org: str = field(default="personal", kw_only=True)

    @classmethod
    def of(cls, builder: DeployBuilder, org: str) -> Self:
        """Make one that deploys as `builder` does."""
        told = {str(each.alias): getattr(builder, each.name) for each in fields(DeployBuilder)}
        return cls(**told, org=org)

    async def execute(self, fly: FlyClient) -> DeployReport:
        """Make the app if need be, then deploy; raises what `execute` and creating the app raise."""
        await make_app(fly, self.app, self._org)
        return await super().execute(fly)


async def make_app(fly: FlyClient, app: str, org: str) -> bool:
    """Make sure that the app is there and ours, and tell whether it was made now.

    A token for one app cannot create, so look first.
    """
    try:
        await fly.apps.get(app)
    except NotFound:
        try:
            await fly.apps.create(app, org_slug=org)
        except NameTaken:
            await fly.apps.get(app)
        else:
            return True
    return False
