"""Apps: the owners of machines, volumes and addresses."""

from collections.abc import Sequence

from attrs import frozen

from flyasync.models.model import Model, settled


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Organization(Model):
    """The owner of an app. Pass its `slug` to the API; for a user's own organization it is `personal`.

    Only a list of organizations contains `id`, `raw_slug`, `type` and `paid_plan`; `raw_slug` is unique.
    """

    name: str | None = None
    slug: str | None = None
    internal_numeric_id: int | None = None
    id: str | None = None
    raw_slug: str | None = None
    type: str | None = None
    paid_plan: bool | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class App(Model):
    """An app; its name is unique across all of Fly.io.

    `status` is `pending` (never deployed), `deployed` or `suspended`. Lists contain the counts, but not `organization`
    and `status`. `created_at` is in milliseconds; only a create returns it.
    docs: machines/api/apps-resource
    """

    name: str
    id: str | None = None
    status: str | None = None
    organization: Organization | None = None
    network: str | None = None
    network_cidr: str | None = None
    machine_count: int | None = None
    volume_count: int | None = None
    internal_numeric_id: int | None = None
    created_at: int | None = None


@frozen(kw_only=True, repr=False, field_transformer=settled)
class AppList(Model):
    """The apps of an organization, as the API returns them."""

    apps: Sequence[App]
    total_apps: int | None = None
