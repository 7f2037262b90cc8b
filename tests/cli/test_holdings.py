from pathlib import Path

from tests.cli.driver import Shop


def test_volumes_are_created_listed_extended_and_destroyed(shop: Shop) -> None:
    options = ("--region", "iad", "--size", "5", "--snapshot-retention", "7", "--unencrypted")
    volume_id = shop.json("volumes", "create", "web", "data", *options)["id"]
    (line,) = shop.said("volumes", "list", "web").splitlines()
    assert line.split("\t")[:5] == [volume_id, "data", "created", "iad", "5"]
    run_until_signalled = shop.said("volumes", "show", "web", volume_id)
    assert "encrypted\tno\n" in run_until_signalled
    assert "snapshots kept, days\t7\n" in run_until_signalled
    assert shop.said("volumes", "extend", "web", volume_id, "--size", "9").startswith(f"{volume_id} has 9 GB")
    changed = shop.json("volumes", "update", "web", volume_id, "--snapshot-retention", "9", "--no-scheduled-snapshots")
    assert (changed["snapshot_retention"], changed["auto_backup_enabled"]) == (9, False)
    assert shop.json("volumes", "update", "web", volume_id, "--scheduled-snapshots")["auto_backup_enabled"] is True
    assert shop.ask("volumes", "update", "web", volume_id).exit_code == 2
    assert shop.json("volumes", "snapshots", "web", volume_id) == []
    assert shop.ask("volumes", "destroy", "web", volume_id).exit_code == 2
    assert shop.said("volumes", "destroy", "web", volume_id, "--yes") == f"destroyed the volume {volume_id}\n"


def test_a_hostname_is_added_checked_shown_and_removed(shop: Shop) -> None:
    added = shop.said("certificates", "add", "web", "example.com")
    assert "hostname\texample.com\n" in added
    assert "dns records to set\t" in added
    assert shop.json("certificates", "check", "web", "example.com")["hostname"] == "example.com"
    assert shop.said("certificates", "show", "web", "example.com").startswith("hostname\texample.com\n")
    assert shop.said("certificates", "list", "web").startswith("example.com\t")
    assert shop.ask("certificates", "remove", "web", "example.com").exit_code == 2
    shop.said("certificates", "remove", "web", "example.com", "--yes")
    assert shop.json("certificates", "list", "web") == []


def test_a_certificate_of_ones_own_needs_both_files(shop: Shop, tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text("-----BEGIN CERTIFICATE-----\n")
    result = shop.ask("certificates", "add", "web", "example.com", "--fullchain", str(chain))
    assert result.exit_code == 2
    assert "are needed together" in result.stderr


def test_a_certificate_of_ones_own_is_sent(shop: Shop, tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    key.write_text("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n")
    files = ("--fullchain", str(chain), "--private-key", str(key))
    result = shop.ask("certificates", "add", "web", "example.com", *files)
    assert result.exit_code == 0, result.output
    assert "MIIE" not in result.output
    assert "certificates\tcustom" in result.stdout


def test_addresses_are_allocated_listed_and_released(shop: Shop) -> None:
    ip = shop.json("ips", "allocate", "web", "--type", "v4")["ip"]
    assert shop.said("ips", "list", "web").startswith(f"{ip}\t")
    assert shop.ask("ips", "release", "web", ip).exit_code == 2
    assert shop.said("ips", "release", "web", ip, "--yes") == f"released {ip}\n"
    assert shop.json("ips", "list", "web") == []
    pair = shop.json("ips", "allocate", "web", "--type", "egress_pair", "--region", "iad")
    assert {row["ip"] for row in shop.json("ips", "list", "web")} == set(pair["ip_pair"].values())
    assert "ip" not in pair or pair["ip"] is None


def test_an_address_of_no_known_kind_is_wrong(shop: Shop) -> None:
    assert shop.ask("ips", "allocate", "web", "--type", "v5").exit_code == 2
