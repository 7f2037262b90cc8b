"""Apps: the name that machines, volumes and addresses belong to."""

from collections.abc import Sequence

from attrs import frozen

from flyasync.models.model import Model, settled


@frozen(kw_only=True, repr=False, field_transformer=settled)
class Organization(Model):
    """Who owns an app; `slug` is what the API asks for, and is `personal` for each user's own organization.

    `id`, `raw_slug`, `type` and `paid_plan` come only from a list of organizations; `raw_slug` is unique.
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

    `status` is `pending` (never deployed), `deployed` or `suspended`. A list gives the counts and leaves out
    `organization` and `status`. `created_at` is in milliseconds, and only the answer to a create has it.
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
    """The apps of an organization, as one answer."""

    apps: Sequence[App]
    total_apps: int | None = None
