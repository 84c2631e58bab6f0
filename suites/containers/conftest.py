"""The containers of a deployed site, one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cakravia_verify.api import (
    CONTAINER_PARTS,
    PROXY_PART,
    SLOT_PARTS,
    ContainerSite,
    ContainerView,
    Settings,
    open_container_site,
)


def pytest_cakravia_kind() -> str:
    return "check"


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Iterator[ContainerSite]:
    """The site that --site names, on Docker."""
    with open_container_site(request.config) as site:
        yield site


@pytest.fixture(scope="session")
def settings(site: ContainerSite) -> Settings:
    return site.settings


@pytest.fixture(scope="session")
def proxy(site: ContainerSite) -> ContainerView:
    assert PROXY_PART in site.containers, "the proxy's container does not run: cakravia up starts the site"
    return site.containers[PROXY_PART]


@pytest.fixture(scope="session", params=CONTAINER_PARTS)
def container(request: pytest.FixtureRequest, site: ContainerSite) -> ContainerView:
    """Each container in turn. The proxy must run; a slot may be empty."""
    assert site.containers, "no container of this site runs: cakravia up starts it"
    if request.param in site.containers:
        return site.containers[request.param]
    if request.param == PROXY_PART:
        pytest.fail("the proxy's container does not run")
    pytest.skip(f"{request.param} is empty")


@pytest.fixture(scope="session", params=SLOT_PARTS)
def slot(request: pytest.FixtureRequest, site: ContainerSite) -> ContainerView:
    """Each slot that runs. At least one must run."""
    assert set(site.containers) & set(SLOT_PARTS), "no slot runs: cakravia up starts the site"
    if request.param not in site.containers:
        pytest.skip(f"{request.param} is empty")
    return site.containers[request.param]
