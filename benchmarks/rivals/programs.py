"""Rivals that are programs: each is put into a directory of its own for as long as it is measured, and run there."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import Factory, frozen

from benchmarks.rivals.launches import IMAGE, Launched, Wanted, emulated
from benchmarks.shared.children import spawned

HERE = Path(__file__).parent
PATIENCE = 120.0
"""Seconds for an installation, for a program to load, and again for it to launch; then it is given up."""


class NotThereError(Exception):
    """It could not be installed, for the reason given."""


@frozen
class Program:
    """What to run, and what to add to its environment."""

    command: Sequence[str]
    environment: Mapping[str, str] = Factory(dict)


FLYASYNC = Program([sys.executable, "-m", "benchmarks.rivals.with_flyasync"])
"""The one that is here anyway."""
Install = Callable[[Path], Program]
"""Installs a program into an empty directory; raises NotThereError."""


def fly_python_sdk(directory: Path) -> Program:
    """Install it into a virtual environment, since it pins an httpx that is not ours."""
    install(sys.executable, "-m", "venv", str(directory))
    install(str(directory / "bin" / "pip"), "install", "--disable-pip-version-check", "fly-python-sdk==0.3.4")
    return Program([str(directory / "bin" / "python"), str(HERE / "fly_python_sdk_child.py")])


def fly_admin(directory: Path) -> Program:
    """Install it with npm."""
    install("npm", "install", "--no-audit", "--no-fund", "--prefix", str(directory), "fly-admin@1.6.1")
    return Program(["node", str(HERE / "fly_admin_child.cjs")], {"NODE_PATH": str(directory / "node_modules")})


KITS: Mapping[str, Install] = {"fly-python-sdk 0.3.4": fly_python_sdk, "fly-admin 1.6.1, Node": fly_admin}


def install(*command: str) -> None:
    """Run an installer to its end; raises NotThereError unless that is a good one."""
    name = Path(command[0]).name
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)  # noqa: S603 - our own words
    except FileNotFoundError:
        raise NotThereError(f"{name} is not there") from None
    except subprocess.TimeoutExpired:
        raise NotThereError(f"{name} took more than {PATIENCE:g} s") from None
    except subprocess.CalledProcessError as failed:
        raise NotThereError(f"{name} ended with {failed.returncode}") from None


def installed(installs: Mapping[str, Install], directory: Path) -> tuple[dict[str, Program], dict[str, str]]:
    """Install what can be, each in its own directory; return the programs, and why others are not there."""
    programs: dict[str, Program] = {}
    missing: dict[str, str] = {}
    for number, (name, each) in enumerate(installs.items()):
        try:
            programs[name] = each(directory / str(number))
        except NotThereError as error:
            missing[name] = str(error)
    return programs, missing


async def side_by_side(
    programs: Mapping[str, Program], wanted: Sequence[Wanted], *, boot: float
) -> dict[str, Launched]:
    """Have each program launch the same machines of one app; return what came of it, without those that broke.

    Each has an emulator of its own. They begin together, once all have loaded what they need. From then on they mostly
    wait, and so they hardly disturb each other.
    """
    ready, app, regions = asyncio.Barrier(len(programs)), wanted[0].app, [each.region for each in wanted]

    async def one(program: Program) -> Launched | None:
        name, *arguments = program.command
        async with (
            emulated([app], boot=boot) as emulator,
            spawned("rival", *arguments, program=name, env=program.environment, is_quiet=True) as child,
        ):
            assert child.process.stdout
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await child.process.stdout.readline()
            await ready.wait()
            order = {"url": emulator.url, "token": emulator.token, "app": app, "image": IMAGE, "regions": regions}
            with suppress(TimeoutError, ValueError, ConnectionError):
                async with asyncio.timeout(PATIENCE):
                    seconds = await child.ask(order)
                return Launched.of(emulator, seconds)
        return None

    came = await asyncio.gather(*map(one, programs.values()))
    return {name: launched for name, launched in zip(programs, came, strict=True) if launched}
