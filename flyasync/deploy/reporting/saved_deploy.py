"""A deploy that a file contains, without the values that may be secret; these are stated again to continue it."""

import json
from collections.abc import Mapping
from typing import ClassVar

from attrs import evolve, frozen

from flyasync.deploy.plan.plan import Decision
from flyasync.deploy.plan.spec import DeploySpec
from flyasync.deploy.reporting.spec_json import OF_GROUP, RELEASE_COMMAND, SEED_COMMAND, VERIFICATION
from flyasync.errors import InvalidInput


@frozen(kw_only=True)
class SavedDeploy:
    """A deploy that a journal or a plan file contains.

    `api` is the URL of the API; None if the file does not contain it. `spec` lacks the values at the paths `redacted`;
    `fingerprint` is that of the complete spec. `noun` is what the file is called, `method` the builder's method that
    reads it.
    """

    noun: ClassVar[str]
    method: ClassVar[str]

    spec: DeploySpec
    fingerprint: str
    api: str | None = None
    redacted: tuple[str, ...] = ()
    is_released: bool = False
    is_seeded: bool = False

    def is_of(self, app: str, launch: str | None) -> bool:
        """Whether it belongs to this launch of this app."""
        return (self.spec.app, self.spec.launch) == (app, launch)

    def restated(self, env: Mapping[str, str] | None) -> DeploySpec:
        """Return the spec to continue with, and with the redacted ones of these variables.

        A name such as `worker:ROLE` states a variable of one group, any other name that of all groups. The app's
        secrets are observed again, and with `only_secrets`, the machines that may have older ones.
        """
        release = None if self.is_released else self.spec.release
        spec = evolve(self.spec, secrets=None, release=release, seed=None if self.is_seeded else self.spec.seed)
        if spec.only_secrets:
            spec = evolve(spec, counts={}, stated_regions=())
        given = env or {}

        def complete(group: DeploySpec) -> DeploySpec:
            names = self.redacted_names("env", group.group)
            values = {name: given.get(f"{group.group}:{name}", given.get(name)) for name in names}
            known = {name: value for name, value in values.items() if value is not None}
            return evolve(group, config=evolve(group.config, env={**(group.config.env or {}), **known} or None))

        return spec.changed(complete)

    def redacted_names(self, part: str, group: str) -> frozenset[str]:
        """Return the names of the redacted values in a part of a group's config: `env` or `metadata`."""
        prefix = f"{'' if group == self.spec.group else f'{group}{OF_GROUP}'}{part}"
        own = [path.removeprefix(prefix) for path in self.redacted if path.startswith((f"{prefix}.", f"{prefix}["))]
        # In a path, a name that is not a plain word is quoted: env["A-B"].
        return frozenset(
            str(json.loads(name[1:-1])) if name.startswith("[") else name.removeprefix(".") for name in own
        )

    def check_api(self, url: str) -> None:
        """Raise InvalidInput if the deploy was planned at another API than the one at this URL."""
        if self.api not in {None, url}:
            raise InvalidInput(
                f"the {self.noun} is of a deploy at {self.api}, but this deploy goes to {url}",
                python=f"use another {self.noun}, or a client with base_url={self.api!r}",
                command=f"use another {self.noun}, or set FLY_FLAPS_BASE_URL={self.api}",
            )

    def check(self, spec: DeploySpec) -> None:
        """Raise InvalidInput if a spec of the same launch differs from the one in the file."""
        if not self.is_of(spec.app, spec.launch):
            return
        if spec.fingerprint_of_all != self.fingerprint:
            lacking = ", ".join(
                path for path in self.redacted if path not in {RELEASE_COMMAND, SEED_COMMAND, VERIFICATION}
            )
            problem = f"launch {spec.launch} has another config in the {self.noun}"
            if not lacking:
                raise InvalidInput(f"{problem}: use another launch name for this config")
            raise InvalidInput(
                f"{problem}, which does not contain {lacking} because they may be secret; state them again with the "
                "same values",
                python=f"environment variables with {self.method}(path, env={{…}}), other values with with_config(…)",
                command="with --env NAME=VALUE and --metadata NAME=VALUE",
            )
        if RELEASE_COMMAND in self.redacted and not (self.is_released or spec.release):
            raise InvalidInput(
                f"the release command of launch {spec.launch} has not succeeded yet, and the {self.noun} does not "
                "contain it because it may hold a secret",
                python="state it again with with_release_command(…)",
                command="state it again with --release-command",
            )
        if SEED_COMMAND in self.redacted and not (self.is_seeded or spec.seed):
            raise InvalidInput(
                f"the {self.noun} does not contain the seed command of launch {spec.launch} because it may hold a "
                "secret, and the command is not known to have succeeded",
                python="state it again with with_seed_command(…)",
                command="state it again with --seed-command",
            )
        if VERIFICATION in self.redacted and spec.verification is None:
            raise InvalidInput(
                f"the {self.noun} does not contain how machines of launch {spec.launch} are verified, because that is "
                "a function, or may hold a secret",
                python="state it again with verify(…)",
                command="state it again with --verify",
            )

    @property
    def demands_fleet(self) -> bool:
        """Whether the deploy may go on only if the fleet is as the file has recorded it."""
        return False

    def accepted(self, decision: Decision) -> Decision:
        """Return a decision that is made now; raises FleetChanged if the file demands another fleet."""
        return decision


def first_of(error: Exception) -> Exception:
    """Return the first error of a group, which has all errors of a value that cannot be read; one is enough to show."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
