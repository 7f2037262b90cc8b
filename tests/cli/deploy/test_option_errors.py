"""An error for an invalid value names the option in the command, and the method or its parameter in Python."""

from collections.abc import Callable
from typing import Any

import click
import pytest

from flyasync import DeployBuilder, InvalidInput
from flyasync.cli.deploy.app_options import RegionOptions, StrategyOptions, SuccessOptions
from flyasync.cli.deploy.options import ReleaseOptions
from tests.cli.driver import flyasync

BASE = DeployBuilder("web").to_regions("iad", "lhr").with_image("nginx")
ROLLING = ("--strategy", "rolling")
CANARY = ("--strategy", "canary")

Mistake = Callable[[], object]

ERRORS: list[tuple[tuple[str, ...], str, Mistake, str]] = [
    # What is on the command line, how the error begins there, the same mistake in Python, how the error begins there.
    (("--image", ""), "--image: ", lambda: BASE.with_image(""), "image: '' is not an image"),
    (("--size", "tiny"), "--size tiny: ", lambda: BASE.with_size("tiny"), "'tiny' is not a machine size"),
    (("--cpus", "3"), "--cpus: ", lambda: BASE.with_guest(cpus=3), "guest.cpus: 3 is not"),
    (("--memory", "100"), "--memory: ", lambda: BASE.with_guest(memory_mb=100), "guest.memory_mb: 100 MB"),
    (
        ("--cpus", "1", "--memory", "100"),
        "--cpus and --memory: ",
        lambda: BASE.with_guest(cpus=1, memory_mb=100),
        "guest.memory_mb: 100 MB",
    ),
    (("--volume", "data:data"), "--volume: 'data'", lambda: BASE.with_volume("data", "data"), "'data' is not a valid"),
    (
        ("--volume", "data:/data:0"),
        "--volume: SIZE_GB is 0",
        lambda: BASE.with_volume("data", "/data", size_gb=0),
        "size_gb is 0",
    ),
    (("--region", "xx"), "--region: 'xx'", lambda: BASE.to_regions("xx"), "'xx' is not a region"),
    (("--count", "0"), "--count is 0", lambda: BASE.count(0), "count is 0"),
    (("--count", "iad=1001"), "--count is 1001", lambda: BASE.count(iad=1001), "count is 1001"),
    (("--fallback", "xx"), "--fallback: 'xx'", lambda: BASE.fallback("xx"), "'xx' is not a region"),
    (
        (*ROLLING, "--max-unavailable", "0"),
        "--max-unavailable is '0'",
        lambda: BASE.rolling(max_unavailable=0),
        "max_unavailable is 0",
    ),
    (
        (*CANARY, "--max-unavailable", "1.5"),
        "--max-unavailable is 1.5",
        lambda: BASE.canary(max_unavailable=1.5),
        "max_unavailable is 1.5",
    ),
    (
        ("--undo", "--max-unavailable", "0"),
        "--max-unavailable is '0'",
        lambda: BASE.rolling(max_unavailable=0),
        "max_unavailable is 0",
    ),
    ((*CANARY, "--canaries", "0"), "--canaries is '0'", lambda: BASE.canary(0), "machines is 0"),
    ((*CANARY, "--canaries", "few"), "--canaries is 'few'", lambda: BASE.canary("few"), "machines is 'few'"),
    ((*CANARY, "--soak", "-1"), "--soak is -1.0", lambda: BASE.canary(soak=-1.0), "soak is -1.0"),
    (
        ("--strategy", "bluegreen", "--drain", "-1"),
        "--drain is -1.0",
        lambda: BASE.bluegreen(drain=-1.0),
        "drain is -1.0",
    ),
    (
        (*ROLLING, "--waves", "iad/xx"),
        "--waves: 'xx'",
        lambda: BASE.rolling().waves(["iad"], ["xx"]),
        "'xx' is not a region",
    ),
    ((*ROLLING, "--group", "a b"), "--group: 'a b'", lambda: BASE.process_group("a b"), "'a b' is not a process"),
    (
        (*ROLLING, "--retire-group", "a b"),
        "--retire-group: 'a b'",
        lambda: BASE.retire_groups("a b"),
        "'a b' is not a process",
    ),
    ((*ROLLING, "--replace", "ports"), "--replace: 'ports'", lambda: BASE.replace("ports"), "'ports' cannot be"),
    (
        (*ROLLING, "--replace", "env"),
        "the config does not set env, so there is no value to replace it with: set it, or leave out --replace env",
        lambda: BASE.rolling().replace("env").deployment(),
        "the config does not set env, so there is no value to replace it with: set it, or leave it out of replace(",
    ),
    (
        (*ROLLING, "--release-command", ""),
        "--release-command: ",
        lambda: BASE.with_release_command(""),
        "a release command needs",
    ),
    (
        (*ROLLING, "--adopt", "worker=m1"),
        "--adopt: 'worker' is not a process group of this deploy",
        lambda: BASE.rolling().adopt("m1", group="worker"),
        "'worker' is not a process group of this deploy",
    ),
    (
        (*ROLLING, "--seed-command", ""),
        "--seed-command: ",
        lambda: BASE.with_seed_command(""),
        "a seed command needs",
    ),
    (
        (*ROLLING, "--release-command", "true", "--release-timeout", "0"),
        "--release-timeout is 0.0",
        lambda: BASE.with_release_command("true", timeout=0.0),
        "timeout is 0.0",
    ),
    (
        ("--pause-after", "1", "--journal", "deploy.jsonl"),
        "a deploy can pause after wave 1 only if its regions are in several waves: add --waves",
        lambda: BASE.rolling().with_journal("deploy.jsonl").pause_after(1).deployment(),
        "a deploy can pause after wave 1 only if its regions are in several waves: use waves(",
    ),
    (("--verify", " "), "--verify: a verification needs", lambda: BASE.verify(" "), "a verification needs"),
    (
        ("--verify", "true", "--verify-timeout", "0"),
        "--verify-timeout is 0.0",
        lambda: BASE.verify("true", timeout=0.0),
        "timeout is 0.0",
    ),
    (
        ("--verify", "true", "--wait", "none"),
        "a machine is verified once it is up, so the deploy has to wait for it: leave out --wait none",
        lambda: BASE.verify("true").wait_for(None).deployment(),
        "a machine is verified once it is up, so the deploy has to wait for it: leave out wait_for(None)",
    ),
    (
        ("--max-machines", "1"),
        "the group app would have 2 machines, but at most 1 may be left (now: 0): lower --count",
        lambda: BASE.max_machines(0),
        "max_machines is 0, but must be a whole number from 1",
    ),
    (("--timeout", "0"), "--timeout is 0.0", lambda: BASE.wait_for(timeout=0.0), "timeout is 0.0"),
    (("--wait", "started", "--timeout", "0"), "--timeout is 0.0", lambda: BASE.wait_for(timeout=0.0), "timeout is 0.0"),
    (("--undo", "--timeout", "0"), "--timeout is 0.0", lambda: BASE.wait_for(timeout=0.0), "timeout is 0.0"),
    (("--undo", "--fallback", "xx"), "--fallback: 'xx'", lambda: BASE.fallback("xx"), "'xx' is not a region"),
    (("--smoke-check", "-1"), "--smoke-check is -1.0", lambda: BASE.smoke_check(-1.0), "seconds is -1.0"),
    (("--hedge=1",), "--hedge is 1.0", lambda: BASE.hedge(1.0), "times is 1.0"),
    (("--require", "0"), "--require: ", lambda: BASE.require("0"), "0 is not a requirement"),
    (
        ("--require", "3"),
        "the deploy requires at least 3 regions, but has only 2: require fewer with --require, or add ",
        lambda: BASE.require(3).deployment(),
        "the deploy requires at least 3 regions, but has only 2: require fewer with require(",
    ),
    (("--launch", "V 1"), "--launch: 'V 1'", lambda: BASE.with_launch("V 1"), "'V 1' is not a valid launch name"),
]


@pytest.mark.parametrize(
    ("args", "in_command", "mistake", "in_python"), [pytest.param(*row, id=" ".join(row[0])) for row in ERRORS]
)
def test_an_error_uses_the_names_that_its_reader_knows(
    args: tuple[str, ...], in_command: str, mistake: Mistake, in_python: str
) -> None:
    # Without its option for the regions, or with --undo, a command line needs fewer of the others.
    regions = () if {"--region", "--waves", "--undo"} & set(args) else ("--region", "iad,lhr")
    image = () if "--undo" in args else ("--image", "nginx", "--local")
    result = flyasync("deploy", "web", *image, *regions, *args)
    assert result.exit_code == 2, result.output
    assert " ".join(result.stderr.split()).startswith(f"flyasync: {in_command}")
    with pytest.raises(InvalidInput) as caught:
        mistake()
    assert str(caught.value).startswith(in_python)


def test_no_option_of_the_deployer_is_missing() -> None:
    """Options that click checks itself, or whose values cannot be invalid, need no row."""
    groups = (RegionOptions, StrategyOptions, SuccessOptions, ReleaseOptions)
    options = [each for group in groups for each in group.options() if not each.is_flag and free(each)]
    listed: set[Any] = {arg.split("=")[0] for args, *_ in ERRORS for arg in args if arg.startswith("--")}
    checked_elsewhere = {"--create-app"}
    assert {each.opts[0] for each in options} - listed == checked_elsewhere


def free(option: click.Option) -> bool:
    return not isinstance(option.type, click.Choice | click.Path)
