"""Compares the machines of an app with one another, and with a file."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import click
from attrs import evolve, frozen

from flyasync.api.client import FlyClient
from flyasync.api.fly_toml import load_config_file
from flyasync.cli.machines.edit import changes_as_json
from flyasync.cli.oncall.drift import Drift, against, among, members
from flyasync.cli.oncall.log_members import check_group
from flyasync.cli.shared.exit_codes import CHANGES, FAILED, OK
from flyasync.cli.shared.output import note
from flyasync.deploy.builder import DeployBuilder
from flyasync.models.config import MachineConfig
from flyasync.models.diff import diff_text
from flyasync.models.machine import Machine


@frozen(kw_only=True)
class DriftOutput:
    """The drift of an app; `source` is the file that it was compared with."""

    app: str
    drift: Drift
    compared: int
    source: str | None

    @property
    def code(self) -> int:
        """10 for drift; without drift, failure if a machine could not be compared."""
        return CHANGES if self.drift.is_any else FAILED if self.drift.unknown else OK

    @property
    def data(self) -> dict[str, Any]:
        """The drift as JSON, without values that may be secret."""
        return {
            "app": self.app,
            "file": self.source,
            "compared": self.compared,
            "differences": [
                {
                    "group": each.group,
                    "machine": each.id,
                    "name": each.name,
                    "region": each.region,
                    "what": each.what,
                    "changes": changes_as_json(each.changes),
                }
                for each in self.drift.differences
            ],
            "not_in_file": list(self.drift.unstated),
            "unknown": [{"machine": each.id, "host_status": each.host_status} for each in self.drift.unknown],
        }

    def write(self, out: TextIO) -> None:
        """Write each difference with its changes."""
        lines = [f"{self.app}: {self._summary()}"]
        for each in self.drift.differences:
            label = f"{each.name} ({each.id})" if each.id else each.name
            lines.append(f"  {label} in {each.region}, group {each.group}, {each.what}")
            lines += (f"    {line}" for line in diff_text(each.changes).splitlines())
        lines += (f"  group {each} is not in {self.source}: a deploy leaves it" for each in self.drift.unstated)
        out.write("\n".join(lines) + "\n")

    def _summary(self) -> str:
        differing = len({each.id or each.name for each in self.drift.differences})
        if differing:
            return f"{differing} of {max(self.compared, differing)} machines differ"
        if not self.compared:
            return "no machines to compare"
        return f"no differences between {self.compared} machines{f' and {self.source}' if self.source else ''}"


async def compared(
    fly: FlyClient, app: str, *, file: Path | None, image: str | None, groups: tuple[str, ...]
) -> DriftOutput:
    """Read the machines of an app, or of some groups, and return how they differ."""
    everyone = members(await fly.machines.list(app))
    those = members(everyone, groups)
    drift = among(those)
    if file is not None:
        found = await FileComparison(app, file, image, groups).drift(fly, those)
        drift = evolve(found, differences=(*found.differences, *drift.differences), unknown=drift.unknown)
    else:
        for group in groups:
            check_group(app, group, everyone)
    for machine in drift.unknown:
        note(f"{machine.name} ({machine.id}) was not compared: its host is {machine.host_status}")
    return DriftOutput(
        app=app, drift=drift, compared=len(those) - len(drift.unknown), source=str(file) if file else None
    )


@frozen
class FileComparison:
    """A comparison of machines with a file: with what a deploy of it would make of them."""

    app: str
    file: Path
    image: str | None
    groups: tuple[str, ...]

    async def drift(self, fly: FlyClient, machines: Sequence[Machine]) -> Drift:
        """Plan a deploy of the file that keeps the number of machines, and return what it would change."""
        builder = self._builder()
        stated = self.image or builder.config.image
        # A deploy needs an image. Where none is stated, that of most machines stands in, and is not compared.
        usual = Counter(machine.image for machine in machines if machine.image).most_common(1)
        if compared := stated or next((image for image, _ in usual), None):
            builder = builder.with_image(compared)
        # Whatever its strategy, an update in place shows what differs. A release command would run only in a deploy.
        builder = builder.rolling().keep_counts()
        plan = await evolve(builder, spec=evolve(builder.spec, release=None)).plan(fly)
        return against(plan, machines, source=str(self.file), with_images=stated is not None)

    def _builder(self) -> DeployBuilder:
        read = load_config_file(self.file)
        if not isinstance(read, MachineConfig):
            return DeployBuilder.from_fly_toml(read, app=self.app, groups=self.groups)
        if len(self.groups) > 1:
            named = " and ".join(self.groups)
            raise click.UsageError(f"--group names {named}, but {self.file} is the config of one group")
        return DeployBuilder(self.app).process_group(*(self.groups or ("app",))).with_config(read)
