"""What every running container of a site must fulfil: pytest suites/containers."""

from __future__ import annotations

import re
import time

from cakravia_verify.api import ContainerSite, ContainerView, Settings

SECRET = re.compile(r"secret|passw|token|api_?key|private_?key|credential", re.IGNORECASE)
WITH_PASSWORD = re.compile(r"://[^/\s:@]+:[^/\s@]+@")
LOOPBACK = ("127.0.0.1", "::1")
LISTENING = "0A"
CLOCK_TOLERANCE = 2.0


# Users and capabilities.


def test_no_process_is_root(container: ContainerView) -> None:
    """Read twice: the engine starts each command as root for an instant, before it becomes the user."""
    looks = []
    for _ in range(2):
        statuses = container.run("cat /proc/[0-9]*/status")
        looks.append(dict(re.findall(r"^Pid:\s+(\d+)$.*?^Uid:\s+(.*?)$", statuses, re.MULTILINE | re.DOTALL)))
    assert looks[0]
    assert not [pid for pid, uids in looks[0].items() if "0" in uids.split() and "0" in looks[1].get(pid, "").split()]


def test_no_process_has_a_capability(container: ContainerView, site: ContainerSite) -> None:
    # Capabilities that the project adds are permitted, but no process has them as long as it is not root.
    sets = "Eff|Prm" if site.defined(container).cap_add else "Eff|Prm|Bnd"
    masks = re.findall(rf"^Cap(?:{sets}):\s+(\w+)$", container.run("cat /proc/[0-9]*/status"), re.MULTILINE)
    assert {int(mask, 16) for mask in masks} == {0}


def test_no_process_can_gain_privileges(container: ContainerView) -> None:
    states = re.findall(r"^NoNewPrivs:\s+(\d)$", container.run("cat /proc/[0-9]*/status"), re.MULTILINE)
    assert set(states) == {"1"}
    assert not container.options["Privileged"]


def test_the_first_process_is_an_init(container: ContainerView, site: ContainerSite) -> None:
    is_wanted = site.defined(container).init
    assert bool(container.options["Init"]) == is_wanted
    assert not is_wanted or "init" in container.read("/proc/1/comm")


# Limits, as the container's own processes have them.


def test_memory_is_limited_and_there_is_no_swap(container: ContainerView, site: ContainerSite) -> None:
    limit = site.memory(container)
    assert int(_control_group(container, "memory/memory.limit_in_bytes", "memory.max")) == limit
    assert container.options["MemorySwap"] == limit


def test_processor_time_is_limited(container: ContainerView, site: ContainerSite) -> None:
    quota, *rest = _control_group(container, "cpu/cpu.cfs_quota_us", "cpu.max").split()
    period = rest[0] if rest else container.read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    assert int(quota) / int(period) == (site.defined(container).cpus or site.settings.docker.cpus)


def test_the_number_of_processes_is_limited(container: ContainerView, site: ContainerSite) -> None:
    limit = int(_control_group(container, "pids/pids.max", "pids.max"))
    assert limit == container.options["PidsLimit"]
    assert container.is_proxy or limit == (site.definition.pids or site.settings.docker.pids)


# Files.


def test_the_root_file_system_is_read_only_unless_the_project_says_otherwise(
    container: ContainerView, site: ContainerSite
) -> None:
    roots = [line.split() for line in container.read("/proc/mounts").splitlines() if line.split()[1] == "/"]
    assert ("ro" in roots[-1][3].split(",")) == site.defined(container).read_only


def test_only_tmp_and_volumes_can_be_written(container: ContainerView, site: ContainerSite) -> None:
    defined = site.defined(container)
    kernel = ("/proc", "/sys", "/dev")
    writable = {
        fields[1]
        for fields in map(str.split, container.read("/proc/mounts").splitlines())
        if "rw" in fields[3].split(",") and not fields[1].startswith(kernel)
    }
    volumes = {mount["Destination"] for mount in container.attrs["Mounts"]} | set(defined.tmpfs)
    volumes |= set() if defined.read_only else {"/"}
    # The engine's own files, which no user without capabilities can write.
    assert writable <= volumes | {"/tmp", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}  # noqa: S108


def test_nothing_of_the_engines_machine_is_mounted_but_what_the_project_names(
    container: ContainerView, site: ContainerSite
) -> None:
    named = {mount.target for mount in site.defined(container).mounts} | set(site.defined(container).configs)
    assert {mount["Type"] for mount in container.attrs["Mounts"] if mount["Destination"] not in named} <= {"volume"}


def test_tmp_runs_no_programs_unless_the_project_says_otherwise(container: ContainerView, site: ContainerSite) -> None:
    rows = [line.split() for line in container.read("/proc/mounts").splitlines() if line.split()[1] == "/tmp"]  # noqa: S108
    given = set(site.defined(container).tmpfs.get("/tmp", "").split(","))  # noqa: S108
    assert {"noexec", "nosuid", "nodev"} - set(rows[-1][3].split(",")) <= {f"no{each}" for each in given}


def test_nginx_cannot_write_its_own_configuration(proxy: ContainerView) -> None:
    modes = proxy.run("stat -c '%n %u %a' /srv/proxy/conf /srv/proxy/conf/nginx.conf").splitlines()
    assert {tuple(line.split()[1:]) for line in modes} == {("0", "755"), ("0", "644")}


def test_flags_and_logs_belong_to_nginx_alone(proxy: ContainerView) -> None:
    modes = proxy.run("stat -c '%u %a' /srv/proxy/flags /srv/proxy/logs").splitlines()
    uid = proxy.run("id -u").strip()
    assert set(modes) == {f"{uid} 755"}


def test_a_private_key_is_for_nginxs_user_alone(proxy: ContainerView, settings: Settings) -> None:
    uid = proxy.run("id -u").strip()
    keys = proxy.run("find /srv/proxy/conf -name '*.key' -exec stat -c '%u %a' {} +").splitlines()
    assert keys == ([f"{uid} 400"] if settings.proxy.tls_listen else [])


def test_only_a_slots_user_can_read_its_folder(slot: ContainerView) -> None:
    uid = slot.run("id -u").strip()
    assert slot.run(f"stat -c '%u %a' {slot.own_folder}").split() == [uid, "700"]


def test_only_the_applications_user_can_read_secrets_and_cannot_change_them(
    slot: ContainerView, settings: Settings
) -> None:
    uid = slot.run("id -u").strip()
    files = slot.run(f"cd {slot.secrets_folder} 2>/dev/null && stat -c '%n %u %a' * || true").split()
    # A secret that the settings got after this slot started comes with the next release.
    assert set(files[1::3]) <= {uid}
    assert set(files[2::3]) <= {"400"}
    mounted = [mount for mount in slot.attrs["Mounts"] if mount["Destination"] == slot.secrets_folder]
    assert not [mount for mount in mounted if mount["RW"]]
    assert bool(mounted) or not files


# Network.


def test_only_the_proxy_publishes_a_port(container: ContainerView, site: ContainerSite) -> None:
    if container.is_proxy:
        expected = {f"{port}/tcp": sorted(places) for port, places in site.proxy_ports.items()}
        assert {port: sorted(places) for port, places in container.published.items()} == expected
    else:
        assert all(host in LOOPBACK for places in container.published.values() for host, _ in places)


def test_a_container_listens_only_on_its_own_ports(container: ContainerView, site: ContainerSite) -> None:
    expected = set(site.proxy_ports) if container.is_proxy else {site.settings.docker.port}
    tables = container.run("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || cat /proc/net/tcp")
    rows = [line.split() for line in tables.splitlines() if "local_address" not in line]
    open_to_others = {
        int(fields[1].rpartition(":")[2], 16)
        for fields in rows
        if fields[3] == LISTENING and not fields[1].startswith("0B00007F") and not fields[1].startswith("0100007F")
    }
    assert open_to_others == expected


def test_a_container_is_in_the_networks_of_site_and_project_only(container: ContainerView, site: ContainerSite) -> None:
    assert set(container.attrs["NetworkSettings"]["Networks"]) == {site.project, *site.defined(container).networks}


def test_addresses_are_fixed(container: ContainerView, site: ContainerSite) -> None:
    network = container.attrs["NetworkSettings"]["Networks"][site.project]
    assert network["IPAMConfig"]["IPv4Address"] == network["IPAddress"]


# Answers to users.


def test_answers_carry_security_headers(site: ContainerSite) -> None:
    headers = site.answer_headers()
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] in ("SAMEORIGIN", "DENY")
    assert "Referrer-Policy" in headers


def test_answers_do_not_name_nginxs_version(site: ContainerSite) -> None:
    assert not re.search(r"nginx/\d", site.answer_headers().get("Server", ""))


def test_users_are_on_a_slot_that_runs(site: ContainerSite) -> None:
    assert f"app-{site.served_slot()}" in site.containers


# nginx.


def test_nginx_has_its_workers_and_none_that_should_be_gone(proxy: ContainerView, settings: Settings) -> None:
    titles = proxy.run("for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null")
    assert len(re.findall("^nginx: master process", titles, re.MULTILINE)) == 1
    assert len(re.findall("^nginx: worker process *$", titles, re.MULTILINE)) == settings.proxy.workers
    assert "shutting down" not in titles


def test_nginx_accepts_the_configuration_that_is_in_place(proxy: ContainerView) -> None:
    assert proxy.inside.run("nginx -e stderr -t -c /srv/proxy/conf/nginx.conf").rc == 0


# Identity, labels, logs and restarts.


def test_a_slot_runs_exactly_the_image_that_it_claims(slot: ContainerView) -> None:
    assert slot.digest == slot.attrs["Image"]
    assert slot.environment["CAKRAVIA_DIGEST"] == slot.attrs["Image"]


def test_labels_name_release_version_and_slot(slot: ContainerView) -> None:
    assert slot.release
    assert slot.version == slot.environment["APP_VERSION"]
    assert slot.name.endswith(f"app-{slot.slot}")


def test_compose_finds_every_container(container: ContainerView, site: ContainerSite) -> None:
    assert container.labels["com.docker.compose.project"] == site.settings.compose_project
    assert container.labels["com.docker.compose.service"] == container.part


def test_logs_are_rotated(container: ContainerView) -> None:
    log = container.options["LogConfig"]
    assert log["Type"] == "json-file"
    assert log["Config"]["max-size"]
    assert int(log["Config"]["max-file"]) >= 1


def test_a_container_comes_back_after_a_crash(container: ContainerView, settings: Settings) -> None:
    assert container.options["RestartPolicy"]["Name"] == settings.docker.restart


def test_a_container_is_watched_by_a_health_check(container: ContainerView) -> None:
    assert (container.config.get("Healthcheck") or {}).get("Test"), (
        "neither its image nor [docker] healthcheck names one"
    )


def test_a_slot_has_time_to_finish_when_it_is_stopped(slot: ContainerView, site: ContainerSite) -> None:
    grace = site.definition.grace or site.settings.app.grace
    assert slot.config["StopTimeout"] >= min(grace, site.settings.release.drain)


def test_the_proxy_finishes_requests_when_it_is_stopped(proxy: ContainerView) -> None:
    assert proxy.config["StopSignal"] == "SIGQUIT"


def test_clocks_agree(container: ContainerView) -> None:
    before = time.time()
    there = float(container.run("date +%s").strip())
    assert before - CLOCK_TOLERANCE <= there <= time.time() + CLOCK_TOLERANCE


def test_no_secret_is_in_the_environment(container: ContainerView) -> None:
    told = [
        name
        for name, value in container.environment.items()
        if (SECRET.search(name) and value) or WITH_PASSWORD.search(value)
    ]
    # NAME_FILE says where a secret lies, not what it is.
    assert not [name for name in told if not name.endswith("_FILE")]


def test_no_secret_is_in_a_label(container: ContainerView) -> None:
    assert not [name for name, value in container.config["Labels"].items() if SECRET.search(name) and value]


def _control_group(container: ContainerView, v1: str, v2: str) -> str:
    return container.run(f"cat /sys/fs/cgroup/{v2} 2>/dev/null || cat /sys/fs/cgroup/{v1}").strip()
