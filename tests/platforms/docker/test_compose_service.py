"""What a slot takes over of a service of the project's own compose file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.platforms.docker import compose_project
from cakravia_verify.platforms.docker.compose_inner import INNER_KEYS, notes_on_inner_keys
from cakravia_verify.platforms.docker.compose_keys import BUILD_KEYS, COMPOSE_KEYS, Treatment
from cakravia_verify.platforms.docker.compose_mounts import tmpfs_options
from cakravia_verify.platforms.docker.compose_values import bytes_of, seconds_of
from cakravia_verify.platforms.docker.proxy.configuration import published_ports
from cakravia_verify.platforms.docker.service import (
    Dependency,
    Healthcheck,
    MountKind,
    SecretSource,
    ServiceMount,
    ServiceVolume,
    Ulimit,
)
from cakravia_verify.platforms.docker.slot_service import SlotService
from cakravia_verify.platforms.docker.write_failures import write_failures_in
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.proxy import ProxySettings

SERVICE = """\
name: shop
services:
  db:
    image: postgres
  web:
    build: {{context: app, args: {{BUILD: "1"}}}}
    command: gunicorn "a b" $$HOME
    entrypoint: ["/entry"]
    environment: [DJANGO=1, "COST=$$5"]
    volumes:
      - media:/app/media
      - ./conf:/etc/conf:ro
      - /scratch
      - {{type: tmpfs, target: /x, tmpfs: {{size: 64m, mode: 0700}}}}
      - {{type: volume, source: ext, target: /ext, read_only: true, volume: {{nocopy: true}}}}
    tmpfs: /run:size=5m,exec
    networks: {{default: {{aliases: [shop]}}, back: }}
    extra_hosts: ["a:1.2.3.4", "host.docker.internal:host-gateway"]
    dns: 1.1.1.1
    dns_search: [example.org]
    dns_opt: [use-vc]
    ulimits: {{nofile: {{soft: 10, hard: 20}}, nproc: 5}}
    shm_size: 128m
    user: "10"
    group_add: [5, wheel]
    labels: {{team: shop, traefik.enable: "true"}}
    healthcheck: {{test: "curl -f localhost", interval: 1m30s, timeout: 2s, retries: 4, start_period: 3s}}
    init: false
    stop_signal: SIGINT
    stop_grace_period: 1m30s
    secrets: [dbp, {{source: dbp, target: other}}]
    configs: [{{source: c1, target: /etc/c1}}, c2]
    devices: ["/dev/null:/dev/xx:rw"]
    cap_add: [NET_BIND_SERVICE]
    cap_drop: [CHOWN]
    depends_on: {{db: {{condition: service_healthy}}}}
    deploy: {{resources: {{limits: {{memory: 200m, cpus: "0.4", pids: 77}}}}, labels: {{a: b}}}}
    sysctls: {{net.core.somaxconn: 1024}}
    hostname: shop
    working_dir: /w
    restart: always
    x-note: mine
{more}
networks: {{back: {{external: true, name: realback}}}}
volumes: {{media: , ext: {{external: true, name: rext}}}}
secrets: {{dbp: {{file: ./p.txt}}}}
configs: {{c1: {{file: ./c1.txt}}, c2: {{content: "hello"}}}}
"""


BUILD = """\
services:
  web:
    build:
      context: app
      dockerfile_inline: FROM base AS production
      target: production
      ssh: [default]
      secrets: [npmrc, {source: variable, target: token}]
      labels: {team: shop}
      network: host
      cache_from: [shop]
secrets: {npmrc: {file: ./npmrc.txt}, variable: {environment: TOKEN_OF_NPM}}
"""
# Compose itself reads these: what they name is in the service then.
READ_BY_COMPOSE = ("env_file", "extends", "develop")


def service_of(folder: Path, more: str = "", **docker: Any) -> SlotService:
    (folder / "docker-compose.yml").write_text(SERVICE.format(more=more))
    return settings_of(folder, **docker)


def settings_of(folder: Path, **docker: Any) -> SlotService:
    file = folder / "cakravia.toml"
    file.write_text('[site]\nname = "shop"\nplatform = "docker"\n')
    keys = {"compose": "docker-compose.yml", "service": "web"} | docker
    overrides = [(f"docker.{name}", value) for name, value in keys.items()]
    return SlotService(load_settings(file, environment={}, overrides=overrides))


@pytest.fixture(params=["compose", "no compose"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both readers: the compose program, and the one for machines without it."""
    if request.param == "no compose":
        monkeypatch.setattr(compose_project, "COMMANDS", ())
    elif not shutil.which("docker"):
        pytest.skip("there is no docker program here")
    return str(request.param)


@pytest.mark.usefixtures("reader")
def test_every_key_of_a_service_arrives_with_either_reader(tmp_path: Path) -> None:
    found = service_of(tmp_path).definition("v1.0.0")
    assert found.project == "shop"
    assert found.command == ("gunicorn", "a b", "$HOME")
    assert found.entrypoint == ("/entry",)
    assert found.environment == {"DJANGO": "1", "COST": "$5"}
    assert found.mounts == (
        ServiceMount(MountKind.VOLUME, "/app/media", "shop_media"),
        ServiceMount(MountKind.BIND, "/etc/conf", str(tmp_path / "conf"), read_only=True),
        ServiceMount(MountKind.VOLUME, "/scratch"),
        ServiceMount(MountKind.TMPFS, "/x", size=64 * 2**20, mode=0o700),
        ServiceMount(MountKind.VOLUME, "/ext", "rext", read_only=True, no_copy=True),
    )
    assert found.volumes == (
        ServiceVolume("shop_media", "media"),
        ServiceVolume("rext", "ext", is_external=True),
    )
    assert found.tmpfs == {"/run": "rw,nosuid,nodev,mode=1777,size=5m,exec"}
    assert set(found.networks) == {"shop_default", "realback"}
    assert found.extra_hosts == ("a:1.2.3.4", "host.docker.internal:host-gateway")
    assert (found.dns, found.dns_search, found.dns_opt) == (("1.1.1.1",), ("example.org",), ("use-vc",))
    assert set(found.ulimits) == {Ulimit("nofile", 10, 20), Ulimit("nproc", 5, 5)}
    assert (found.shm_size, found.user, found.group_add) == (128 * 2**20, "10", ("5", "wheel"))
    assert found.labels == {"team": "shop"}
    assert found.healthcheck == Healthcheck(("CMD-SHELL", "curl -f localhost"), 90.0, 2.0, 3.0, 4)
    assert (found.init, found.stop_signal, found.grace) == (False, "SIGINT", 90)
    assert found.secrets == {name: SecretSource(file=found.secrets["dbp"].file) for name in ("dbp", "other")}
    assert found.configs["/etc/c1"] == tmp_path / "c1.txt"
    assert found.configs["/c2"].read_text() == "hello"
    assert (found.devices, found.cap_add) == (("/dev/null:/dev/xx:rw",), ("NET_BIND_SERVICE",))
    assert (found.memory, found.cpus, found.pids) == (200 * 2**20, 0.4, 77)
    assert (found.sysctls, found.working_dir) == ({"net.core.somaxconn": "1024"}, "/w")
    assert found.needs == (Dependency("db", "service_healthy"),)
    assert found.read_only


@pytest.mark.usefixtures("reader")
def test_what_is_not_as_in_the_compose_file_is_told(tmp_path: Path) -> None:
    notes = service_of(tmp_path, more="    cpuset: '0'").notes()
    for key in ("cap_drop", "hostname", "restart", "cpuset", "read_only", "deploy", "networks", "traefik.enable"):
        assert any(f": {key}" in note for note in notes), key
    assert not [note for note in notes if "x-note" in note]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ('    ports: ["8000:8000"]', "ports"),
        ("    container_name: shop", "container_name"),
        ("    privileged: true", "privileged"),
        ("    pid: host", "pid"),
    ],
)
@pytest.mark.usefixtures("reader")
def test_a_key_that_two_slots_cannot_have_is_refused(tmp_path: Path, more: str, key: str) -> None:
    with pytest.raises(UsageError, match=rf"  {key}: .+"):
        service_of(tmp_path, more=more).definition()


def test_keys_of_docker_go_before_those_of_the_file_and_are_told(tmp_path: Path) -> None:
    service = service_of(tmp_path, command=["other"], read_only=False, tmpfs={"/run": "1M,exec"})
    found = service.definition()
    assert (found.command, found.read_only) == (("other",), False)
    assert found.tmpfs == {"/run": "rw,nosuid,nodev,mode=1777,size=1M,exec"}
    assert any(": command: the settings say otherwise" in note for note in service.notes())


@pytest.mark.usefixtures("reader")
def test_the_build_of_the_service_is_the_source_of_versions(tmp_path: Path) -> None:
    service = service_of(tmp_path)
    found = service.sources(service._docker)
    assert (found.context, found.build_args) == (str(tmp_path / "app"), {"BUILD": "1"})


def test_a_variable_of_the_file_names_the_version_of_the_release(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(
        "services: {web: {image: 'shop:${TAG}', environment: {RELEASE: 'shop-${TAG}', LOG: '{version}'}}}"
    )
    service = settings_of(tmp_path, compose_variables={"TAG": "{version}"})
    assert service.sources(service._docker).image == "shop:{version}"
    assert service.definition("v1.2.0").environment == {"RELEASE": "shop-v1.2.0", "LOG": "{version}"}


def test_an_unset_variable_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {web: {image: 'shop:1${NOT_SET_AT_ALL}'}}")
    assert any("NOT_SET_AT_ALL is not set" in note for note in settings_of(tmp_path).notes())


def test_composes_own_words_are_in_the_error_of_a_wrong_file(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {web: {image: 'shop:${TAG:?name the tag}'}}")
    with pytest.raises(UsageError, match="name the tag"):
        settings_of(tmp_path).definition()


@pytest.mark.parametrize(
    "text",
    [
        "services: {web: {image: 'shop:${TAG}'}}",
        "services: {web: {image: shop, env_file: a.env}}",
        "services: {web: {extends: {service: base}}}",
        "include: [other.yml]\nservices: {web: {image: shop}}",
    ],
)
def test_without_compose_only_a_file_that_can_be_read_correctly_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(compose_project, "COMMANDS", ())
    (tmp_path / "docker-compose.yml").write_text(text)
    with pytest.raises(UsageError, match="docker compose config"):
        settings_of(tmp_path).definition()


def test_a_project_of_one_service_needs_no_network_that_compose_would_make(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(
        "{services: {web: {image: shop, networks: [default, outside]}},"
        " networks: {outside: {external: true, name: proxy}}}"
    )
    service = settings_of(tmp_path)
    assert service.definition().networks == ("proxy",)
    assert any(": networks: default is left out" in note for note in service.notes())


def test_a_service_that_the_file_lacks_is_refused_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no service wbe; it has: db, web"):
        service_of(tmp_path, service="wbe").definition()


def test_the_projects_own_name_as_docker_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the compose project of docker-compose\.yml"):
        service_of(tmp_path, project="shop").definition()


def test_a_port_in_the_environment_that_is_not_the_slots_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {web: {image: shop, environment: {PORT: 8000}}}")
    with pytest.raises(UsageError, match=r"set \[docker\] port = 8000"):
        settings_of(tmp_path).definition()
    assert settings_of(tmp_path, port=8000).definition().environment["PORT"] == "8000"


def test_an_override_file_that_everyday_compose_reads_is_told(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.override.yml").write_text("services: {}\n")
    assert any("docker-compose.override.yml is not read" in note for note in service_of(tmp_path).notes())


def test_two_mounts_at_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two mounts of the slot are at /app/media"):
        service_of(tmp_path, writable=["/app/media"]).definition()


@pytest.mark.parametrize(("text", "size"), [("64m", 2**26), ("1.5gb", 3 * 2**29), ("100", 100), ("2K", 2048)])
def test_sizes_are_read_as_compose_does(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1m30s", 90), ("1h5m", 3900), ("250ms", 0.25)])
def test_durations_are_read_as_compose_does(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("64M", "rw,noexec,nosuid,nodev,mode=1777,size=64M"),
        ("", "rw,noexec,nosuid,nodev,size=64M,mode=1777"),
        ("8M,exec,mode=0700", "rw,nosuid,nodev,size=8M,exec,mode=0700"),
        ("ro,size=1m", "noexec,nosuid,nodev,mode=1777,ro,size=1m"),
    ],
)
def test_a_tmpfs_has_safe_options_that_the_file_can_change(text: str, options: str) -> None:
    assert tmpfs_options(text) == options


def test_the_page_says_what_happens_to_every_key_of_compose() -> None:
    page = (Path(__file__).parents[3] / "docs" / "DOCKER.md").read_text()
    shown = {
        key.strip("` "): (treatment.strip(), reason.strip())
        for key, treatment, reason in (
            row.strip("|").split("|") for row in page.splitlines() if row.startswith("| `") and row.count("|") == 4
        )
        if treatment.strip() in set(Treatment)
    }
    rules = COMPOSE_KEYS | {f"build.{key}": rule for key, rule in BUILD_KEYS.items()}
    assert shown == {key: (str(rule.treatment), rule.reason) for key, rule in rules.items()}


# Every key of the compose specification, such as `build.secrets.*.uid`.
SPECIFICATION = [
    line for line in (Path(__file__).parent / "compose-keys.txt").read_text().splitlines() if not line.startswith("#")
]


def written_with(key: str) -> dict[str, Any]:
    """A service that has this key and no other; `*` is a name of the author's own."""
    value: Any = "set"
    for part in reversed(key.split(".")):
        value = {"any" if part == "*" else part: value}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("key", [key for key in SPECIFICATION if "." not in key])
def test_every_key_of_the_specification_has_a_rule(key: str) -> None:
    assert key in COMPOSE_KEYS


@pytest.mark.parametrize("key", [key for key in SPECIFICATION if "." in key])
def test_every_inner_key_of_the_specification_is_taken_over_or_told(key: str) -> None:
    first, *inner = key.split(".")
    if COMPOSE_KEYS[first].treatment is not Treatment.TAKEN or first in READ_BY_COMPOSE:
        return  # told as a whole, or merged by compose before we see it
    if first == "build":
        assert inner[0] in BUILD_KEYS
        if inner[0] != "secrets" or len(inner) == 1:
            return
    place, name = tuple(key.split(".")[:-1]), key.split(".")[-1]
    is_taken = name in INNER_KEYS.get(place, ())
    assert is_taken or [
        note for note in notes_on_inner_keys(written_with(key)) if note.split(": ")[1] == "not supported"
    ]


def test_a_key_that_is_taken_over_is_in_the_specification() -> None:
    assert {".".join([*place, key]) for place, keys in INNER_KEYS.items() for key in keys} <= set(SPECIFICATION)
    assert {f"build.{key}" for key in BUILD_KEYS} - {"build.no_cache_filter"} <= set(SPECIFICATION)


def test_inner_keys_that_are_left_out_are_told_with_their_places(tmp_path: Path) -> None:
    notes = service_of(tmp_path).notes()
    assert any(note.endswith("deploy: not supported: labels") for note in notes)
    assert any("networks.default: not supported: aliases: they would send" in note for note in notes)


@pytest.mark.usefixtures("reader")
def test_the_whole_build_of_the_service_is_taken_over_or_told(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(BUILD)
    service = settings_of(tmp_path)
    found = service.sources(service._docker)
    assert (found.build_target, found.build_ssh) == ("production", True)
    assert found.build_secret_variables == {"token": "TOKEN_OF_NPM"}
    assert {name: Path(file).name for name, file in found.build_secret_files.items()} == {"npmrc": "npmrc.txt"}
    assert Path(found.dockerfile).read_text() == "FROM base AS production"
    told = {note.split(": ")[1] for note in service.notes() if ": build." in note}
    assert told == {"build.labels", "build.network", "build.cache_from"}
    own = settings_of(tmp_path, build_target="test", build_secrets={"npmrc": "mine"})
    assert own.sources(own._docker).build_target == "test"
    assert own.sources(own._docker).build_secret_files == {"npmrc": "mine"}


def test_a_build_that_needs_other_folders_is_refused_unless_it_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(
        "services: {web: {build: {context: ., additional_contexts: {other: ./other}}}}"
    )
    with pytest.raises(UsageError, match=r"build\.additional_contexts: build with docker compose"):
        settings_of(tmp_path).definition()
    assert settings_of(tmp_path, image="shop:1").definition().needs == ()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("Error: EROFS: read-only file system, open '/app/.next/cache/x'", "writable"),
        ("OSError: [Errno 30] Read-only file system: '/app/media/x'", "writable"),
        ("OSError: [Errno 28] No space left on device", "tmpfs"),
        ("nginx: [crit] pwrite() failed (28: No space left on device)", "tmpfs"),
        ("/run/x.so: failed to map segment from shared object", "exec"),
    ],
)
def test_a_failed_write_is_told_with_the_key_that_corrects_it(line: str, key: str) -> None:
    (told,) = write_failures_in(f"listening\n{line}\n{line}\n")
    assert key in told
    assert line in told


def test_a_log_without_failed_writes_tells_nothing() -> None:
    assert list(write_failures_in("listening on 3000\nGET / 200\n")) == []


def test_each_address_of_a_list_is_published_to_the_port_for_its_kind() -> None:
    proxy = ProxySettings(
        listen=("127.0.0.1:80", "[::1]:80"),
        tls_listen="127.0.0.1:443",
        tls_certificate="shop.pem",
        tls_key="shop.key",
    )
    assert published_ports(proxy) == {8080: (("127.0.0.1", 80), ("::1", 80)), 8443: (("127.0.0.1", 443),)}
