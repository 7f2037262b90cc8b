"""The options of `flyasync deploy`, in the sections of its help."""

import click

from flyasync.cli.shared.completion import region_codes
from flyasync.cli.shared.option_sections import Sections, option
from flyasync.cli.shared.option_types import (
    amount,
    counts,
    fallback,
    faults,
    pairs,
    regions,
    rooms,
    volume,
    waves,
    writable,
)

STRATEGIES = ("rolling", "canary", "bluegreen", "immediate")

_WHAT = (
    option("--image", metavar="REF", help="Image to run. Its tag is resolved once, and all machines run that digest."),
    option("--size", metavar="NAME", help="Named size such as shared-cpu-2x; --memory may go with it."),
    option("--cpus", type=click.IntRange(min=1), metavar="N", help="Shared CPUs of each machine."),
    option("--memory", type=click.IntRange(min=1), metavar="MB", help="Memory of each machine in MB."),
    option(
        "--env",
        metavar="NAME=VALUE",
        multiple=True,
        callback=pairs,
        help="Environment variable; for secrets use the app's secrets.",
    ),
    option("--metadata", metavar="NAME=VALUE", multiple=True, callback=pairs, help="Metadata of each machine."),
    option(
        "--port",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help="Port of the web server inside; it is reached on 80 and 443.",
    ),
    option("--check", metavar="PATH", help="Path on --port that must answer before a machine gets traffic."),
    option(
        "--volume",
        metavar="NAME:PATH[:SIZE_GB]",
        callback=volume,
        help="Volume of its own for each machine: a free one of that name, else a new one of 1 GB or SIZE_GB.",
    ),
    option(
        "--if-volume-lost",
        type=click.Choice(["fork", "new"]),
        help="When a machine has to leave its host: fork its volume, or give it up for a new one; else it stays.",
    ),
)
_WHERE = (
    option(
        "--region",
        multiple=True,
        callback=regions,
        shell_complete=region_codes,
        metavar="CODE",
        help="Region to deploy to; repeat it, or list: iad,lhr.",
    ),
    option(
        "--count",
        multiple=True,
        callback=counts,
        metavar="N|CODE=N",
        help="Machines in each region, or in one; repeat it, or list: 2,iad=5,lhr=0. With a strategy, 0 retires a "
        "region's machines.  [default: 1]",
    ),
    option(
        "--fallback",
        default=("skip",),
        multiple=True,
        callback=fallback,
        metavar="skip|nearest|CODE",
        help="Where a machine goes when its region has no room: nowhere, the nearest with room, or these in order; "
        "repeat it, or list: ewr,ord.  [default: skip]",
    ),
    option("--create-app", metavar="ORG", help="Create the app in this organization if it is not there."),
)
_STRATEGY = (
    option(
        "--strategy",
        type=click.Choice(STRATEGIES),
        help="Bring the app's machines to this image and count; without a strategy a deploy only adds machines.",
    ),
    option(
        "--max-unavailable",
        callback=amount,
        metavar="N|SHARE",
        help="rolling, canary: how many of a region's machines may be away at once: a number, or a share such as 33%.  "
        "[default: 33%]",
    ),
    option("--canaries", callback=amount, metavar="N|SHARE", help="canary: how many machines go first.  [default: 1]"),
    option("--soak", type=float, metavar="SECONDS", help="canary: how long to watch those.  [default: 60]"),
    option(
        "--drain",
        type=float,
        metavar="SECONDS",
        help="bluegreen: time between an old machine's last new request and its stop.  [default: 10]",
    ),
    option(
        "--waves",
        metavar="CODES/CODES",
        callback=waves,
        help="Regions wave after wave, such as iad/lhr,nrt: each once the one before is done. Names the regions too.",
    ),
    option("--region-by-region", is_flag=True, help="Each --region as a wave of its own, in the order given."),
    option("--group", metavar="NAME", help="Process group to change; no other machine is touched.  [default: app]"),
    option(
        "--retire-group",
        multiple=True,
        metavar="NAME",
        help="Destroy the machines of this process group in the end; repeat it.",
    ),
    option(
        "--replace",
        multiple=True,
        metavar="FIELD",
        help="Replace this part of the config as a whole, such as services or env; else what is given here is merged "
        "by key into what each machine has. Repeat it.",
    ),
    option("--visible-to-flyctl", is_flag=True, help="Have flyctl count these machines as its own."),
    option(
        "--release-command",
        metavar="CMD",
        help="Run this on a machine of its own before anything changes; go on only after exit code 0.",
    ),
    option("--release-timeout", type=float, metavar="SECONDS", help="Time for the release command.  [default: 300]"),
)
_DONE = (
    option(
        "--wait",
        type=click.Choice(["started", "healthy", "none"]),
        help="What to wait for; by default healthy for a machine that has checks, else started.",
    ),
    option("--timeout", type=float, metavar="SECONDS", help="Time for each machine to come that far.  [default: 300]"),
    option(
        "--smoke-check",
        type=float,
        metavar="SECONDS",
        help="How long a machine that has come up has to stay so.  [default: 10 with a strategy, else 0]",
    ),
    option(
        "--verify-stopped",
        type=click.Choice(["auto", "always", "never"]),
        help="Whether to start a machine of each region, and stop it again, where all are stopped; by default where a "
        "service has autostart. Where none was verified, the exit status is 8.",
    ),
    option(
        "--hedge",
        is_flag=False,
        flag_value="3",
        type=float,
        metavar="[TIMES]",
        help="Make a rival for a new machine that boots 3 times as long as the others, or TIMES as long: --hedge=4.",
    ),
    option(
        "--require",
        callback=amount,
        metavar="all|N|SHARE",
        help="How many regions must run for exit status 0: all, a number, or a share such as 60% or 0.6.  "
        "[default: 1; all with a strategy]",
    ),
    option(
        "--roll-back",
        is_flag=True,
        help="Go back to what was there before if the deploy misses --require: old configs again, and what it made is "
        "destroyed. A deploy cut off by Ctrl-C stays as it is.",
    ),
)
_ON_AND_BACK = (
    option("--launch", metavar="ID", help="Name of this launch, or the one to --undo.  [default: random; the last]"),
    option(
        "--journal",
        metavar="FILE",
        callback=writable,
        help="Write down in FILE what is decided and done, without secrets, to go on from it with --resume.",
    ),
    option(
        "--resume",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="Go on with the deploy in this journal; what it may not hold is given again, as --env NAME=VALUE.",
    ),
    option("--undo", is_flag=True, help="Undo the last release of APP and its --group, or the deploy of --resume."),
)
_TOLD = (
    option(
        "--dry-run", is_flag=True, help="Print the plan, each change and each new machine's config; change nothing."
    ),
    option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, one event each; the report is last."),
    option(
        "--html",
        metavar="FILE",
        callback=writable,
        help="Write the report to FILE as a page with a timeline, also of a deploy that failed or was cut off.",
    ),
)
_REHEARSAL = (
    option("--local", is_flag=True, help="Rehearse on an emulator in this process: no token, no cost."),
    option(
        "--capacity",
        metavar="CODE=N",
        multiple=True,
        callback=rooms,
        help="With --local: how many machines a region holds; repeat it, or list: iad=0,lhr=0.",
    ),
    option("--seed", type=int, metavar="N", help="With --local: another seed, other ids and boot times."),
    option(
        "--boot",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="With --local: how long a machine boots.  [default: 1 to 3]",
    ),
    option(
        "--fault",
        "trouble",
        metavar="JSON",
        multiple=True,
        callback=faults,
        help='With --local: trouble in the fields of flyasync.Fault, such as {"does": "crash", "region": "lhr"}.',
    ),
)
SECTIONS: Sections = {
    "What to run": _WHAT,
    "Where": _WHERE,
    "How to change what runs": _STRATEGY,
    "When it counts as done": _DONE,
    "Going on, and going back": _ON_AND_BACK,
    "What it tells": _TOLD,
    "Rehearsing": _REHEARSAL,
}
