"""What the Terraform provider of apps, volumes, addresses and certificates asks for."""

import asyncio
from typing import Any

from tests.emulator.driver import Api
from tests.emulator.http.graphql.test_every_field import org_id
from tests.emulator.http.routes.test_graphql import ask

FULL_APP = """
query ($name: String) {
  app(name: $name) {
    name network organization { id slug } autoscaling { preferredRegion regions { code } } appUrl hostname id status
    deployed currentRelease { id } config { definition } healthChecks { nodes { name status } } sharedIpAddress
    ipAddresses { nodes { address id } } role { name }
  }
}
"""
CREATE_VOLUME = """
mutation ($app: ID!, $name: String!, $region: String!, $sizeGb: Int!) {
  createVolume(input: {appId: $app, name: $name, region: $region, sizeGb: $sizeGb}) {
    volume { name region id internalId sizeGb }
  }
}
"""
VOLUME = """
query ($app: String, $internal: String!) {
  app(name: $app) { volume(internalId: $internal) { name region id internalId sizeGb } volumes { nodes { id } } }
}
"""
DELETE_VOLUME = "mutation ($volume: ID!) { deleteVolume(input: {volumeId: $volume}) { clientMutationId } }"


async def test_an_app_of_machines_has_no_autoscaling_and_shows_its_checks(api: Api) -> None:
    check = {"type": "tcp", "port": 8080, "grace_period": "1s", "interval": "1s"}
    await api.running(config={"checks": {"up": check}})
    await asyncio.sleep(5)
    app = (await ask(api, FULL_APP, name="web"))["data"]["app"]
    assert app["autoscaling"] is None
    assert [each["name"] for each in app["healthChecks"]["nodes"]] == ["up"]


async def test_a_volume_is_created_found_and_deleted(api: Api) -> None:
    made = (await ask(api, CREATE_VOLUME, app="web", name="data", region="iad", sizeGb=10))["data"]["createVolume"]
    volume = made["volume"]
    assert (volume["name"], volume["region"], volume["sizeGb"]) == ("data", "iad", 10)
    listed = (await api.get("/v1/apps/web/volumes")).body
    assert [(each["id"], each["encrypted"]) for each in listed] == [(volume["internalId"], True)]
    found = (await ask(api, VOLUME, app="web", internal=volume["internalId"]))["data"]["app"]
    assert (found["volume"], found["volumes"]["nodes"]) == (volume, [{"id": volume["id"]}])

    assert "errors" not in await ask(api, DELETE_VOLUME, volume=volume["id"])
    assert (await ask(api, VOLUME, app="web", internal="vol_none"))["data"]["app"]["volume"] is None
    again: Any = await ask(api, DELETE_VOLUME, volume="vol_none")
    assert again["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_an_address_and_a_certificate_are_found_by_name(api: Api) -> None:
    ip = (await api.post("/v1/apps/web/ip_assignments", {"type": "v6"})).body["ip"]
    await api.post("/v1/apps/web/certificates/acme", {"hostname": "example.com"})
    query = """query ($ip: String!, $hostname: String!) {
        app(name: "web") {
          ipAddress(address: $ip) { address type } certificate(hostname: $hostname) { hostname check }
        }
    }"""
    app = (await ask(api, query, ip=ip, hostname="example.com"))["data"]["app"]
    assert app["ipAddress"] == {"address": ip, "type": "v6"}
    assert app["certificate"]["hostname"] == "example.com"
    app = (await ask(api, query, ip="192.0.2.1", hostname="example.org"))["data"]["app"]
    assert app == {"ipAddress": None, "certificate": None}


async def test_an_app_is_created_and_deleted(api: Api) -> None:
    create = """mutation ($name: String, $org: ID!) {
        createApp(input: {name: $name, organizationId: $org}) { app { id organization { slug } } } }"""
    made = await ask(api, create, name="shop", org=await org_id(api))
    assert made["data"]["createApp"]["app"] == {"id": "shop", "organization": {"slug": "personal"}}
    delete = 'mutation { deleteApp(appId: "shop") { organization { name } } }'
    assert "errors" not in await ask(api, delete)
    assert (await api.get("/v1/apps/shop")).status == 404
