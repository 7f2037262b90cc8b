"""What else there is to install, each put into a directory of its own for as long as it is measured, and run there."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import Factory, frozen

HERE = Path(__file__).parent
PATIENCE = 120.0
"""Seconds that an installation may take."""


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
"""Install it into an empty directory; raises NotThereError."""


def fly_python_sdk(directory: Path) -> Program:
    """Install it into a virtual environment, since it pins an httpx that is not ours."""
    run(sys.executable, "-m", "venv", str(directory))
    run(str(directory / "bin" / "pip"), "install", "--disable-pip-version-check", "fly-python-sdk==0.3.4")
    return Program([str(directory / "bin" / "python"), str(HERE / "fly_python_sdk_child.py")])


def fly_admin(directory: Path) -> Program:
    """Install it with npm."""
    run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(directory), "fly-admin@1.6.1")
    return Program(["node", str(HERE / "fly_admin_child.cjs")], {"NODE_PATH": str(directory / "node_modules")})


KITS: Mapping[str, Install] = {"fly-python-sdk 0.3.4": fly_python_sdk, "fly-admin 1.6.1, Node": fly_admin}


def run(*command: str) -> None:
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
