"""TOML, environment and command line, merged into one frozen, validated plan.

Order of precedence: command line over environment (`CAKRAVIA_RELEASE_BAKE=5`) over cakravia.toml over the defaults
below. Every key is checked: an unknown one or one of the wrong type is an error that names its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from cakravia_verify.settings.section import Section
from cakravia_verify.settings.traffic_mix import MixTable, OptionalHeaderName
from cakravia_verify.slots import Address, Colour

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65_535)]
UrlPath: TypeAlias = Annotated[str, Field(pattern=r"^(/[!-~]*)?$")]
Codes: TypeAlias = Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(min_length=1, strict=False)]
SecretName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ENVIRONMENT_PREFIX = "CAKRAVIA_"
# Not settings: what tests, CI and the traffic's child process are told through the environment.
OTHER_ENVIRONMENT = ("CAKRAVIA_TEST_", "CAKRAVIA_CI_", "CAKRAVIA_TRAFFIC_PLAN", "CAKRAVIA_DIGEST")
# A host ends up in nginx's configuration and in URLs: nothing that means something else there.
HOST_PATTERN = r"^[^\s:;{}\[\]#\"'$/@\\]+$"
# A path that nginx takes between double quotes and that means nothing else there.
NGINX_PATH = r"""^[^\s"'$;{}\\]*$"""
MEMORY_LEAST, MEMORY_MOST = 2**20, 2**46


class SiteSettings(Section):
    """What the site is called and where its state and reports live."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")] = "cakravia"
    platform: Literal["process", "docker"] = "process"
    state: str = ".cakravia"
    reports: str = "reports"


class SlotSettings(Section):
    """Where the two slots listen and what they may use."""

    host: Annotated[str, Field(pattern=HOST_PATTERN)] = "127.0.0.1"
    blue: Port = 3000
    green: Port = 3001
    memory_limit: Annotated[str, Field(pattern=r"^[0-9]{1,15}[KMG]?$")] = "512M"
    keep_warm: bool = True

    @model_validator(mode="after")
    def _ports_differ(self) -> SlotSettings:
        if self.blue == self.green:
            raise ValueError("blue and green need different ports")
        return self

    @field_validator("memory_limit")
    @classmethod
    def _enough_to_start(cls, value: str) -> str:
        if not MEMORY_LEAST <= size_in_bytes(value) <= MEMORY_MOST:
            raise ValueError(f"{value} is not between 1M and 65536G")
        return value

    def port(self, colour: Colour) -> int:
        return self.blue if colour is Colour.BLUE else self.green

    @property
    def memory_bytes(self) -> int:
        return size_in_bytes(self.memory_limit)


class ProxySettings(Section):
    """How nginx listens, switches and treats the slots. Times in seconds."""

    listen: Annotated[str, Field(pattern=r"^[^\s:;{}]+:[0-9]{1,5}$")] = "127.0.0.1:8080"
    nginx: str = ""
    switch: Literal["flag", "reload"] = "flag"
    failover: bool = True
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    keepalive: Annotated[int, Field(ge=0, le=1024)] = 32
    upstream_idle: Annotated[float, Field(gt=0, le=3600)] = 2.0
    client_idle: Annotated[float, Field(gt=0, le=3600)] = 75.0
    keepalive_min: Annotated[float, Field(ge=0, le=3600)] = 5.0
    connect_timeout: Annotated[float, Field(gt=0, le=75)] = 2.0
    read_timeout: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    max_body: Annotated[str, Field(pattern=r"^[0-9]+[kKmMgG]?$")] = "64m"
    access_log: Annotated[str, Field(pattern=r"""^(file|stdout|syslog:server=[^\s"'$;{}\\]+)?$""")] = ""
    tls_listen: Annotated[str, Field(pattern=r"^([^\s:;{}]+:[0-9]{1,5})?$")] = ""
    tls_certificate: Annotated[str, Field(pattern=NGINX_PATH)] = ""
    tls_key: Annotated[str, Field(pattern=NGINX_PATH)] = ""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> ProxySettings:
        given = [bool(self.tls_listen), bool(self.tls_certificate), bool(self.tls_key)]
        if any(given) and not all(given):
            raise ValueError("tls_listen, tls_certificate and tls_key belong together: set all of them or none")
        if self.tls_listen and self.tls_listen == self.listen:
            raise ValueError("tls_listen needs an address of its own beside listen")
        return self

    @property
    def address(self) -> Address:
        return _address(self.listen)

    @property
    def tls_address(self) -> Address | None:
        return _address(self.tls_listen) if self.tls_listen else None

    @field_validator("listen", "tls_listen")
    @classmethod
    def _port_in_range(cls, value: str) -> str:
        if value and not 1 <= _address(value).port <= 65_535:
            raise ValueError("the port is not between 1 and 65535")
        return value


class AppSettings(Section):
    """What runs in a slot. `{python}` and `{version}` are replaced in the command, the source and the build."""

    command: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = ("{python}", "-m", "reference_app")
    source: str = "examples/reference_app"
    directory: str = "."
    build: Annotated[tuple[str, ...], Field(strict=False)] = ()
    build_timeout: Seconds = 600.0
    environment: dict[str, str] = Field(default_factory=dict)
    pass_environment: Annotated[tuple[str, ...], Field(strict=False)] = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
    grace: Seconds = 30.0


class DockerSettings(Section):
    """Slots and proxy as containers. Exactly one of `image`, `context` and `archive` says where versions come from.

    `{version}` is replaced in `image`, `archive`, `context` and `build_args`. Sizes are bytes, or have K, M or G.
    """

    host: str = ""
    api_version: Annotated[str, Field(pattern=r"^([0-9]+\.[0-9]+)?$")] = ""
    patience: Seconds = 30.0
    project: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9_-]{0,49})?$")] = ""
    compose_file: str = "docker-compose.blue-green.yml"
    image: str = ""
    pull: Literal["missing", "always", "never"] = "missing"
    context: str = ""
    dockerfile: str = "Dockerfile"
    build_args: dict[str, str] = Field(default_factory=dict)
    archive: str = ""
    platform: str = ""
    user: Annotated[str, Field(pattern=r"^([0-9]+(:[0-9]+)?)?$")] = ""
    secrets: dict[SecretName, str] = Field(default_factory=dict)
    port: Port = 3000
    publish_slots: bool = False
    probe: Literal["auto", "network", "published", "tunnel"] = "auto"
    users: Annotated[str, Field(pattern=r"^([^\s:;{}]+:[0-9]{1,5})?$")] = ""
    subnet: str = ""
    cpus: Annotated[float, Field(gt=0, le=1024)] = 1.0
    pids: Annotated[int, Field(ge=8, le=4_194_304)] = 256
    tmpfs: Annotated[str, Field(pattern=r"^[0-9]{1,15}[KMG]?$")] = "64M"
    healthcheck: Annotated[tuple[str, ...], Field(strict=False)] = ()
    stop_signal: Annotated[str, Field(pattern=r"^(SIG[A-Z0-9+]+)?$")] = ""
    restart: Literal["no", "on-failure", "unless-stopped", "always"] = "unless-stopped"
    log_max_size: Annotated[str, Field(pattern=r"^[0-9]+[kmg]$")] = "10m"
    log_max_file: Annotated[int, Field(ge=1, le=1000)] = 3
    proxy_image: str = ""
    proxy_context: str = ""
    proxy_build_args: dict[str, str] = Field(default_factory=dict)
    proxy_memory: Annotated[str, Field(pattern=r"^[0-9]{1,15}[KMG]?$")] = "256M"

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for name in ("image", "context", "archive") if getattr(self, name))


class ContractSettings(Section):
    """Where the application tells its health, its slot and its version. An empty path means: does not have it."""

    health: UrlPath = "/api/health"
    ready: UrlPath = "/api/health/ready"
    live: UrlPath = "/api/health/live"
    status: UrlPath = "/api/deployment/status"
    healthy_codes: Codes = (200,)
    slot_field: str = "deployment.slot"
    version_field: str = "deployment.version|version"
    slot_header: OptionalHeaderName = "X-Deployment-Slot"
    version_header: OptionalHeaderName = "X-Deployment-Version"
    in_flight_field: str = "application.in_flight"

    @property
    def endpoints(self) -> dict[str, str]:
        paths = {"health": self.health, "ready": self.ready, "live": self.live, "status": self.status}
        return {name: path for name, path in paths.items() if path}

    @model_validator(mode="after")
    def _something_to_ask(self) -> ContractSettings:
        if not self.endpoints:
            raise ValueError("at least one of health, ready, live and status needs a path")
        return self


class HealthSettings(Section):
    """When a slot counts as healthy: `consecutive` rounds of good readings of every endpoint within `deadline`."""

    consecutive: Annotated[int, Field(ge=1, le=1000)] = 3
    interval: Annotated[float, Field(gt=0, le=60)] = 0.2
    timeout: Annotated[float, Field(gt=0, le=60)] = 2.0
    deadline: Annotated[float, Field(gt=0, le=3600)] = 60.0


class SmokeRequest(Section):
    """One request to the candidate before any user reaches it."""

    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] = "GET"
    path: Annotated[str, Field(pattern=r"^/[!-~]*$")] = "/"
    body: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    expect: Codes = (200,)
    contains: str = ""


class ReleaseSettings(Section):
    """How a release goes. Times in seconds; `retain` counts versions kept for rollback."""

    bake: Seconds = 10.0
    drain: Seconds = 30.0
    drain_minimum: Seconds = 0.5
    confirmations: Annotated[int, Field(ge=1, le=10_000)] = 10
    confirm_timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    retain: Annotated[int, Field(ge=1, le=1000)] = 5
    smoke: Annotated[tuple[SmokeRequest, ...], Field(min_length=1, strict=False)] = (SmokeRequest(),)


class CurvePoint(Section):
    """One point of the rate's course: `at` seconds after the traffic began, `rate` requests/s."""

    at: Seconds
    rate: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]


class TrafficSettings(Section):
    """The load that runs through every release. `rate` in requests/s; `round_trip` and `timeout` in seconds."""

    users: Annotated[int, Field(ge=1, le=20_000)] = 50
    rate: Annotated[float, Field(gt=0, le=100_000)] = 200.0
    arrivals: Literal["constant", "poisson"] = "constant"
    round_trip: Annotated[float, Field(ge=0, lt=1)] = 0.02
    timeout: Annotated[float, Field(gt=0, le=600)] = 10.0
    seed: int = 1
    profile: Literal["reference", "generic", "custom"] = "reference"
    mix: Annotated[tuple[MixTable, ...], Field(strict=False)] = ()
    curve: Annotated[tuple[CurvePoint, ...], Field(strict=False)] = ()
    locustfile: str = ""
    locustfile_users: Annotated[int, Field(ge=1, le=10_000)] = 1
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    web_ui: Annotated[str, Field(pattern=r"^((127\.0\.0\.1|localhost|\[::1\]):[0-9]{1,5})?$")] = ""

    @model_validator(mode="after")
    def _custom_needs_a_mix(self) -> TrafficSettings:
        if self.profile == "custom" and not self.mix:
            raise ValueError('profile = "custom" needs at least one [[traffic.mix]] table')
        if self.mix and self.profile != "custom":
            raise ValueError('[[traffic.mix]] tables need profile = "custom"')
        return self

    @model_validator(mode="after")
    def _names_of_requests_differ(self) -> TrafficSettings:
        names = [request.title for table in self.mix for request in (table, *table.steps)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"[[traffic.mix]] has two requests with the name {name!r}")
        return self

    @model_validator(mode="after")
    def _an_answer_can_arrive_in_time(self) -> TrafficSettings:
        requests = [request for table in self.mix for request in (table, *table.steps) if request.timeout]
        timeouts = {"timeout": self.timeout} | {f"timeout of {each.title!r}": each.timeout for each in requests}
        for name, seconds in timeouts.items():
            if seconds <= 2 * self.round_trip:
                raise ValueError(f"{name} = {seconds:g} is not more than twice round_trip = {self.round_trip:g}")
        return self

    @model_validator(mode="after")
    def _the_curve_goes_forward(self) -> TrafficSettings:
        instants = [point.at for point in self.curve]
        if instants != sorted(instants):
            raise ValueError("the points of [[traffic.curve]] are not in the order of `at`")
        if self.curve and not self.curve[-1].rate:
            raise ValueError("the last point of [[traffic.curve]] has no rate: no request would follow it")
        return self

    @model_validator(mode="after")
    def _every_process_has_a_user(self) -> TrafficSettings:
        if self.processes > self.users:
            raise ValueError(f"processes = {self.processes} are more than users = {self.users}")
        return self

    @field_validator("web_ui")
    @classmethod
    def _web_ui_has_a_port(cls, value: str) -> str:
        if value and not 1 <= _address(value).port <= 65_535:
            raise ValueError("the port is not between 1 and 65535")
        return value

    @model_validator(mode="after")
    def _nothing_is_said_in_vain(self) -> TrafficSettings:
        if self.curve and "rate" in self.model_fields_set:
            raise ValueError(
                f"where [[traffic.curve]] says the rate over time, rate = {self.rate:g} (--rate) would not count; "
                "leave one of them out, as --set 'traffic.curve=[]' does with the curve for one run"
            )
        if self.locustfile_users != 1 and not self.locustfile:
            raise ValueError(f"locustfile_users = {self.locustfile_users} make nothing without a locustfile")
        return self


class BudgetSettings(Section):
    """What users may suffer before the gate refuses. Latencies in seconds from the planned send instant."""

    lost: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    duplicated: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    left_open: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    errors: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.0
    p99: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 2.5
    min_requests: Annotated[int, Field(ge=1)] = 200
    min_rate_held: Annotated[float, Field(ge=0.5, le=1)] = 0.99
    judge: Literal["require", "inform"] = "inform"
    judge_warm_up: Seconds = 1.0

    @model_validator(mode="after")
    def _leaves_something_to_judge(self) -> BudgetSettings:
        for name in ("lost", "duplicated"):
            if (allowed := getattr(self, name)) >= self.min_requests:
                raise ValueError(
                    f"{name} = {allowed} permits that of every one of min_requests = {self.min_requests} requests"
                )
        return self


class Settings(Section):
    """The whole of cakravia.toml. `root` is the folder that relative paths start from."""

    root: Path = Path()
    site: SiteSettings = SiteSettings()
    slots: SlotSettings = SlotSettings()
    proxy: ProxySettings = ProxySettings()
    app: AppSettings = AppSettings()
    docker: DockerSettings = DockerSettings()
    contract: ContractSettings = ContractSettings()
    health: HealthSettings = HealthSettings()
    release: ReleaseSettings = ReleaseSettings()
    traffic: TrafficSettings = TrafficSettings()
    budget: BudgetSettings = BudgetSettings()

    @model_validator(mode="after")
    def _ports_do_not_collide(self) -> Settings:
        taken = (self.slots.blue, self.slots.green)
        if self.proxy.address.port in taken:
            raise ValueError("[proxy] listen and the slots need different ports")
        if self.proxy.tls_address is not None and self.proxy.tls_address.port in taken:
            raise ValueError("[proxy] tls_listen and the slots need different ports")
        return self

    @model_validator(mode="after")
    def _everyday_log_has_a_reader(self) -> Settings:
        if self.proxy.access_log == "stdout" and self.site.platform != "docker":
            raise ValueError('[proxy] access_log = "stdout" is for containers: this nginx has none; use "file"')
        return self

    @model_validator(mode="after")
    def _docker_knows_where_versions_come_from(self) -> Settings:
        if self.site.platform == "docker" and len(self.docker.sources) != 1:
            named = " and ".join(self.docker.sources) or "none of them is set"
            raise ValueError(f"[docker] image, context or archive: exactly one is needed, {named}")
        return self

    @property
    def state(self) -> Path:
        return self.root / self.site.state

    @property
    def reports(self) -> Path:
        return self.root / self.site.reports

    @property
    def history(self) -> Path:
        return self.state / "deployment-history.log"

    def slot_address(self, colour: Colour) -> Address:
        return Address(self.slots.host, self.slots.port(colour))


def _address(listen: str) -> Address:
    host, _, port = listen.rpartition(":")
    return Address(host, int(port))


def size_in_bytes(size: str) -> int:
    """Bytes of `512M` and the like."""
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(size[-1])
    return int(size[:-1]) * factor if factor else int(size)
