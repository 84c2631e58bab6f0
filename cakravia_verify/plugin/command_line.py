"""`--version v1.2.0` on pytest's command line means a release, not pytest's own version.

pytest knows `--version` as a flag of its own. `--version v1.2.0` reaches this plugin in time to be respelled.
pytest's parser refuses `--version=v1.2.0` with exit status 4 before it loads any plugin.
"""

from __future__ import annotations

from pathlib import Path

from cakravia_verify.errors import UsageError


def respelled(arguments: list[str]) -> list[str]:
    """The arguments with `--version X` as `--release X`. A `--version` alone on the line stays pytest's own.

    Raises UsageError where a release is plainly meant, but the version is missing.
    """
    result: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--version" and rest and not rest[0].startswith("-") and not _is_suite(rest[0]):
            result += ["--release", rest.pop(0)]
        elif argument == "--version" and any(_is_suite(each) for each in [*result, *rest]):
            raise UsageError("--version names no version", remedy="write the version after it, as in --version v1.2.0")
        else:
            result.append(argument)
    return result


def _is_suite(argument: str) -> bool:
    """Whether an argument is a path to tests, not a version that happens to look like one."""
    path = argument.partition("::")[0]
    return ("/" in path or path.endswith(".py") or path == "suites") and Path(path).exists()
