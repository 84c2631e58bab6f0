"""The pytest plugin: options, hooks, fixtures and the session of each suite."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

import pytest

from cakravia_verify.command_options import forget_options, remember_options
from cakravia_verify.plugin import hookspecs
from cakravia_verify.plugin.command_line import names_suite, names_version, respelled
from cakravia_verify.plugin.neighbours import StayOut, refuse_asked
from cakravia_verify.plugin.options import add_options
from cakravia_verify.plugin.reporter import TakeOver
from cakravia_verify.plugin.sessions import PLUGIN_NAME

if TYPE_CHECKING:
    from cakravia_verify.plugin.sessions.base import Session
    from cakravia_verify.runs.session_run import SessionOutcome, SessionRun

INCONCLUSIVE = 10
IS_RELEASE = pytest.StashKey[bool]()
HAS_OPTIONS = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add our options if a suite of ours is on the command line. Any other run keeps its own options."""
    config = pluginmanager.get_plugin("pytestconfig")
    if isinstance(config, pytest.Config) and _is_over_a_suite(config):
        config.stash[HAS_OPTIONS] = True
        add_options(parser)
        pluginmanager.register(StayOut(), "cakravia-stay-out")
        pluginmanager.register(TakeOver(lambda each: each.stash.get(IS_RELEASE, False)), "cakravia-reporter")


def _is_over_a_suite(config: pytest.Config) -> bool:
    given = config.invocation_params
    return names_suite(given.args, folder=given.dir)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    from cakravia_verify.errors import UsageError

    if not early_config.stash.get(HAS_OPTIONS, False):
        if names_version(args):
            raise pytest.UsageError(
                "--version VERSION needs a release suite: write pytest suites/deploy --version v1.2.0"
            )
        return
    try:
        refuse_asked(parser, early_config.invocation_params.args)
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
    has_options = config.stash.get(HAS_OPTIONS, False)
    kind = _kind(config)
    has_options = config.stash.get(HAS_OPTIONS, False)
    if kind is None:
        if has_options and config.getoption("release"):
            raise pytest.UsageError(
                "--version / --release needs a release suite: write pytest suites/deploy --version v1.2.0"
            )
        return
    if not has_options:
        raise pytest.UsageError("pytest_cakravia_kind belongs into the conftest.py of a suite on the command line")
    config.stash[IS_RELEASE] = True
    remember_options(config.getoption("site"), config.getoption("cakravia_set"))
    if not config.rootpath.is_relative_to(config.invocation_params.dir):
        # The suites of an installed package have long paths: show those that start from the folder of the suites.
        config.cwd_relative_nodeid = str  # type: ignore[method-assign,assignment]
    if config.option.help:
        return
    from cakravia_verify.plugin.sessions.registry import session_type_of

    session_type = session_type_of(kind)
    config.pluginmanager.register(session_type.fixtures, "cakravia-fixtures")
    if config.option.collectonly:
        return
    session = session_type.session(config, session_type.policy, required=session_type.required)
    session.open()
    config.pluginmanager.register(session, PLUGIN_NAME)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    forget_options()
    session: Session[SessionRun] | None = config.pluginmanager.get_plugin(PLUGIN_NAME)
    if session is not None:
        session.close()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Skip the summary of Hypothesis if no test used it: it would load the whole library, half a second."""
    plugins = session.config.pluginmanager
    unused = plugins.get_plugin("hypothesispytest")
    if unused is not None and "hypothesis" not in sys.modules and session.config.stash.get(IS_RELEASE, False):
        plugins.unregister(unused)


def _kind(config: pytest.Config) -> str | None:
    if not config.hook.pytest_cakravia_kind.get_hookimpls():
        return None
    from cakravia_verify.plugin.kind_of_session import kind_of_session

    return kind_of_session(config)


def _outcome(config: pytest.Config) -> SessionOutcome | None:
    session: Session[SessionRun] | None = config.pluginmanager.get_plugin(PLUGIN_NAME)
    return None if session is None else session.outcome


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config):  # type: ignore[no-untyped-def]
    """Return the exit status of the run, whatever a hook made of it.

    A session that only listed its checks (--collect-only) ran nothing, so its status is not 0.
    """
    status = None
    if config.option.version and config.hook.pytest_cakravia_kind(config=config) is not None:
        raise pytest.UsageError(
            "-V prints pytest's own version and releases nothing; write: pytest suites/deploy --version v1.2.0"
        )
    try:
        status = yield
    except BaseException as error:
        if _outcome(config) is None:
            raise
        if isinstance(error, OSError):  # a full disk is no programming error: no traceback
            print(f"cakravia: pytest's own report could not be finished: {error}", file=sys.stderr)
        elif not isinstance(error, Exception):
            print(f"cakravia: a hook ended the session with {type(error).__name__}: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
    outcome = _outcome(config)
    if outcome is not None:
        return outcome.exit
    return INCONCLUSIVE if not status and config.stash.get(IS_RELEASE, False) else status
