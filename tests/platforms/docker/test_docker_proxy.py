"""The proxy in its container: users who come in by TLS, and logs that stay within bounds."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cakravia_verify.errors import LockHeld, UsageError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.proxy.configuration import STAND_INS
from cakravia_verify.platforms.docker.proxy.image import ProxyImage
from cakravia_verify.proxy.protocol import Admission
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site
from cakravia_verify.slots import Colour
from cakravia_verify.system.clock import Deadline, poll
from cakravia_verify.system.log_files import LONGEST_LOG
from tests.kept_files import files_in
from tests.platforms.process.growing_files import unnamed
from tests.platforms.process.nginx.certificates import Pair, make_pair, served_fingerprint
from tests.ports import free_ports

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from cakravia_verify.site.site import Site
    from tests.platforms.docker.conftest import MakeSite
    from tests.platforms.docker.docker_stage import DockerSite

LOGS = "/srv/proxy/logs"


@dataclass(frozen=True)
class Shop:
    """A Node server in both slots behind a proxy with TLS; everyday requests are written to a file."""

    made: DockerSite
    site: Site
    port: int
    pair: Pair
    newer: Pair

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    def ask(self, trusted: Pair, **headers: str) -> httpx.Response:
        with httpx.Client(verify=trusted.trusted, http2=True, trust_env=False) as client:
            return client.get(self.url, headers=headers)


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline("the test's own patience", seconds)


@pytest.fixture(scope="module")
def shop(make_site: MakeSite, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("certificates")
    pair, newer = make_pair(folder, "site"), make_pair(folder, "newer")
    (port,) = free_ports(1)
    made = make_site(application="node_app", base="node", profile="generic", more="")
    tls = f'tls_listen = "127.0.0.1:{port}"\ntls_certificate = "{pair.certificate}"\ntls_key = "{pair.key}"\n'
    made.settings.write_text(made.settings.read_text().replace("[proxy]\n", f'[proxy]\naccess_log = "file"\n{tls}'))
    site = made.open()
    artifact = site.platform.build("v1.0.0", deadline=soon(60))
    for colour in Colour:
        slot = site.platform.start(colour, artifact, release="r", deadline=soon())
        poll(lambda slot=slot: all(r.is_healthy for r in site.readings(slot)), deadline=soon())  # type: ignore[misc]
    site.proxy.start(Colour.BLUE, deadline=soon())
    return Shop(made, site, port, pair, newer)


@pytest.fixture
def proxy(shop: Shop, client: DockerClient) -> Container:
    return client.containers.get(f"{shop.made.name}-nginx")


@contextmanager
def visitors(*urls: str) -> Iterator[list[int | str]]:
    """Two users for each address, each request on a connection of its own; what they got, in the end."""
    over, got = threading.Event(), list[int | str]()

    def visit(url: str) -> None:
        while not over.wait(0.02):
            try:
                got.append(httpx.get(url, timeout=5, trust_env=False, verify=False).status_code)  # noqa: S501
            except httpx.HTTPError as error:
                got.append(f"{url}: {error!r}")

    threads = [threading.Thread(target=visit, args=(url,)) for url in urls * 2]
    for thread in threads:
        thread.start()
    try:
        yield got
    finally:
        over.set()
        for thread in threads:
            thread.join()


def said(container: Container, line: str) -> str:
    """What a line of shell printed; it succeeded."""
    status, output = container.exec_run(["sh", "-c", line])
    assert status == 0, output
    assert isinstance(output, bytes)
    return output.decode()


def ids(log: Path) -> list[str]:
    return [json.loads(line)["id"] for line in log.read_text().splitlines()]


# Users who come in by TLS.


def test_users_come_in_by_https_and_http2_before_and_after_a_switch(shop: Shop) -> None:
    seen = []
    for colour in (Colour.GREEN, Colour.BLUE):
        shop.site.proxy.point_at(colour, deadline=soon())
        answer = shop.ask(shop.pair)
        seen.append((answer.http_version, answer.headers["X-Served-Slot"], answer.headers["X-Deployment-Slot"]))
    assert seen == [("HTTP/2", "green", "green"), ("HTTP/2", "blue", "blue")]


def test_the_key_is_in_one_file_for_nginxs_user_and_nowhere_else(
    shop: Shop, proxy: Container, client: DockerClient
) -> None:
    assert said(proxy, "stat -c '%u %a' /srv/proxy/conf/*.key; id -u").split() == ["10101", "400", "10101"]
    secret = shop.pair.key.read_text().splitlines()[1]
    image = client.images.get(proxy.attrs["Image"])
    for place, text in {
        "container": json.dumps(proxy.attrs),
        "image": json.dumps([image.attrs, image.history()]),
        "processes": json.dumps(proxy.top()),
        "log": proxy.logs().decode(),
        "configuration": said(proxy, "cat /srv/proxy/conf/nginx.conf*"),
        "compose": (shop.made.folder / "docker-compose.blue-green.yml").read_text(),
        "state": "".join(each.read_text() for each in shop.made.folder.rglob("*") if each.is_file()),
    }.items():
        assert secret not in text, place


def test_a_slot_is_given_neither_certificate_nor_key(shop: Shop, client: DockerClient) -> None:
    for colour in Colour:
        slot = client.containers.get(f"{shop.made.name}-app-{colour}")
        assert [mount["Name"] for mount in slot.attrs["Mounts"]] == [f"{shop.made.name}-slots"]


def test_the_suite_for_containers_knows_the_port_for_tls(shop: Shop) -> None:
    ended = shop.made.check_containers("-k", "publishes or listens or key or mounted")
    assert ended.status == 0, ended.output


def test_another_tls_port_than_the_published_one_is_refused(shop: Shop) -> None:
    (other,) = free_ports(1)
    with pytest.raises(UsageError, match=rf"needs .*127\.0\.0\.1:{other} published, but .*:{shop.port}") as raised:
        shop.made.open(("proxy.tls_listen", f"127.0.0.1:{other}")).proxy.check()
    assert "cakravia down, then cakravia up" in raised.value.remedy


def test_a_certificate_that_does_not_match_its_key_changes_nothing(shop: Shop, proxy: Container) -> None:
    before, key = shop.pair.fingerprint, shop.pair.key.read_bytes()
    shop.pair.key.write_bytes(shop.newer.key.read_bytes())
    try:
        with pytest.raises(UsageError, match=r"(?i)key values mismatch"):
            shop.site.proxy.refresh(deadline=soon())
    finally:
        shop.pair.key.write_bytes(key)
    assert served_fingerprint(shop.port) == before
    assert said(proxy, "ls /srv/proxy/conf/*.key").count(".key") == 1
    assert not shop.site.proxy.refresh(deadline=soon())


def test_up_loads_a_renewed_certificate_and_no_request_is_lost(shop: Shop, proxy: Container) -> None:
    shop.pair.take_over(shop.newer)
    with visitors(shop.url, shop.made.url) as got:
        ended = shop.made.cakravia("up")
        assert ended.status == 0, ended.output
        assert "the proxy loaded its changed configuration" in ended.output
        assert served_fingerprint(shop.port) == shop.newer.fingerprint
    assert got
    assert set(got) == {200}
    assert shop.ask(shop.newer).headers["X-Served-Slot"] == "blue"
    assert said(proxy, "ls /srv/proxy/conf/*.key").count(".key") == 1
    assert not shop.site.proxy.refresh(deadline=soon())


# Accidents.


def test_a_hung_worker_does_not_stop_a_changed_configuration(shop: Shop, proxy: Container) -> None:
    hung = shop.site.proxy.observe().generation.split(",")
    said(proxy, f"kill -STOP {' '.join(hung)}")
    changed = shop.made.open(("proxy.max_body", "1k"))
    assert changed.proxy.refresh(deadline=soon(4))
    assert set(changed.proxy.observe().generation.split(",")).isdisjoint(hung)
    assert httpx.post(shop.made.url, content=b"x" * 2000, trust_env=False).status_code == 413
    shop.site.proxy.refresh(deadline=soon())


def test_failover_can_be_forbidden_with_each_kind_of_switch(shop: Shop) -> None:
    classic = shop.made.open(("proxy.switch", "reload")).proxy
    ways: list[Callable[[], object]] = [
        lambda: classic.set_failover(allowed=False),
        lambda: classic.refresh(deadline=soon()),
    ]
    for take_away in ways:
        shop.site.proxy.set_failover(allowed=True)
        assert shop.site.proxy.observe().has_failover
        take_away()
        shop.site.proxy.refresh(deadline=soon())
        assert not shop.site.proxy.observe().has_failover


def test_maintenance_sends_users_away_and_the_sites_own_requests_pass(shop: Shop) -> None:
    site = shop.site
    site.proxy.set_admission(Admission.MAINTENANCE)
    try:
        poll(lambda: shop.ask(shop.pair).status_code == 503, deadline=soon())
        assert (site.observe().proxy.admission, site.serving().slot) == (
            Admission.MAINTENANCE,
            site.proxy.observe().chosen,
        )
        site.proxy.set_admission(Admission.HOLD)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(shop.ask, shop.pair)
            assert wait([waiting], timeout=1.0).done == set()
            site.proxy.set_admission(Admission.OPEN)
            assert waiting.result().status_code == 200
    finally:
        site.proxy.set_admission(Admission.OPEN)


def test_a_copy_of_the_folder_is_the_same_site(shop: Shop, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(shop.made.folder, tmp_path / "copy"))
    copy = open_site(load_settings(copied / "cakravia.toml", environment={}))
    assert copy.observe().slots == shop.site.observe().slots
    shop.site.lock.acquire("a test")
    try:
        with pytest.raises(LockHeld, match=f"process {os.getpid()}"):
            copy.lock.acquire("a test")
    finally:
        shop.site.lock.release()


def test_a_folder_that_was_moved_goes_on_with_its_containers(shop: Shop, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(shop.made.folder, tmp_path / "moved"))
    before = shop.site.observe().slots.blue
    away = shop.site.settings.state.rename(tmp_path / "away")
    try:
        site = open_site(load_settings(moved / "cakravia.toml", environment={}))
        assert site.observe().slots.blue == before
    finally:
        away.rename(shop.site.settings.state)


# Logs.


def test_every_request_is_written_exactly_once(shop: Shop, proxy: Container) -> None:
    before = said(proxy, f"cat {LOGS}/access.log {LOGS}/everyday.log | wc -l")
    shop.ask(shop.newer, **{"X-Request-ID": "once-1"})
    shop.ask(shop.newer)
    poll(
        lambda: int(said(proxy, f"cat {LOGS}/access.log {LOGS}/everyday.log | wc -l")) == int(before) + 2,
        deadline=soon(),
    )
    assert "once-1" in said(proxy, f"tail -n 1 {LOGS}/access.log")
    assert said(proxy, f"tail -n 1 {LOGS}/everyday.log").count(" 200 ") == 1


def test_everyday_requests_can_go_to_the_containers_own_output(shop: Shop, proxy: Container) -> None:
    assert shop.made.open(("proxy.access_log", "stdout")).proxy.refresh(deadline=soon())
    try:
        shop.ask(shop.newer, **{"User-Agent": "everyday"})
        shop.ask(shop.newer, **{"User-Agent": "measured", "X-Request-ID": "run-1"})
        poll(lambda: b"everyday" in proxy.logs(), deadline=soon())
        assert b"measured" not in proxy.logs()
    finally:
        shop.site.proxy.refresh(deadline=soon())


def test_long_logs_are_cut_before_a_run_and_the_run_is_complete(shop: Shop, proxy: Container) -> None:
    requests = "/srv/cakravia/blue/requests.log"
    slot = proxy.client.containers.get(f"{shop.made.name}-app-blue")  # type: ignore[union-attr]
    said(proxy, f"truncate -s {LONGEST_LOG + 1} {LOGS}/access.log {LOGS}/everyday.log")
    said(slot, f"truncate -s {LONGEST_LOG + 1} {requests}")
    site = shop.made.open()
    site.bound_logs()
    site.fetch_logs()
    for number in range(30):
        shop.ask(shop.newer, **{"X-Request-ID": f"run-{number}"})
    site.fetch_logs()
    wanted = [f"run-{number}" for number in range(30)]
    copied, app = site.proxy.access_log, site.platform.request_log(Colour.BLUE)
    assert copied is not None
    assert app is not None
    assert ids(copied) == wanted
    assert [line.split("\t")[2] for line in app.read_text().splitlines() if line.startswith("begin")] == wanted
    sizes = said(proxy, f"stat -c %s {LOGS}/access.log {LOGS}/everyday.log {LOGS}/everyday.log.1").split()
    assert [int(size) > LONGEST_LOG for size in sizes] == [False, False, True]
    assert int(said(slot, f"stat -c %s {requests}")) < LONGEST_LOG


def test_logs_within_their_bounds_are_left_alone(shop: Shop, proxy: Container) -> None:
    before = said(proxy, f"stat -c '%i %s' {LOGS}/access.log {LOGS}/everyday.log")
    shop.made.open().bound_logs()
    assert said(proxy, f"stat -c '%i %s' {LOGS}/access.log {LOGS}/everyday.log") == before


def test_every_file_below_the_state_folder_is_on_the_operations_page(shop: Shop) -> None:
    assert unnamed(shop.site.settings.state) == []


def test_what_grows_in_a_container_has_a_bound(shop: Shop, client: DockerClient) -> None:
    mine: dict[str, Any] = {"label": f"cakravia.site={shop.made.name}"}
    options = [each.attrs["HostConfig"]["LogConfig"]["Config"] for each in client.containers.list(filters=mine)]
    assert options == [{"max-size": "10m", "max-file": "3"}] * 3


def test_of_the_proxys_images_the_one_that_runs_and_the_newest_are_kept(
    make_site: MakeSite, client: DockerClient, tmp_path: Path
) -> None:
    site = make_site(application="plain_app", base="nginx")
    image = ProxyImage(site.open(("docker.proxy_context", str(tmp_path))).settings, Engine())
    built = []
    for number in range(3):
        (tmp_path / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nLABEL number={number}\n")
        built.append(image.obtain(deadline=soon(60), fresh=True))
    image.forget_others(built[1][1])
    repository = f"cakravia-verify/{site.name}-nginx"
    left = {tag for each in client.images.list(repository) for tag in each.tags}
    assert left == {built[1][0], built[2][0], f"{repository}:current"}


def test_the_key_goes_when_the_settings_do_not_name_it_any_more(shop: Shop, client: DockerClient) -> None:
    plain = shop.made.open(("proxy.tls_listen", ""), ("proxy.tls_certificate", ""), ("proxy.tls_key", ""))
    plain.proxy.stop(deadline=soon())
    plain.proxy.start(Colour.BLUE, deadline=soon())
    proxy = client.containers.get(f"{shop.made.name}-nginx")
    assert said(proxy, "find /srv/proxy -path '*/history' -prune -o -name 'tls-*' -print") == ""
    assert {port: bool(places) for port, places in proxy.ports.items()} == {"8080/tcp": True}
    assert httpx.get(shop.made.url, trust_env=False).headers["X-Served-Slot"] == "blue"


def test_open_pages_get_their_files_and_their_version_and_own_directives_are_tested_first(
    shop: Shop, client: DockerClient, tmp_path: Path
) -> None:
    own = tmp_path / "own.conf"
    own.write_text("location = /own { return 200 own; }\nlocation /through {\n  include cakravia_slot.conf;\n}\n")
    without_tls = [("proxy.tls_listen", ""), ("proxy.tls_certificate", ""), ("proxy.tls_key", "")]
    skew = ("proxy.skew", {"header": "x-deployment-id", "max_age": 60.0})
    settings = [*without_tls, ("proxy.assets", ["/kept/"]), skew, ("proxy.snippets", {"locations": str(own)})]
    site = shop.made.open(*settings)
    site.proxy.stop(deadline=soon())
    site.proxy.start(Colour.BLUE, deadline=soon())
    site.proxy.check()

    def ask(path: str = "/", named: str = "") -> httpx.Response:
        headers = {"x-deployment-id": named} if named else {}
        return httpx.get(f"{shop.made.url}{path}", headers=headers, trust_env=False)

    assert (ask("/own").text, ask("/through").headers["X-Served-Slot"]) == ("own", "blue")
    for number in range(2):
        files = {"/kept/a.js": b"a", f"/kept/deep/{number}.js": b"b"}
        site.proxy.keep_files(Colour.GREEN, files_in(tmp_path / str(number), files))
    site.proxy.pin(Colour.BLUE, "v1")
    assert ask(named="v1").headers["X-Served-Slot"] == "blue"
    site.proxy.point_at(Colour.GREEN, deadline=soon())
    assert (ask("/kept/a.js").text, ask("/kept/deep/1.js").text) == ("a", "b")
    assert ask("/kept/deep/0.js").headers["X-Served-Slot"] == "green"
    assert [ask(named=named).headers["X-Served-Slot"] for named in ("v1", "v2", "")] == ["blue", "green", "green"]
    site.proxy.unpin(Colour.BLUE)
    assert ask(named="v1").headers["X-Served-Slot"] == "green"
    assert "server.mjs" in site.platform.file_names(Colour.BLUE, "")
    assert site.platform.file_names(Colour.BLUE, "dist/assets") == ()
    own.write_text("location = /own { rewind; }\n")
    with pytest.raises(UsageError, match=r"unknown directive .rewind. in .*own.conf, line 1 "):
        shop.made.open(*settings).proxy.check()
    sets = said(client.containers.get(f"{shop.made.name}-nginx"), "ls /srv/proxy/assets/sets /srv/proxy/conf")
    assert sets.count("green-") == 1
    assert "nginx.conf.tested" not in sets


def test_connections_of_workers_and_answers_of_the_other_slot_are_counted(shop: Shop, proxy: Container) -> None:
    before = shop.site.proxy.usage()
    assert before is not None
    assert 0 < before.connections < before.limit
    line = f"printf '1000000000.000\\n%s.000\\n' $(date +%s) >> {STAND_INS}"
    assert proxy.exec_run(["sh", "-c", line]).exit_code == 0
    after = shop.site.proxy.usage()
    assert after is not None
    added = (after.stand_ins - before.stand_ins, after.stand_ins_today - before.stand_ins_today)
    assert (added, after.limit) == ((2, 1), before.limit)
