"""Options that do not go together are refused, and each refusal names the way out."""

from pathlib import Path

import pytest

from flyasync.cli.deploy.options import GROUPS
from flyasync.deploy.plan.strategies.registry import NAMES
from tests.cli.driver import Shop, deploy, flyasync

CHECKED = ("--port", "8080", "--check", "/health")
ROLLING = ("--strategy", "rolling")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--add", "--max-unavailable", "2"), "--max-unavailable needs --strategy rolling or canary: --add only adds"),
        (
            ("--strategy", "bluegreen", "--max-unavailable", "2"),
            "is for --strategy rolling or canary, and cannot be combined with",
        ),
        ((*ROLLING, "--canaries", "1"), "--canaries is for --strategy canary, and cannot be combined with rolling"),
        ((*ROLLING, "--soak", "1"), "--soak is for --strategy canary"),
        ((*ROLLING, "--drain", "1"), "--drain is for --strategy bluegreen"),
        (("--add", "--waves", "iad"), "--waves needs --strategy rolling, canary, bluegreen, immediate or recreate"),
        (("--add", "--region-by-region"), "--region-by-region needs --strategy"),
        (("--add", "--group", "worker"), "--group needs --strategy"),
        (("--add", "--retire-group", "worker"), "--retire-group needs --strategy"),
        (("--add", "--visible-to-flyctl"), "--visible-to-flyctl needs --strategy"),
        (("--add", "--count", "iad=0"), "a --count of 0 needs --strategy rolling,"),
        (("--count", "lhr=2"), "--count names lhr, which is not among the regions: add it to --region"),
        (("--count", "many"), "'many' is not a number of machines, such as 2, iad=5, worker=2 or worker=2@iad"),
        (("--count", "2@iad"), "'2@iad' is not a number of machines, such as 2, iad=5, worker=2 or worker=2@iad"),
        (("--count", "worker=2"), "'worker' is not a process group of this deploy: choose one of app"),
        (("--add", "--strategy", "rolling"), "--strategy cannot be combined with --add, which only adds machines"),
        (("--add", "--config", __file__), "--config cannot be combined with --add"),
        (("--group", "web", "--group", "worker"), "names web and worker, but only a fly.toml has several groups"),
        (("--count", "2", "--count", "3"), "it is given twice for each region"),
        (("--count", "iad=1,iad=2"), "it is given twice for iad"),
        ((*ROLLING, "--max-unavailable", "most"), "--max-unavailable is 'most', but must be a number of machines"),
        ((*ROLLING, "--max-unavailable", "150%"), "--max-unavailable is '150%'"),
        ((*ROLLING, "--waves", "iad", "--region-by-region"), "makes each region a separate wave"),
        ((*ROLLING, "--waves", "lhr/nrt"), "--waves and --region name different regions: leave out --region"),
        ((*ROLLING, "--waves", "iad/"), "'iad/' lacks a region"),
        ((*ROLLING, "--waves", "iad/iad"), "'iad' is given twice; each region is in one wave"),
        ((*ROLLING, "--waves", "xx"), "name different regions"),
        ((*ROLLING, "--group", "a b"), "'a b' is not a process group"),
        (("--strategy", "fast"), "'fast' is not one of"),
        (("--strategy", "bluegreen", "--volume", "data:/data"), "use --strategy rolling or canary"),
        (("--strategy", "canary", "--soak", "-1"), "--soak is -1.0"),
        (
            ("--add", "--replace", "services"),
            "--replace needs --strategy rolling, canary, bluegreen, immediate or recreate",
        ),
        (
            (*ROLLING, "--replace", "env"),
            "the config does not set env, so there is no value to replace it with: set it, or leave out --replace env",
        ),
        ((*ROLLING, "--replace", "ports"), "'ports' cannot be replaced as a whole"),
        (
            (*ROLLING, "--metadata", "fly_process_group=worker"),
            "the deploy changes 'app': use --group worker, or a config of 'app'",
        ),
        (("--volume", "data"), "'data' is not NAME:PATH or NAME:PATH:SIZE_GB, such as data:/data:10"),
        (("--volume", "data:/data:0"), "--volume: SIZE_GB is 0"),
        (("--volume", "Data:/data"), "cannot be a volume's name"),
        (("--if-volume-lost", "new"), "--if-volume-lost needs --volume"),
        (("--release-timeout", "5"), "--release-timeout needs --release-command"),
        (("--release-command", ""), "a release command needs a command"),
        (("--hedge=1",), "--hedge is 1.0, but must be above 1"),
        (("--smoke-check", "-1"), "--smoke-check is -1.0"),
        (("--timeout", "-1"), "--timeout is -1.0"),
        (("--require", "0"), "--require: 0 is not a requirement"),
        (("--add", "--verify-stopped", "always"), "--verify-stopped needs --strategy"),
        ((*ROLLING, "--wait", "healthy"), "have none: add --port PORT and --check PATH, or use --wait started"),
        (("--strategy", "bluegreen", "--wait", "none"), "so it has to wait for them: leave out --wait none"),
        (("--undo",), "--image cannot be combined with --undo, which restores the previous release"),
        (("--resume", __file__), "--image cannot be combined with --resume: the journal contains the deploy"),
    ],
)
def test_a_deploy_that_makes_no_sense_is_refused(args: tuple[str, ...], says: str) -> None:
    result = deploy("--region", "iad", "--local", *args)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "Missing argument 'APP'"),
        (("web",), "Missing option '--image'"),
        (("web", "--image", "nginx", "--add"), "Missing option '--region'"),
        (
            ("web", "--image", "nginx", "--local"),
            "has no machines, and no region is stated for it: name some with --region",
        ),
        (("--undo",), "Missing argument 'APP'"),
        (("web", "--undo", "--local"), "--local cannot be combined with --undo"),
        (("web", "--undo", "--strategy", "canary"), "works with --strategy rolling or immediate, not canary"),
        (("web", "--undo", "--strategy", "immediate", "--max-unavailable", "1"), "is for --strategy rolling"),
        (("web", "--resume", __file__), "APP cannot be combined with --resume"),
        (("--resume", "nowhere"), "'nowhere' does not exist"),
        (("--resume", __file__, "--local"), "allowed are --undo, --pause-after, --env, --metadata, --release-command,"),
        (("--resume", __file__, "--undo", "--group", "app"), "--group cannot be combined with --resume"),
    ],
)
def test_a_command_line_that_lacks_something_or_has_too_much_is_refused(args: tuple[str, ...], says: str) -> None:
    result = flyasync("deploy", *args)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())


def test_waves_name_the_regions_by_themselves(shop: Shop) -> None:
    said = shop.said("deploy", "web", "--image", "nginx", *ROLLING, "--waves", "iad / lhr,nrt", "--dry-run")
    assert [line.strip() for line in said.splitlines() if "wave" in line] == [
        "1. all machines, wave 1 of 2",
        "2. all machines, wave 2 of 2",
    ]


def test_the_help_shows_every_option_in_a_section_with_what_it_is_for() -> None:
    text = flyasync("deploy", "--help").stdout
    places = [text.index(f"\n{title}:\n") for title in GROUPS]
    assert places == sorted(places)
    for options in GROUPS.values():
        for option in options:
            assert option.opts[0] in text
            assert option.help
    assert "flyasync deploy --resume deploy.jsonl --undo" in text


def test_no_refusal_leaves_a_file(tmp_path: Path) -> None:
    deploy("--region", "iad", "--journal", str(tmp_path / "a"), "--html", str(tmp_path / "b"), "--soak", "1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "args",
    [
        *(("--group", "app"), ("--group", "web", "--group", "worker"), ("--launch", "v1")),
        *(("--strategy", "rolling"), ("--strategy", "immediate")),
        *(("--max-unavailable", "1"), (*ROLLING, "--max-unavailable", "1"), ("--fallback", "nearest")),
        *(("--timeout", "5"), ("--dry-run",), ("--json",), ("--html", "page.html")),
    ],
)
def test_what_names_a_release_or_says_how_fast_goes_with_undo(shop: Shop, args: tuple[str, ...]) -> None:
    result = shop.ask("deploy", "web", "--undo", *args)
    assert "nothing to undo" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        *(
            ("--undo",),
            ("--env", "A=1"),
            ("--metadata", "a=1"),
            ("--release-command", "x"),
            ("--dry-run",),
            ("--json",),
        ),
        *(("--release-command", "x", "--release-timeout", "5"), ("--html", "page.html")),
    ],
)
def test_what_a_journal_cannot_hold_goes_with_resume(args: tuple[str, ...]) -> None:
    result = flyasync("deploy", "--resume", __file__, *args)
    assert f"{__file__}, line 1" in result.stderr


def test_a_count_of_0_goes_with_every_strategy_and_partners_with_each_other() -> None:
    for name in NAMES:
        result = deploy("--region", "iad,lhr", "--count", "lhr=0", "--local", "--dry-run", "--strategy", name, *CHECKED)
        assert result.exit_code == 0, result.output
    args = ("--volume", "data:/data", "--if-volume-lost", "new", "--release-command", "x", "--release-timeout", "5")
    assert deploy("--region", "iad", "--local", "--dry-run", *args).exit_code == 0


def test_an_empty_text_is_not_missing_but_wrong() -> None:
    result = flyasync("deploy", "web", "--image", "", "--region", "iad", "--local")
    assert result.exit_code == 2
    assert "Missing option" not in result.stderr
    assert "'' " in result.stderr
