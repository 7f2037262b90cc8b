"""Rivals that are programs: each is put into a directory of its own for as long as it is measured, and run there."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import Factory, frozen

from benchmarks.parts.launch_rivals import IMAGE, Launched, Wanted, emulated
from benchmarks.shared.children import spawned

PATIENCE = 120.0
"""Seconds for an installation, for a program to load, and again for it to launch; then it is given up."""


@frozen
class Program:
    """What to run, what to add to its environment, and what installs it before; `DIR` is a directory of its own."""

    command: Sequence[str]
    environment: Mapping[str, str] = Factory(dict)
    installs: Sequence[Sequence[str]] = ()


FLYASYNC = Program([sys.executable, "-m", "benchmarks.parts.launch_rivals"])
_PIP, _NPM = ("DIR/bin/pip", "install", "--disable-pip-version-check"), ("npm", "install", "--no-audit", "--no-fund")
_HERE = Path(__file__).parent
KITS: Mapping[str, Program] = {
    # In a virtual environment, since it pins an httpx that is not ours.
    "fly-python-sdk 0.3.4": Program(
        ["DIR/bin/python", str(_HERE / "launch_fly_python_sdk.py")],
        installs=[(sys.executable, "-m", "venv", "DIR"), (*_PIP, "fly-python-sdk==0.3.4")],
    ),
    "fly-admin 1.6.1, Node": Program(
        ["node", str(_HERE / "launch_fly_admin.cjs")],
        {"NODE_PATH": "DIR/node_modules"},
        installs=[(*_NPM, "--prefix", "DIR", "fly-admin@1.6.1")],
    ),
}


def installed(kits: Mapping[str, Program], directory: Path) -> tuple[dict[str, Program], dict[str, str]]:
    """Install what can be, each in its own directory; return the programs, and why others are not there."""
    programs: dict[str, Program] = {}
    missing: dict[str, str] = {}
    for number, (name, kit) in enumerate(kits.items()):
        own = str(directory / str(number))
        try:
            for words in kit.installs:
                command = [word.replace("DIR", own) for word in words]
                subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)  # noqa: S603 - our own words
        except (OSError, subprocess.SubprocessError) as error:
            missing[name] = f"{Path(command[0]).name} failed, {type(error).__name__}"
        else:
            environment = {key: value.replace("DIR", own) for key, value in kit.environment.items()}
            programs[name] = Program([word.replace("DIR", own) for word in kit.command], environment)
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
