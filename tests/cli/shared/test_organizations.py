"""The organization in which an app is created by default."""

import pytest

from flyasync.cli.shared.organizations import default_org
from flyasync.errors import InvalidInput
from tests.api.client_on_emulator import asked, scripted


def seen(*slugs: str) -> dict[str, object]:
    return {"data": {"organizations": {"nodes": [{"id": slug, "slug": slug, "name": slug} for slug in slugs]}}}


@pytest.mark.parametrize(
    ("slugs", "org"),
    [
        (("acme",), "acme"),
        (("personal",), "personal"),
        (("acme", "personal", "other"), "personal"),
        ((), "personal"),
    ],
)
async def test_it_is_the_only_one_of_the_token_otherwise_personal(slugs: tuple[str, ...], org: str) -> None:
    async with asked(seen(*slugs)) as (_, fly):
        assert await default_org(fly) == org


async def test_of_several_others_one_has_to_be_named() -> None:
    async with asked(seen("zoo", "acme")) as (_, fly):
        with pytest.raises(InvalidInput, match=r"none of them is personal: name the one for the app \(acme, zoo\)"):
            await default_org(fly)


async def test_a_token_that_may_not_list_organizations_has_its_own() -> None:
    refused = (403, {"error": "no"})
    own = (200, {"tokens": [{"token_id": "1", "org_slug": "acme", "organization": "Acme"}]})
    async with scripted(refused, own) as (_, fly):
        assert await default_org(fly) == "acme"
