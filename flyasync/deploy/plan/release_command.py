"""The release command and the seed command: temporary machines that must succeed before anything changes; pure."""

import shlex

from attrs import evolve, field, frozen, validators

from flyasync.errors import InvalidInput
from flyasync.models.config import DNS, Init, MachineConfig
from flyasync.models.container import Restart
from flyasync.models.fly_toml.shell_words import split_words
from flyasync.models.guest import Guest
from flyasync.models.redaction import HIDDEN, contains_secret, shown

RELEASE_GROUP = "fly_app_release_command"
"""The process group of the machines of release and seed commands; the same as flyctl's."""

_GROUP_IN_ENV = {"FLY_PROCESS_GROUP"}
_PLATFORM = "fly_platform_version"


@frozen(kw_only=True)
class ReleaseCommand:
    """A command that must exit with 0 on a temporary machine, within `timeout` seconds; otherwise the deploy ends."""

    command: tuple[str, ...] = field(repr=False)
    timeout: float = field(default=300.0, validator=validators.gt(0))
    guest: Guest | None = None

    @classmethod
    def of(
        cls,
        command: str | tuple[str, ...],
        *,
        needs: str = "a release command needs a command, such as 'bin/migrate'",
        **options: object,
    ) -> "ReleaseCommand":
        """Parse a command line, or use its words unchanged; without words, `needs` is the error."""
        try:
            words = split_words(command) if isinstance(command, str) else tuple(command)
        except ValueError as error:
            raise InvalidInput(f"{shown(command)} is not a valid command line: {error}") from error
        if not words:
            raise InvalidInput(needs)
        return cls(command=words, **options)  # type: ignore[arg-type]

    def config(self, config: MachineConfig) -> MachineConfig:
        """Return the machine's config: the image and environment of the deploy, without services and volumes.

        If the environment names the process group, as that of a fly.toml does, it names the release command's group.
        """
        env, metadata = config.env or {}, config.metadata or {}
        return MachineConfig(
            image=config.image,
            guest=self.guest or config.guest,
            env={**env, **dict.fromkeys(_GROUP_IN_ENV & env.keys(), RELEASE_GROUP), "RELEASE_COMMAND": "1"},
            files=config.files,
            init=evolve(config.init or Init(), cmd=self.command, exec=None),
            stop_config=config.stop_config,
            restart=Restart(policy="no"),
            # Only the deploy needs the machine, so it destroys itself even if the deploy was killed.
            auto_destroy=True,
            dns=DNS(skip_registration=True),
            metadata={
                **{key: value for key, value in metadata.items() if key == _PLATFORM},
                "fly_process_group": RELEASE_GROUP,
            },
        )

    def __str__(self) -> str:
        if contains_secret(self.command[:1]):
            return HIDDEN
        return f"{self.command[0]} …" if contains_secret(self.command) else shlex.join(self.command)
