"""The fly.toml of a deploy: which file, and how it is applied."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.option_groups import OptionGroup, option
from flyasync.errors import InvalidInput

if TYPE_CHECKING:
    from flyasync.deploy.builder import DeployBuilder
    from flyasync.models.config import MachineConfig
    from flyasync.models.fly_toml.app_config import FlyToml


class FileOptions(OptionGroup):
    """The file that states what to run, and whether the deploy converges to it or only adds machines."""

    title = "fly.toml"

    config: Path | None = option(
        "--config",
        "-c",
        type=click.Path(exists=True, path_type=Path),
        metavar="FILE",
        help="fly.toml, fly.json or machine config (JSON) that states what to run. Other options are applied on top.  "
        "[default: fly.toml or fly.json of the current folder]",
    )
    no_config: bool = option("--no-config", is_flag=True, help="Do not look for a fly.toml.")
    strict: bool = option("--strict", is_flag=True, help="Refuse unknown keys in the fly.toml, instead of a warning.")
    ha: bool = option(
        "--ha",
        type=bool,
        default=True,
        metavar="true|false",
        help="Whether a group that is created from the fly.toml in one region gets a second machine, or a standby.  "
        "[default: true]",
    )
    no_public_ips: bool = option(
        "--no-public-ips",
        is_flag=True,
        help="Allocate no IP addresses on the first deploy of an app whose fly.toml has public services.",
    )
    add: bool = option(
        "--add", is_flag=True, help="Add the machines of this launch, and change no others, instead of converging."
    )

    def find(self, app: str | None, *, may_be_org: bool) -> "FlyToml | MachineConfig | None":
        """Return the content of the file, or of the one in the current folder; None if there is neither.

        Raises InvalidInput for a file that was found, not named, and is of another app. If `may_be_org`, the advice
        considers that the app may have been meant as the organization of --create-app.
        """
        from flyasync.api.fly_toml import find_fly_toml, load_config_file
        from flyasync.models.config import MachineConfig

        path = self.config or (None if self.no_config else find_fly_toml())
        if path is None:
            return None
        read = load_config_file(path)
        is_named = self.config is not None
        # A deploy that only adds machines refuses any file that was found, whatever its app.
        if not (is_named or self.add or isinstance(read, MachineConfig)) and app and read.app and app != read.app:
            org = f"; for the organization {app}, write --create-app={app}" if may_be_org else ""
            raise InvalidInput(
                f"the app to deploy is {app}, but {path} is that of {read.app}: add --config {path} to deploy it to "
                f"{app}, or --no-config to ignore it{org}"
            )
        return read

    def base(
        self, read: "FlyToml | MachineConfig | None", app: str | None, groups: tuple[str, ...], image: str | None
    ) -> "DeployBuilder":
        """Return the builder that the other options are applied to; raises UsageError and InvalidInput."""
        from flyasync.deploy.builder import DeployBuilder
        from flyasync.models.config import MachineConfig

        # 1. A fly.toml states the app, its groups, and how to deploy them.
        if read is not None and not isinstance(read, MachineConfig):
            if not (image or read.image):
                raise InvalidInput(
                    f"{read.source} names no image, and flyasync does not build one: build and push it, then pass "
                    "--image"
                )
            made = DeployBuilder.from_fly_toml(
                read, app=app, image=image, groups=groups, ha=self.ha, strict=self.strict
            )
            return made.allocate_public_ips(not self.no_public_ips)
        # 2. Otherwise one group of the app converges, or a launch adds machines.
        if len(groups) > 1:
            raise click.UsageError(f"--group names {' and '.join(groups)}, but only a fly.toml has several groups")
        if not app:
            raise click.UsageError("Missing argument 'APP', and there is no fly.toml that names the app.")
        made = DeployBuilder(app)
        if not self.add:
            made = made.rolling().keep_counts()
        return made if read is None else made.with_config(read)
