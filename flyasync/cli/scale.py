"""`flyasync scale`: change how many machines the groups of an app have, or their size, and nothing else."""

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from flyasync.cli.deploy.app_options import given, stated
from flyasync.cli.deploy.options import json_option
from flyasync.cli.deploy.origin import who_deploys
from flyasync.cli.shared.completion import app_names, groups
from flyasync.cli.shared.option_groups import GroupedCommand, OptionGroup, option, titled
from flyasync.cli.shared.option_types import amount, fallback
from flyasync.errors import InvalidInput

if TYPE_CHECKING:
    from flyasync.deploy.builder import DeployBuilder

EPILOG = """\b
Examples:
  # three machines in each region where the app runs; or in one region
  flyasync scale web 3
  flyasync scale web 2@iad --dry-run
\b
  # the process group app: two machines in iad, and none in lhr any more
  flyasync scale web app=2@iad app=0@lhr --yes
\b
  # another size; then more memory alone
  flyasync scale web --size shared-cpu-2x --group app
  flyasync scale web --memory 1024

N is the number of machines of the group in each region where it runs, or with @REGION in that region only. Without
GROUP= and --group it is that of the app's only group. Groups and regions that are not named keep their machines.

Each machine keeps its image, with the digest that it runs, and its config. A change of numbers updates no machine: new
ones are like the others of their group, with volumes of the same size, and those that do not run are the first to be
destroyed. A change of the size updates machines in place, as a rolling deploy does; stopped ones stay stopped. A later
deploy that states no size keeps this one.

If machines are to be destroyed, the plan is shown and has to be confirmed; exactly that plan is then executed, or
nothing if the machines have changed meanwhile.

Exit status: that of flyasync deploy; also 1 if you answered no.
"""


class Size(NamedTuple):
    """How many machines a group is to have, in one region or in each; None stands for what is not named."""

    machines: int
    group: str | None = None
    region: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Read N, GROUP=N, N@REGION or GROUP=N@REGION; raises BadParameter."""
        found = re.fullmatch(r"(?:([^=@\s]+)=)?(\d+)(?:@(\S+))?", text)
        if found is None:
            raise click.BadParameter(
                f"{text!r} is not a number of machines, such as 3, 2@iad, worker=3 or worker=2@iad"
            )
        size = cls(int(found[2]), found[1], found[3])
        if size.machines == 0 and size.region is None:
            raise click.BadParameter(
                f"{text!r} would destroy all machines of the group: name regions, such as 0@iad, or destroy machines "
                "with flyasync machines destroy"
            )
        from flyasync.deploy.plan.spec import check_region

        try:
            return size._replace(region=size.region and check_region(size.region))
        except InvalidInput as error:
            raise click.BadParameter(error.for_command) from None


def sizes(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[Size, ...]:
    """Read the numbers of machines; each may be given once."""
    found: dict[tuple[str | None, str | None], Size] = {}
    for size in map(Size.parse, texts):
        key = size.group, size.region
        if key in found:
            raise click.BadParameter(f"it is given twice for {'@'.join(filter(None, key)) or 'each region'}")
        found[key] = size
    return tuple(found.values())


class GuestOptions(OptionGroup):
    """The size of each machine."""

    title = "Size"

    size: str | None = option(
        "--size", metavar="NAME", help="Named size, such as shared-cpu-2x; --memory can raise its memory."
    )
    memory: int | None = option(
        "--memory", type=click.IntRange(min=1), metavar="MB", help="Memory of each machine in MB."
    )

    def applied(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder that states this size."""
        if self.size is not None:
            return stated("--size", made.with_size, self.size, memory_mb=self.memory)
        return made if self.memory is None else stated("--memory", made.with_guest, memory_mb=self.memory)


class ChangeOptions(OptionGroup):
    """What is changed, and how."""

    title = "Change"

    group: tuple[str, ...] = option(
        "--group",
        multiple=True,
        metavar="NAME",
        shell_complete=groups,
        help="Process group to change; may be repeated.  [default: all groups for a size; the only one for a number]",
    )
    fallback: tuple[str, ...] = option(
        "--fallback",
        multiple=True,
        callback=fallback,
        metavar="skip|nearest|CODE",
        help="What to do if a region has no capacity, as in flyasync deploy.  [default: skip]",
    )
    max_unavailable: float | str | None = option(
        "--max-unavailable",
        callback=amount,
        metavar="N|SHARE",
        help="How many machines of a region may be unavailable at once: a number, or a share such as 33%.  "
        "[default: 33%]",
    )
    verify_stopped: Literal["auto", "always", "never"] | None = option(
        "--verify-stopped",
        type=click.Choice(["auto", "always", "never"]),
        help="Whether to start one machine of each region as a test, and stop it again, if all machines are stopped.  "
        "[default: auto]",
    )
    roll_back: bool = option(
        "--roll-back", is_flag=True, help="If not all machines run afterwards, restore the previous sizes and numbers."
    )
    launch: str | None = option("--launch", metavar="ID", help="Name of this launch.  [default: random]")
    message: str | None = option(
        "--message",
        metavar="TEXT",
        help="Why this is done; stored in the metadata of the machines that are created or updated.",
    )

    def applied(self, made: "DeployBuilder") -> "DeployBuilder":
        """Return a builder that changes the fleet in this way."""
        made = stated("--max-unavailable", made.rolling, **given(max_unavailable=self.max_unavailable))
        made = stated("--fallback", made.fallback, *self.fallback) if self.fallback else made
        made = made.verify_stopped(self.verify_stopped) if self.verify_stopped else made
        made = made.roll_back_on_failure(self.roll_back)
        return stated("--launch", made.with_launch, self.launch) if self.launch else made


class OutputOptions(OptionGroup):
    """What is written, and whether to ask."""

    title = "Output"

    dry_run: bool = option("--dry-run", is_flag=True, help="Print the plan; change nothing.")
    yes: bool = option(
        "--yes", is_flag=True, help="Destroy machines without confirmation; required without a terminal."
    )
    as_json: bool = json_option()


@click.command(
    "scale",
    cls=GroupedCommand,
    groups=titled(GuestOptions, ChangeOptions, OutputOptions),
    epilog=EPILOG,
)
@click.argument("app", shell_complete=app_names)
@click.argument("numbers", metavar="[[GROUP=]N[@REGION]]...", nargs=-1, callback=sizes)
@click.pass_context
def command(ctx: click.Context, /, app: str, numbers: tuple[Size, ...], **_: Any) -> None:
    """Change how many machines the groups of APP have, or their size, and nothing else."""
    from flyasync.cli.scale_run import scale
    from flyasync.deploy.builder import DeployBuilder

    guest, change = GuestOptions.of(ctx.params), ChangeOptions.of(ctx.params)
    output = OutputOptions.of(ctx.params)
    is_size = guest != GuestOptions(size=None, memory=None)
    if is_size == bool(numbers):
        raise click.UsageError("give numbers of machines, such as 3 or worker=2@iad, or else --size or --memory")
    if numbers and change.group and any(each.group for each in numbers):
        raise click.UsageError("name the group as GROUP=N or with --group, but not both")
    # What is invalid by itself is refused before a token is needed.
    base = guest.applied(change.applied(DeployBuilder(app).keep_config()))
    base = base.with_message(change.message, by=who_deploys())
    base.deployment()
    raise click.exceptions.Exit(scale(base, change.group, numbers, output))
