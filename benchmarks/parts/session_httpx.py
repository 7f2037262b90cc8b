"""A client for httpx, generated from the API's own document when it is needed."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "tests" / "machines.openapi.json"
PACKAGE = "generated_fly"
TOKEN = "fo1_benchmark"  # noqa: S105 - opens nothing


@contextmanager
def generated() -> Iterator[ModuleType]:
    """Have the client as a package that can be imported until the block ends."""
    with TemporaryDirectory() as directory:
        # Its hooks would only format the code.
        config = Path(directory, "config.json")
        config.write_text(json.dumps({"post_hooks": []}))
        made = Path(directory, PACKAGE)
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
        command += ["--config", str(config), "--path", str(DOCUMENT), "--output-path", str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own words
        sys.path.insert(0, directory)
        try:
            yield import_module(PACKAGE)
        finally:
            sys.path.remove(directory)
            for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
                del sys.modules[name]


@asynccontextmanager
async def connected(package: ModuleType, url: str) -> AsyncIterator[Any]:
    """Give one of its clients, kept for all calls, with the pool that httpx makes by itself.

    Its hundred connections cost less CPU than one for each call: httpx looks through all of them at each call.
    """
    async with package.AuthenticatedClient(base_url=url, token=TOKEN) as client:
        yield client


def module(path: str) -> Any:
    """Give one of the modules of the package, such as `api.default.get_machine`."""
    return import_module(f"{PACKAGE}.{path}")
