"""A pytest plugin that meddles with a release from inside and outside, as CAKRAVIA_TEST_SABOTAGE says.

`<name>@<step>.<kind>` runs an act at that moment of the release, `<name>@<test>` right before that test, and `<name>`
alone when the gate is about to weigh.
Acts are real: signals to real processes, real files rewritten, the real proxy pointed elsewhere.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

ACTS: dict[str, Callable[[Act], None]] = {}
HELD: list[http.client.HTTPConnection] = []


class Act:
    """What an act can reach."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        gatekeeper: Any = config.pluginmanager.get_plugin("cakravia-gatekeeper")
        self.run: Any = gatekeeper.run
        self.site: Any = self.run.site
        self.folder: Path = self.run.folder
        self.candidate: Any = self.run.release.intent.candidate

    def another_site(self) -> Any:
        """The site as another person's command opens it."""
        from cakravia_verify.site.assembly import open_site

        return open_site(self.site.settings)

    def deadline(self) -> Any:
        from cakravia_verify.system.clock import Deadline

        return Deadline("sabotage", 10.0)

    def traffic(self) -> psutil.Process:
        children = psutil.Process().children()
        return next(child for child in children if "locust" in " ".join(child.cmdline()))

    def slot(self, colour: Any) -> psutil.Process:
        return psutil.Process(int(self.site.platform.observe(colour).identity.split("@")[0]))

    def edit_records(self, change: Callable[[list[str]], list[str]]) -> None:
        """requests.csv rewritten in place: what appends to it goes on."""
        path = self.folder / "requests.csv"
        lines = path.read_text().splitlines(keepends=True)
        with path.open("r+") as file:
            file.writelines([lines[0], *change(lines[1:])])
            file.truncate()


def act(function: Callable[[Act], None]) -> Callable[[Act], None]:
    ACTS[function.__name__.replace("_", "-")] = function
    return function


# What is done to the release's own process.


def _signal_soon(number: signal.Signals, *, after: float = 0.05) -> None:
    """The signal comes from outside, in the middle of whatever the step does then."""

    def send() -> None:
        time.sleep(after)
        os.kill(os.getpid(), number)

    note = Path("signalled-at")
    if not note.exists():
        Path("signalling").write_text(str(time.monotonic() + after))
        Path("signalling").rename(note)
    threading.Thread(target=send, daemon=True).start()


@act
def interrupt(_: Act) -> None:
    _signal_soon(signal.SIGINT)


@act
def terminate(_: Act) -> None:
    _signal_soon(signal.SIGTERM)


@act
def hang_up(_: Act) -> None:
    _signal_soon(signal.SIGHUP)


@act
def kill(_: Act) -> None:
    Path("sabotaged").write_text("kill\n")
    os.kill(os.getpid(), signal.SIGKILL)


@act
def kill_midway(_: Act) -> None:
    _signal_soon(signal.SIGKILL)


@act
def interrupt_again_and_again(it: Act) -> None:
    it.config.pluginmanager.register(SlowToExplain(), "slow-to-explain")
    for number in range(50):
        _signal_soon(signal.SIGINT, after=0.05 + number * 0.1)


class SlowToExplain:
    """As on a busy machine: pytest takes seconds to draw where the interrupt came."""

    def pytest_keyboard_interrupt(self) -> None:
        time.sleep(3.5)


# What is done to the traffic and its records.


@act
def kill_traffic(it: Act) -> None:
    it.traffic().kill()


@act
def stop_traffic(it: Act) -> None:
    it.traffic().suspend()


@act
def cut_records(it: Act) -> None:
    """Rows are gone, the last ones."""
    it.edit_records(lambda rows: rows[: len(rows) * 2 // 3])


@act
def thin_records(it: Act) -> None:
    """Rows are gone, here and there."""
    it.edit_records(lambda rows: [row for number, row in enumerate(rows) if number % 7])


@act
def whiten_records(it: Act) -> None:
    """No request was ever lost, it says now."""
    it.edit_records(lambda rows: [row.replace(",lost,", ",answered,").replace(",error,", ",answered,") for row in rows])


@act
def double_records(it: Act) -> None:
    it.edit_records(lambda rows: [*rows, *rows[:50]])


@act
def shift_records(it: Act) -> None:
    """The client's clock was an hour off."""

    def shifted(row: str) -> str:
        cells = row.split(",")
        cells[5:11] = [str(int(cell) + 3_600_000_000) if cell else "" for cell in cells[5:11]]
        return ",".join(cells)

    it.edit_records(lambda rows: [shifted(row) if row.count(",") == 18 else row for row in rows])


@act
def drop_records(it: Act) -> None:
    (it.folder / "requests.csv").unlink()


@act
def cut_access_log(it: Act) -> None:
    with it.site.proxy.access_log.open("r+") as log:
        log.truncate(0)


@act
def drop_application_logs(it: Act) -> None:
    for colour in ("blue", "green"):
        Path(it.site.platform.request_log(type(it.candidate)(colour))).unlink(missing_ok=True)


# What is done to the site.


@act
def flip_back(it: Act) -> None:
    it.another_site().proxy.point_at(it.candidate.other, deadline=it.deadline())


@act
def flip_forward(it: Act) -> None:
    """Somebody sends users to the candidate before it has proven itself."""
    it.another_site().proxy.point_at(it.candidate, deadline=it.deadline())


@act
def flip_back_and_forth(it: Act) -> None:
    other = it.another_site()
    other.proxy.point_at(it.candidate.other, deadline=it.deadline())
    time.sleep(0.3)
    other.proxy.point_at(it.candidate, deadline=it.deadline())


@act
def restart_candidate(it: Act) -> None:
    other = it.another_site()
    slot = other.platform.observe(it.candidate)
    artifact = next(a for a in other.platform.retained() if a.version == slot.version)
    other.platform.start(it.candidate, artifact, release=slot.release, deadline=it.deadline())
    deadline = it.deadline()
    while any(not reading.is_healthy for reading in other.readings(slot)) and not deadline.is_over:
        time.sleep(0.02)


@act
def replace_candidate(it: Act) -> None:
    """The version before runs in the candidate's slot."""
    other = it.another_site()
    old = next(a for a in other.platform.retained() if a.version == it.run.release.intent.active_version)
    other.platform.start(it.candidate, old, release="somebody-else", deadline=it.deadline())


@act
def kill_candidate(it: Act) -> None:
    it.slot(it.candidate).kill()


@act
def stop_candidate(it: Act) -> None:
    it.slot(it.candidate).suspend()


@act
def let_the_old_slot_stand_in(it: Act) -> None:
    """Somebody allows failover in the middle of the bake, and the candidate dies: users notice nothing."""
    it.another_site().proxy.set_failover(allowed=True)
    time.sleep(0.1)
    it.slot(it.candidate).kill()
    time.sleep(0.2)


@act
def replay_orders(it: Act) -> None:
    """Something between the users and the application sends orders again."""
    rows = [row.split(",") for row in (it.folder / "requests.csv").read_text().splitlines()[1:]]
    orders = [cells[0] for cells in rows if len(cells) == 19 and cells[3] == "POST" and cells[4] == "order"]
    address = it.site.platform.observe(it.candidate).address
    for ident in orders[-5:]:
        it.site.prober.request(
            address,
            "POST",
            "/api/orders",
            body=b"{}",
            headers={"X-Request-ID": ident, "Idempotency-Key": f"again-{ident}"},
        )


@act
def lose_the_way_back(it: Act) -> None:
    """The old slot dies, and nothing is left of which it could be started again."""
    it.slot(it.candidate.other).kill()
    shutil.rmtree(it.site.settings.state / "versions")


@act
def kill_nginx(it: Act) -> None:
    pid = int((it.site.settings.state / "nginx" / "nginx.pid").read_text())
    family = [psutil.Process(pid), *psutil.Process(pid).children()]
    for process in family:
        process.kill()


@act
def hold_a_request(it: Act) -> None:
    """A user of the old slot asks for something that takes longer than the drain waits."""
    address = it.site.proxy.address
    connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    connection.request("GET", "/api/slow?seconds=6")
    HELD.append(connection)


@act
def break_connections(it: Act) -> None:
    """The candidate stands still until requests have piled up, then nginx's workers die under them; its master has new
    ones at once."""
    candidate = it.slot(it.candidate)
    master = psutil.Process(int((it.site.settings.state / "nginx" / "nginx.pid").read_text()))
    candidate.suspend()
    time.sleep(0.3)
    for worker in master.children():
        worker.kill()
    candidate.resume()
    time.sleep(0.3)


def _reconfigure(it: Act, changes: Mapping[str, str]) -> None:
    """Replace the parts of nginx's configuration. A part that is not in it would make the sabotage do nothing."""
    configuration = it.site.settings.state / "nginx" / "nginx.conf"
    text = configuration.read_text()
    for part, other in changes.items():
        assert part in text, f"nginx.conf has no {part!r}"
        text = text.replace(part, other)
    configuration.write_text(text)
    os.kill(int((it.site.settings.state / "nginx" / "nginx.pid").read_text()), signal.SIGHUP)
    time.sleep(0.3)


@act
def split_users(it: Act) -> None:
    """Half of the users stay on the old slot."""
    old = str(it.candidate.other)
    split = f'split_clients "$connection$msec" $half {{ 50% {old}; * ""; }}\n    server {{'
    switch = 'green.active") { set $slot green; }'
    choose = f"{switch}\n            if ($half) {{ set $slot $half; }}"
    server = "server {\n        listen"
    _reconfigure(it, {switch: choose, server: f"{split}\n        listen"})


@act
def serve_a_copy(it: Act) -> None:
    """nginx answers the front page by itself, with all the right names on it."""
    version = it.run.release.intent.version
    copy = (
        f"location = / {{ add_header X-Served-Slot {it.candidate} always; "
        f"add_header X-Deployment-Slot {it.candidate} always; add_header X-Deployment-Version {version} always; "
        'return 200 "Cakravia"; }\n        location / {'
    )
    _reconfigure(it, {"location / {": copy})


# What is done to what is written.


@act
def report_in_the_way(it: Act) -> None:
    shutil.move(it.folder, it.folder.with_name("moved-away"))
    it.folder.write_text("a file where the report was")


@act
def reports_in_the_way(it: Act) -> None:
    reports = it.site.settings.reports
    shutil.move(reports, reports.with_name("moved-away"))
    reports.write_text("a file where all reports were")


@act
def history_in_the_way(it: Act) -> None:
    path = it.site.settings.history
    path.rename(path.with_suffix(".kept"))
    path.mkdir()


@act
def history_back(it: Act) -> None:
    path = it.site.settings.history
    path.rmdir()
    path.with_suffix(".kept").rename(path)


@act
def nothing(_: Act) -> None:
    pass


# When.


def _plans() -> list[tuple[str, str]]:
    told = os.environ.get("CAKRAVIA_TEST_SABOTAGE", "")
    pairs = [entry.partition("@")[::2] for entry in told.split(",") if entry]
    return [(name, event or "gate") for name, event in pairs]


def _perform(config: pytest.Config, event: str) -> None:
    for name, at in _plans():
        if at == event:
            # A sabotage that did not happen would prove nothing: the test looks for this note.
            ACTS[name](Act(config))
            with Path("sabotaged").open("a") as note:
                note.write(f"{name}@{at}\n")


@pytest.hookimpl(tryfirst=True)
def pytest_cakravia_step(config: pytest.Config, event: Any) -> None:
    _perform(config, f"{event.step}.{event.kind.replace(' ', '-')}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _perform(item.config, item.name)


@pytest.hookimpl(tryfirst=True)
def pytest_cakravia_gate(config: pytest.Config) -> None:
    _perform(config, "gate")
