"""What documents change is what the REST API shows, and the other way round."""

from typing import Any

from tests.emulator.driver import Api
from tests.emulator.http.graphql.test_every_field import org_id
from tests.emulator.http.routes.test_graphql import ask


async def change(api: Api, name: str, shown: str, /, **given: Any) -> Any:
    """Send a mutation with one input, as flyctl does, and return its payload."""
    kind = name[0].upper() + name[1:].replace("Ip", "IP") + "Input"
    query = f"mutation ($input: {kind}!) {{ {name}(input: $input) {{ {shown} }} }}"
    found = await ask(api, query, input=given)
    assert "errors" not in found, found
    return found["data"][name]


async def names(api: Api, path: str, key: str, name: str = "name") -> list[str]:
    return [each[name] for each in (await api.get(path)).body[key]]


async def test_an_app_is_created_moved_and_deleted(api: Api) -> None:
    org = await org_id(api)
    made = await change(api, "createApp", "app { id network organization { slug } }", organizationId=org, name="new")
    assert made["app"] == {"id": "new", "network": "default", "organization": {"slug": "personal"}}
    acme = await change(api, "createOrganization", "organization { id slug name }", name="Acme Inc.")
    assert (acme["organization"]["slug"], acme["organization"]["name"]) == ("acme-inc", "Acme Inc.")
    moved = await change(
        api, "moveApp", "app { organization { slug } }", appId="new", organizationId=acme["organization"]["id"]
    )
    assert moved["app"]["organization"]["slug"] == "acme-inc"
    assert (await api.get("/v1/apps/new")).body["organization"]["name"] == "Acme Inc."
    query = "mutation ($appId: ID!) { deleteApp(appId: $appId) { organization { slug } } }"
    gone = (await ask(api, query, appId="new"))["data"]["deleteApp"]
    assert gone == {"organization": {"slug": "acme-inc"}}
    assert (await api.get("/v1/apps/new")).status == 404


async def test_an_app_without_a_name_gets_one(api: Api) -> None:
    made = await change(api, "createApp", "app { name }", organizationId="personal", clientMutationId="7")
    assert (await api.get(f"/v1/apps/{made['app']['name']}")).status == 200


async def test_a_payload_repeats_the_id_of_the_client(api: Api) -> None:
    made = await change(api, "createApp", "clientMutationId", organizationId="personal", clientMutationId="7")
    assert made == {"clientMutationId": "7"}


async def test_apps_are_listed_page_by_page_and_by_organization(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.post("/v1/apps", {"name": name, "org_slug": "acme"})
    query = """query ($org: ID, $after: String) { apps(type: "container", first: 2, after: $after, organizationId: $org)
        { totalCount pageInfo { hasNextPage endCursor } nodes { name currentRelease { status } } } }"""
    org = (await ask(api, '{ organization(slug: "acme") { id } }'))["data"]["organization"]["id"]
    first = (await ask(api, query, org=org))["data"]["apps"]
    assert [each["name"] for each in first["nodes"]] == ["a", "b"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (3, True)
    second = (await ask(api, query, org=org, after=first["pageInfo"]["endCursor"]))["data"]["apps"]
    assert ([each["name"] for each in second["nodes"]], second["pageInfo"]["hasNextPage"]) == (["c"], False)
    assert len((await ask(api, query))["data"]["apps"]["nodes"]) == 2
    assert "invalid cursor" in (await ask(api, query, after="x"))["errors"][0]["message"]


async def test_addresses_are_allocated_and_released(api: Api) -> None:
    shown = "ipAddress { id address type region } app { sharedIpAddress }"
    v6 = await change(api, "allocateIpAddress", shown, appId="web", type="v6")
    shared = await change(api, "allocateIpAddress", shown, appId="web", type="shared_v4")
    assert shared["app"]["sharedIpAddress"] == shared["ipAddress"]["address"]
    assert v6["ipAddress"]["address"] in await names(api, "/v1/apps/web/ip_assignments", "ips", "ip")
    await change(api, "releaseIpAddress", "clientMutationId", appId="web", ip=v6["ipAddress"]["address"])
    query = '{ app(name: "web") { ipAddresses { nodes { address } } sharedIpAddress } }'
    app = (await ask(api, query))["data"]["app"]
    assert app == {"ipAddresses": {"nodes": []}, "sharedIpAddress": shared["ipAddress"]["address"]}


async def test_a_private_address_can_be_reached_from_another_network(api: Api) -> None:
    await change(api, "allocateIpAddress", "app { id }", appId="web", type="private_v6", network="inner")
    query = '{ app(name: "web") { ipAddresses { nodes { type network { name organization { slug } } } } } }'
    (node,) = (await ask(api, query))["data"]["app"]["ipAddresses"]["nodes"]
    assert node == {"type": "private_v6", "network": {"name": "inner", "organization": {"slug": "personal"}}}


async def test_egress_addresses_belong_to_a_region_or_a_machine(api: Api) -> None:
    machine = (await api.running(region="lhr"))["id"]
    pair = await change(api, "allocateEgressIpAddress", "v4 v6", appId="web", region="iad")
    own = await change(api, "allocateEgressIpAddress", "v4 v6", appId="web", machineId=machine)
    query = """{ app(name: "web") { egressIpAddresses { nodes { ip version region } }
                 machines { nodes { id egressIpAddresses { nodes { ip region } } } } } }"""
    app = (await ask(api, query))["data"]["app"]
    assert [(each["ip"], each["version"], each["region"]) for each in app["egressIpAddresses"]["nodes"]] == [
        (pair["v4"], 4, "iad"),
        (pair["v6"], 6, "iad"),
    ]
    (found,) = app["machines"]["nodes"]
    assert found["egressIpAddresses"]["nodes"] == [{"ip": own[key], "region": "lhr"} for key in ("v4", "v6")]
    assert await change(api, "releaseEgressIpAddress", "v4 v6", appId="web", ip=pair["v4"]) == {
        "v4": pair["v4"],
        "v6": None,
    }
    assert await change(api, "releaseEgressIpAddress", "v4 v6", appId="web", machineId=machine) == own
    left = await names(api, "/v1/apps/web/ip_assignments", "ips", "ip")
    assert left == [pair["v6"]]


async def test_a_certificate_is_added_checked_and_removed(api: Api) -> None:
    shown = "certificate { hostname clientStatus isApex isWildcard source } check { aRecords soa }"
    query = f"""mutation ($appId: ID!, $hostname: String!) {{
        addCertificate(appId: $appId, hostname: $hostname) {{ {shown} }} }}"""
    added = (await ask(api, query, appId="web", hostname="example.com"))["data"]["addCertificate"]
    assert added["certificate"] == {
        "hostname": "example.com",
        "clientStatus": "Awaiting certificates",
        "isApex": True,
        "isWildcard": False,
        "source": "fly",
    }
    assert added["check"] == {"aRecords": [], "soa": ""}
    checked = await change(api, "checkCertificate", shown, appId="web", hostname="example.com")
    assert checked["certificate"]["hostname"] == "example.com"
    assert await names(api, "/v1/apps/web/certificates", "certificates", "hostname") == ["example.com"]
    gone = query.replace("addC", "deleteC").replace("check { aRecords soa }", "app { name }")
    assert "errors" not in await ask(api, gone, appId="web", hostname="example.com")
    assert not await names(api, "/v1/apps/web/certificates", "certificates", "hostname")
    lost = await ask(api, gone, appId="web", hostname="example.com")
    assert lost["errors"][0]["extensions"] == {"code": "NOT_FOUND"}


async def test_a_token_is_created_listed_and_revoked(api: Api) -> None:
    shown = "limitedAccessToken { id tokenHeader }"
    given = {"organizationId": await org_id(api), "name": "ci", "profile": "deploy", "expiry": "24h"}
    made = await change(api, "createLimitedAccessToken", shown, **given, profileParams={"app_id": "web"})
    wide = await change(api, "createLimitedAccessToken", shown, **given)
    assert made["limitedAccessToken"]["tokenHeader"].startswith("FlyV1 fm2_")
    query = """{ app(name: "web") { limitedAccessTokens { nodes {
                     id name createdAt expiresAt revokedAt user { email } } } }
                 organization(slug: "personal") { limitedAccessTokens { nodes { id } } } }"""
    found = (await ask(api, query))["data"]
    assert found["organization"]["limitedAccessTokens"]["nodes"] == [{"id": wide["limitedAccessToken"]["id"]}]
    (node,) = found["app"]["limitedAccessTokens"]["nodes"]
    assert (node["id"], node["name"], node["revokedAt"]) == (made["limitedAccessToken"]["id"], "ci", None)
    assert node["createdAt"] < node["expiresAt"]
    await change(api, "deleteLimitedAccessToken", "token", id=node["id"])
    assert (await ask(api, query))["data"]["app"]["limitedAccessTokens"]["nodes"][0]["revokedAt"] is not None


async def test_a_release_of_a_document_is_that_of_the_companion(api: Api) -> None:
    made = await change(
        api,
        "createRelease",
        "release { id version }",
        appId="web",
        image="web:1",
        platformVersion="machines",
        strategy="BLUEGREEN",
        definition={"app": "web"},
    )
    await change(api, "updateRelease", "release { id }", releaseId=made["release"]["id"], status="complete")
    assert (await api.get("/api/v1/apps/web/releases/current")).body["status"] == "complete"
    query = '{ app(name: "web") { currentReleaseUnprocessed { configDefinition stable deploymentStrategy } } }'
    assert (await ask(api, query))["data"]["app"]["currentReleaseUnprocessed"] == {
        "configDefinition": {"app": "web"},
        "stable": True,
        "deploymentStrategy": "BLUEGREEN",
    }


async def test_an_app_has_one_lock(api: Api) -> None:
    lock = await change(api, "lockApp", "lockId expiration", appId="web")
    held = '{ app(name: "web") { currentLock { lockId } } }'
    assert (await ask(api, held))["data"]["app"]["currentLock"] == {"lockId": lock["lockId"]}
    again = await ask(api, 'mutation { lockApp(input: {appId: "web"}) { lockId } }')
    assert again["errors"][0]["extensions"] == {"code": "UNPROCESSABLE"}
    await change(api, "unlockApp", "app { name }", appId="web", lockId=lock["lockId"])
    assert (await ask(api, held))["data"]["app"]["currentLock"] is None


async def test_an_organization_has_members_replays_and_an_end(api: Api) -> None:
    made = (await change(api, "createOrganization", "organization { id }", name="acme"))["organization"]["id"]
    invited = await change(
        api, "createOrganizationInvitation", "invitation { email redeemed }", organizationId=made, email="a@example.com"
    )
    assert invited["invitation"] == {"email": "a@example.com", "redeemed": False}
    await change(
        api,
        "addAllowedReplaySourceOrgs",
        "organization { slug }",
        organizationSlug="acme",
        allowedOrgSlugs=["personal", "other"],
    )
    await change(
        api, "removeAllowedReplaySourceOrgs", "organization { id }", organizationSlug="acme", orgSlugsToRemove=["other"]
    )
    await change(api, "setAllowAllCrossNetworkReplays", "organization { id }", organizationSlug="acme", allow=True)
    query = """{ organization(slug: "acme") { allowedReplaySourceOrgSlugs allowAllCrossNetworkReplays
                 members { edges { role node { email } } } } }"""
    assert (await ask(api, query))["data"]["organization"] == {
        "allowedReplaySourceOrgSlugs": ["personal"],
        "allowAllCrossNetworkReplays": True,
        "members": {"edges": [{"role": "ADMIN", "node": {"email": "emulator@example.com"}}]},
    }
    await change(api, "deleteOrganization", "deletedOrganizationId", organizationId=made)
    assert "errors" in await ask(api, query)


REFUSED = [
    ('deleteOrganization(input: {organizationId: "personal"}) { clientMutationId }', "cannot be deleted"),
    ('deleteOrganization(input: {organizationId: "acme"}) { clientMutationId }', "still has apps"),
    ('createOrganization(input: {name: "acme"}) { organization { id } }', "already been taken"),
    ('createOrganization(input: {name: "!"}) { organization { id } }', "can't be blank"),
    ('createApp(input: {organizationId: "none"}) { app { id } }', "Could not find Organization"),
    ('createApp(input: {organizationId: "personal", name: "web"}) { app { id } }', "already been taken"),
    ('deleteLimitedAccessToken(input: {id: "none"}) { token }', "token not found"),
    ('releaseEgressIpAddress(input: {appId: "web", ip: "1.2.3.4"}) { v4 }', "Could not find egress IP"),
    ('releaseIpAddress(input: {ip: "1.2.3.4"}) { clientMutationId }', "no app has the address"),
    ('unlockApp(input: {appId: "web", lockId: "x"}) { app { id } }', "not locked"),
]


async def test_what_cannot_be_done_is_an_error(api: Api) -> None:
    await api.post("/v1/apps", {"name": "shop", "org_slug": "acme"})
    for document, part in REFUSED:
        found = await ask(api, f"mutation {{ {document} }}")
        assert part in found["errors"][0]["message"]
    assert not api.emulator.not_served()
