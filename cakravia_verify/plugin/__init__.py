"""pytest's face: options, hooks, fixtures and the gatekeeper of a release session."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.plugin import hookspecs
from cakravia_verify.plugin.command_line import respelled
from cakravia_verify.plugin.options import add_options

if TYPE_CHECKING:
    from cakravia_verify.plugin.sessions.load import LoadSession
    from cakravia_verify.plugin.sessions.release import ReleaseSession
    from cakravia_verify.runs.release_run import Outcome

GATEKEEPER = "cakravia-gatekeeper"
INCONCLUSIVE = 10
IS_RELEASE = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    from cakravia_verify.errors import UsageError

    try:
        respelt = respelled(args)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    if respelt != args:
        args[:] = respelt
        known = early_config.known_args_namespace
        early_config.known_args_namespace = parser.parse_known_args(args)
        early_config.known_args_namespace.confcutdir = known.confcutdir


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gate: a check that a release must pass to be promoted")
    kind = config.hook.pytest_cakravia_kind(config=config)
    if kind is None:
        if config.getoption("release"):
            raise pytest.UsageError(
                "--version / --release names a release, but no release suite was given: "
                "pytest suites/deploy --version v1.2.0"
            )
        return
    config.stash[IS_RELEASE] = True
    if config.option.help:
        return
    from cakravia_verify.plugin.sessions.registry import session_type_of

    session_type = session_type_of(kind)
    config.pluginmanager.register(session_type.fixtures, "cakravia-fixtures")
    if config.option.collectonly:
        return
    gatekeeper = session_type.session(config, session_type.policy, required=session_type.required)
    gatekeeper.open()
    config.pluginmanager.register(gatekeeper, GATEKEEPER)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    gatekeeper: ReleaseSession | LoadSession | None = config.pluginmanager.get_plugin(GATEKEEPER)
    if gatekeeper is not None:
        gatekeeper.close()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hypothesis' plugin loads the whole library for its summary, half a second, even where no test has used it."""
    plugins = session.config.pluginmanager
    bystander = plugins.get_plugin("hypothesispytest")
    if bystander is not None and "hypothesis" not in sys.modules and session.config.stash.get(IS_RELEASE, False):
        plugins.unregister(bystander)


def _outcome(config: pytest.Config) -> Outcome | None:
    gatekeeper: ReleaseSession | LoadSession | None = config.pluginmanager.get_plugin(GATEKEEPER)
    return None if gatekeeper is None else gatekeeper.outcome


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config):  # type: ignore[no-untyped-def]
    """The exit status is that of the release, whatever a hook made of it; a session that only listed or planned
    something released nothing, and does not end with 0."""
    status = None
    if config.option.version and config.hook.pytest_cakravia_kind(config=config) is not None:
        raise pytest.UsageError(
            "-V asks for pytest's own version and would release nothing; as in: pytest suites/deploy --version v1.2.0"
        )
    try:
        status = yield
    except BaseException as error:
        if _outcome(config) is None:
            raise
        if isinstance(error, OSError):  # a full disk is no bug: where pytest's own report failed helps nobody
            print(f"cakravia: the session's report could not be finished: {error}", file=sys.stderr)
        elif not isinstance(error, Exception):
            print(f"cakravia: somebody's hook ended the session with {type(error).__name__}: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
    outcome = _outcome(config)
    if outcome is not None:
        return outcome.exit
    return INCONCLUSIVE if not status and config.stash.get(IS_RELEASE, False) else status
