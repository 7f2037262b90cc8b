"""The origin of a launch: its message, its git commit and who deploys, from the options, the CI service or git."""

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from flyasync.cli.shared.option_groups import OptionGroup, option

if TYPE_CHECKING:
    from flyasync.deploy.plan.launch_origin import LaunchOrigin

# GitHub Actions, GitLab, CircleCI, Buildkite, Bitbucket, Jenkins, Travis, Drone, CodeBuild, Azure Pipelines.
_COMMITS = (
    "GITHUB_SHA", "CI_COMMIT_SHA", "CIRCLE_SHA1", "BUILDKITE_COMMIT", "BITBUCKET_COMMIT", "GIT_COMMIT",
    "TRAVIS_COMMIT", "DRONE_COMMIT_SHA", "CODEBUILD_RESOLVED_SOURCE_VERSION", "BUILD_SOURCEVERSION",
)  # fmt: skip
_USERS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "CIRCLE_USERNAME", "BUILDKITE_BUILD_CREATOR", "BUILD_REQUESTEDFOR")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_GIT_TIMEOUT = 5.0  # seconds; a folder on a network may be slow, and no deploy waits for it


def _commit(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    if text is not None and not _COMMIT.fullmatch(text.lower()):
        raise click.BadParameter(f"{text!r} is not a commit: use 7 to 64 hexadecimal digits, as git rev-parse prints")
    return text and text.lower()


class OriginOptions(OptionGroup):
    """What the machines record about the launch."""

    title = "Origin"

    message: str | None = option(
        "--message",
        metavar="TEXT",
        help="Why this is deployed; stored in the metadata of the machines that the launch creates or updates.",
    )
    commit: str | None = option(
        "--commit",
        metavar="SHA",
        callback=_commit,
        help="Git commit that is deployed, also stored there.  [default: that of the CI job, else HEAD of the current "
        "folder]",
    )

    def find(self) -> "LaunchOrigin":
        """Return the message, the commit, and the user of the CI job or of this machine."""
        from flyasync.deploy.plan.launch_origin import LaunchOrigin

        commit = self.commit or _first_of(_COMMITS) or _head()
        return LaunchOrigin(message=self.message, commit=commit, by=who_deploys())


def who_deploys() -> str | None:
    """Return the user of the CI job or of this machine; None if neither has a name."""
    return _first_of(_USERS) or _user()


def _first_of(names: Iterable[str]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name, "").strip())), None)


def _head() -> str | None:
    """Return the commit of the current folder; None outside of a repository, or without git."""
    import subprocess

    try:
        git = subprocess.run(
            ("git", "rev-parse", "--verify", "HEAD"),  # noqa: S607 - the git that the user's PATH names
            capture_output=True, check=False, timeout=_GIT_TIMEOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    head = git.stdout.decode("ascii", "replace").strip()
    return head if git.returncode == 0 and _COMMIT.fullmatch(head) else None


def _user() -> str | None:
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError, ImportError):  # a user without an entry, as in a container
        return None
