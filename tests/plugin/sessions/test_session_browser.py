"""A browser stays open on a real Next.js project while its versions change."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.plugin.sessions.chromium import Chromium, Tab, chromium
from tests.plugin.sessions.shop import REPOSITORY, Shop

PROJECT = REPOSITORY / "examples" / "next_app"
PAGES = Path(__file__).resolve().parent / "next_pages"
SWITCHES = 20
SETTINGS = """\
[site]
name = "next"
[slots]
blue = {blue}
green = {green}
memory_limit = "1G"
[proxy]
listen = "127.0.0.1:{users}"
assets = ["/_next/static/"]
skew = {{ header = "x-deployment-id", query = "dpl", after_rollback = true }}
[app]
command = ["node", "server.js"]
source = "{builds}/{{version}}"
environment = {{ HOSTNAME = "127.0.0.1" }}
grace = 5.0
[contract]
health = "/health"
ready = ""
live = ""
status = ""
[health]
consecutive = 2
timeout = 10.0
[release]
bake = 2.0
confirm_timeout = 30.0
drain_minimum = 0.1
[release.smoke]
[budget]
min_requests = 10
min_rate_held = 0.5
p99 = 30.0
[traffic]
users = 10
rate = 8.0
timeout = 30.0
round_trip = 0.0
profile = "custom"
[[traffic.mix]]
path = "/shop"
contains = "Order"
[[traffic.mix]]
path = "/shop/away"
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two builds of the project in examples/, with pages of this test, as a release gets them."""
    for name in ("node", "npm"):
        if not shutil.which(name):
            pytest.skip(f"there is no {name} on the PATH")
    if not PROJECT.exists():
        pytest.skip("examples/next_app is not there")
    folder = tmp_path_factory.mktemp("next")
    project, made = folder / "project", folder / "builds"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("node_modules", ".next"))
    shutil.copytree(PAGES, project, dirs_exist_ok=True)
    write_parts(project / "app" / "shop")
    # Browsers ask for it by themselves.
    shutil.copy(project / "public" / "picture.png", project / "public" / "favicon.ico")
    run(["npm", "ci", "--no-audit", "--no-fund"], project)
    for version in ("v1", "v2"):
        (project / "app" / "shop" / "release.js").write_text(f'export const release = "{version}";\n')
        shutil.rmtree(project / ".next", ignore_errors=True)
        run(["npm", "run", "build"], project, RELEASE=version, NEXT_TELEMETRY_DISABLED="1")
        shutil.copytree(project / ".next" / "standalone", made / version, symlinks=True)
        shutil.copytree(project / ".next" / "static", made / version / ".next" / "static")
        shutil.copytree(project / "public", made / version / "public")
    return made


def write_parts(folder: Path) -> None:
    """Write more lazy chunks than there are visits. Each has another content in each version."""
    parts = folder / "parts"
    parts.mkdir()
    for number in range(SWITCHES + 5):
        text = f'import {{ release }} from "../release";\nexport default `part-{number}-${{release}}`;\n'
        (parts / f"p{number}.js").write_text(text)
    loaders = ",\n".join(f'  () => import("./parts/p{number}")' for number in range(SWITCHES + 5))
    (folder / "loaders.js").write_text(f"export const loaders = [\n{loaders},\n];\n")


def run(command: list[str], folder: Path, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    with chromium(tmp_path / "profile") as opened:
        if opened is None:
            pytest.skip("there is no chromium on the PATH")
        yield opened


def use(tab: Tab, version: str, *, visit: int) -> None:
    """Navigate away and back, load one more chunk and post the form. The document must be the one opened at first."""
    tab.click("away")
    tab.wait_for("document.getElementById('where')")
    assert tab.value("document.getElementById('where').innerText") == f"away {version}"
    tab.click("back")
    tab.wait_for("document.getElementById('version')")
    # The state of the component is new after each navigation, so the chunks up to this visit's are loaded.
    for number in range(visit + 1):
        tab.click("more")
        tab.wait_for(f"document.getElementById('shown').innerText.includes('part-{number}-{version}')")
    tab.value("document.cookie = 'ordered=; max-age=0; path=/'")
    tab.click("order")
    tab.wait_for(f"document.cookie.includes('ordered=tea-{version}')")
    assert tab.value("window.opened_at_first") is True, "the page was loaded again"
    assert tab.troubles == []


def opened(browser: Chromium, shop: Shop) -> Tab:
    tab = browser.open(f"http://127.0.0.1:{shop.users}/shop")
    tab.value("window.opened_at_first = true")
    return tab


def test_a_browser_left_open_over_twenty_switches_and_rollbacks_breaks_nowhere(
    builds: Path, browser: Chromium, new_shop: Callable[..., Shop]
) -> None:
    shop = new_shop()
    ports = {"users": shop.users, "blue": shop.blue, "green": shop.green}
    text = SETTINGS.format(builds=builds, **ports).replace("[release.smoke]\n", 'smoke = [{ path = "/shop" }]\n')
    shop.settings.write_text(text)
    ended = shop.deploy("v1")
    assert ended.status == 0, ended.output
    tabs = {"v1": opened(browser, shop)}
    use(tabs["v1"], "v1", visit=0)
    for number in range(1, SWITCHES + 1):
        ended = shop.deploy("v2") if number % 2 else shop.roll_back("--reason", "a test")
        assert ended.status == 0, ended.output
        if "v2" not in tabs:
            tabs["v2"] = opened(browser, shop)
        (check,) = [each for each in shop.verdict()["checks"] if each["name"] == "open pages"]
        assert check["standing"] == "passed"
        for version, tab in tabs.items():
            use(tab, version, visit=number)
