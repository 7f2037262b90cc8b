"""`flyasync deploy`: its help and its options; the rest is imported when it runs, so that --help is fast."""

from typing import Any

import click

from flyasync.cli.deploy.options import GROUPS
from flyasync.cli.shared.completion import app_names
from flyasync.cli.shared.option_groups import GroupedCommand

EXIT_STATUS = """\
  0    ok: all machines are as desired; or degraded, and --require is met
  1    failed: --require is missed, and no machine is known to serve; or the
       API refused before anything was changed
  2    the command line or the input is wrong
  3    requirement missed, but at least one machine, new or old, serves
  4    rolled back: the previous state is restored
  5    no capacity: no region had room, and nothing was changed
  6    locked: another deploy is under way, and nothing was changed
  7    degraded: the default requirement is met, but not all machines run, or
       surplus machines remain
  8    not verified: all machines are stopped (--verify-stopped)
  9    paused after a wave (--pause-after)
  10   with --dry-run --detailed-exitcode: the plan has changes
  130  Ctrl-C (SIGINT); 143 SIGTERM; 129 the terminal was closed (SIGHUP)"""

EPILOG = f"""\b
Examples:
  # rehearse on this machine; then create the machines
  flyasync deploy web --image nginx --region iad,lhr,nrt --local
  flyasync deploy web --image registry.fly.io/web:v1 --region iad,lhr,nrt \\
      --port 8080 --check /health --fallback nearest
\b
  # update a third of each region at a time; on failure, roll back
  flyasync deploy web --image registry.fly.io/web:v2 \\
      --port 8080 --check /health --roll-back
\b
  # pause after the first wave; once it is approved, continue with the next
  flyasync deploy web --image registry.fly.io/web:v2.1 --waves iad/lhr,nrt \\
      --strategy rolling --port 8080 --check /health \\
      --pause-after 1 --journal waves.jsonl
  flyasync deploy --resume waves.jsonl
\b
  # run a migration; watch two canaries for five minutes; then go wave by wave
  flyasync deploy web --image registry.fly.io/web:v3 --waves iad/lhr,nrt \\
      --strategy canary --canaries 2 --soak 300 --port 8080 --check /health \\
      --release-command bin/migrate
\b
  # create all new machines first; destroy the old ones once these are healthy
  flyasync deploy web --image registry.fly.io/web:v4 --strategy bluegreen \\
      --port 8080 --check /health --journal deploy.jsonl
\b
  # show the plan for five machines in iad and none in lhr
  flyasync deploy web --image registry.fly.io/web:v4 --count iad=5,lhr=0 \\
      --port 8080 --check /health --dry-run
\b
  # verify each machine from outside before others follow; allow ten machines
  flyasync deploy web --image registry.fly.io/web:v4 --region iad,lhr,nrt \\
      --strategy canary --port 8080 --check /health --max-machines 10 \\
      --verify 'curl -fsS "http://[$FLY_PRIVATE_IP]:8080/health"' --dry-run
\b
  # follow the deploy on a map; keep that page in a file, with a time slider
  flyasync deploy web --image registry.fly.io/web:v4 --port 8080 \\
      --check /health --web --html deploy.html
\b
  # continue after a crash; or undo the release
  flyasync deploy --resume deploy.jsonl
  flyasync deploy --resume deploy.jsonl --undo
  flyasync deploy web --undo --dry-run
\b
  # add a machine beside the others, and print JSON lines
  flyasync deploy web --image nginx --region iad --add --launch test --json
\b
  # take that machine into the group: it is updated like the others
  flyasync deploy web --image registry.fly.io/web:v4 --port 8080 \\
      --check /health --adopt test-iad-1
\b
  # deploy the process groups of a fly.toml; in its folder: flyasync deploy
  flyasync deploy --config web/fly.toml --image registry.fly.io/web:v5

A deploy converges: it updates, creates and destroys machines of --group, or of the groups of the fly.toml, until they
have the given image, config and counts, and changes no other machines, except those that --adopt takes into a group.
The same command again changes nothing, and continues a deploy that was interrupted. Regions and counts that are not
given are those of the machines that exist; of the config, what only an earlier deploy has stated is removed, and what
came from others is kept.
A fly.toml or fly.json in the current folder is used unless --no-config is given; it states its fields completely, and
other options are applied on top. With --add, a deploy adds the machines of its launch instead, and changes no others;
the same command with the same --launch creates only those that are missing. --undo restores the release before the
last one; a second --undo, the release before that.

A signal stops the deploy: no further machine is created or changed, and the report shows what runs. A second signal
ends the command at once. Machines that run at that time keep running, even with --roll-back. The report shows how to
continue and how to undo.

\b
Exit status:
{EXIT_STATUS}

The state of the fleet takes precedence over the cause: 4 before 3, and 3 before 5.
"""


@click.command("deploy", cls=GroupedCommand, groups=GROUPS, epilog=EPILOG)
@click.argument("app", required=False, metavar="[APP]", shell_complete=app_names)
@click.pass_context
def command(ctx: click.Context, /, **_: Any) -> None:
    """Deploy one image to many regions of APP at once, and report what runs where."""
    from flyasync.cli.deploy.run import deploy

    deploy(ctx)
