"""What a GraphQL document changes is in the state file before its response."""

from pathlib import Path

from flyasync.emulator import Emulator
from tests.emulator.driver import running
from tests.emulator.http.routes.test_graphql import ask
from tests.emulator.state.test_file import TIME
from tests.emulator.state.worlds import in_file

TOKEN = """createLimitedAccessToken(input: {name: "ci", organizationId: "personal", profile: "deploy"})
    { limitedAccessToken { id } }"""
CHANGES = [
    TOKEN,
    'createOrganization(input: {name: "acme"}) { organization { slug } }',
    'lockApp(input: {appId: "web"}) { lockId }',
    'allocateIpAddress(input: {appId: "web", type: private_v6, network: "inner"}) { app { name } }',
    'allocateEgressIpAddress(input: {appId: "web", region: "iad"}) { v4 }',
    'setAllowAllCrossNetworkReplays(input: {organizationSlug: "personal", allow: true}) { organization { id } }',
    'createOrganizationInvitation(input: {organizationId: "personal", email: "a@b.c"}) { invitation { id } }',
    'addCertificate(appId: "web", hostname: "example.com") { app { name } }',
    'setSecrets(input: {appId: "web", secrets: [{key: "A", value: "1"}]}) { app { name } }',
    """createRelease(input: {appId: "web", image: "a", platformVersion: "machines", strategy: ROLLING,
        definition: {app: "web"}}) { release { id } }""",
    'createApp(input: {organizationId: "personal", name: "new"}) { app { name } }',
    'deleteApp(appId: "web") { organization { slug } }',
]
# Time passes in each request, and the file has the random numbers of a later state.
LATER = {**TIME, "random": ""}


async def test_what_a_document_changes_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with running(Emulator(limits=False, state=path)) as api:
        await api.app()
        before = in_file(path)
        for change in CHANGES:
            assert "errors" not in await ask(api, f"mutation {{ {change} }}")
            after = in_file(path)
            assert after | LATER != before | LATER, change
            assert api.emulator.dump() | LATER == after | LATER
            before = after
    async with running(Emulator(limits=False, state=path)) as api:
        assert api.emulator.dump() | LATER == before | LATER


async def test_a_token_that_was_revoked_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "state"
    async with running(Emulator(limits=False, state=path)) as api:
        made = await ask(api, f"mutation {{ {TOKEN} }}")
        token_id = made["data"]["createLimitedAccessToken"]["limitedAccessToken"]["id"]
        query = "mutation ($id: ID!) { deleteLimitedAccessToken(input: {id: $id}) { token } }"
        assert "errors" not in await ask(api, query, id=token_id)
    async with running(Emulator(limits=False, state=path)) as api:
        query = '{ organization(slug: "personal") { limitedAccessTokens { nodes { id revokedAt } } } }'
        (node,) = (await ask(api, query))["data"]["organization"]["limitedAccessTokens"]["nodes"]
        assert (node["id"], bool(node["revokedAt"])) == (token_id, True)
