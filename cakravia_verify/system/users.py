"""The user, the host and the CI job that act."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from typing import Final

from cakravia_verify.foreign_text import LONGEST_NAME, one_line

# A CI system's template of its job's URL, out of its environment variables. The first complete one counts.
RUN_URLS: Final = (
    "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    "{CI_JOB_URL}",
    "{CIRCLE_BUILD_URL}",
    "{BUILDKITE_BUILD_URL}",
    "{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
    "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
    "{DRONE_BUILD_LINK}",
    "{BUILD_URL}",
)


RUNNER_NAMES: Final = ("RUNNER_NAME", "CI_RUNNER_DESCRIPTION")


def who_acts() -> str:
    """Return the user of this process as `user@host`. Under sudo it is the user who called sudo."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def run_url(environment: Mapping[str, str]) -> str:
    """Return the URL of the CI job that this environment belongs to, '' outside of CI."""
    known = {name: value for name, value in environment.items() if value}
    for template in RUN_URLS:
        try:
            return template.format_map(known)
        except KeyError:
            continue
    return ""


def ci_job(environment: Mapping[str, str]) -> str:
    """Return the URL of the CI job and the name of its runner, '' outside of CI."""
    names = [one_line(environment[name], longest=LONGEST_NAME) for name in RUNNER_NAMES if environment.get(name)]
    return ", ".join(filter(None, (run_url(environment), *(f"runner {name}" for name in names[:1]))))
