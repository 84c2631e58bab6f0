"""The sections of cakravia.toml, with their defaults.

The command line overrides the environment (`CAKRAVIA_RELEASE_BAKE=5`), the environment overrides cakravia.toml, and
cakravia.toml overrides the defaults. An unknown key or a wrong type is an error with file and line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from cakravia_verify.settings.budget import BudgetSettings
from cakravia_verify.settings.companions import CompanionSettings
from cakravia_verify.settings.contract import ContractSettings
from cakravia_verify.settings.docker import DockerSettings
from cakravia_verify.settings.hooks import HookSettings
from cakravia_verify.settings.monitor import MonitorSettings, NotifySettings
from cakravia_verify.settings.names import is_covered
from cakravia_verify.settings.policy import PolicySettings, ReviewedPolicy
from cakravia_verify.settings.proxy import ProxySettings
from cakravia_verify.settings.section import (
    MEMORY_LEAST,
    MEMORY_MOST,
    Codes,
    Port,
    Seconds,
    Section,
    address_of,
    checked_host,
    size_in_bytes,
)
from cakravia_verify.settings.traffic_mix import Headers, MixTable
from cakravia_verify.slots import Address, Colour

ENVIRONMENT_PREFIX = "CAKRAVIA_"
# Variables of tests, CI and the traffic's child process. They are not settings.
OTHER_ENVIRONMENT = ("CAKRAVIA_TEST_", "CAKRAVIA_CI_", "CAKRAVIA_TRAFFIC_PLAN", "CAKRAVIA_DIGEST", "CAKRAVIA_COMPANION")


class SiteSettings(Section):
    """The name of the site, its platform, how its users ask for it, and its folders for state and reports."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")] = "cakravia"
    platform: Literal["process", "docker"] = "process"
    host: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+(:[0-9]{1,5})?)?$")] = ""
    scheme: Literal["", "http", "https"] = ""
    state: str = ".cakravia"
    reports: str = "reports"

    @property
    def user_headers(self) -> dict[str, str]:
        """The headers that name the site and its scheme in a user's request, behind whatever speaks TLS."""
        named = {"Host": self.host, "X-Forwarded-Proto": self.scheme}
        return {name: value for name, value in named.items() if value}


class SlotSettings(Section):
    """Where the two slots listen, and their memory limit."""

    host: Annotated[str, AfterValidator(checked_host)] = "127.0.0.1"
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


class AppSettings(Section):
    """The application in a slot. `{python}` and `{version}` are replaced in `command`, `source` and `build`.

    Only the platform `process` needs a command. An empty one is refused before anything is built.
    """

    command: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = ()
    source: str = "."
    directory: str = "."
    build: Annotated[tuple[str, ...], Field(strict=False)] = ()
    build_timeout: Seconds = 600.0
    environment: dict[str, str] = Field(default_factory=dict)
    env_file: str = ""
    pass_environment: Annotated[tuple[str, ...], Field(strict=False)] = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
    grace: Seconds = 30.0


class HealthSettings(Section):
    """When a slot is healthy: `consecutive` rounds of healthy readings of all endpoints within `deadline` seconds."""

    consecutive: Annotated[int, Field(ge=1, le=1000)] = 3
    interval: Annotated[float, Field(gt=0, le=60)] = 0.2
    timeout: Annotated[float, Field(gt=0, le=60)] = 2.0
    deadline: Annotated[float, Field(gt=0, le=3600)] = 60.0


class SmokeRequest(Section):
    """One request to the candidate before the switch."""

    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] = "GET"
    path: Annotated[str, Field(pattern=r"^/[!-~]*$")] = "/"
    body: str = ""
    headers: Headers = Field(default_factory=dict)
    expect: Codes = (200,)
    contains: str = ""


class ReleaseSettings(Section):
    """The steps of a release. Times are in seconds. `retain`: how many versions are kept for rollback.

    `backups`: how many archives of `cakravia backup` are kept; each release makes one before its first step.
    """

    bake: Seconds = 10.0
    drain: Seconds = 30.0
    drain_minimum: Seconds = 0.5
    confirmations: Annotated[int, Field(ge=1, le=10_000)] = 10
    confirm_timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    retain: Annotated[int, Field(ge=1, le=1000)] = 5
    backups: Annotated[int, Field(ge=0, le=1000)] = 10
    smoke: Annotated[tuple[SmokeRequest, ...], Field(min_length=1, strict=False)] = (SmokeRequest(),)


class CurvePoint(Section):
    """One point of the rate's curve: `at` in seconds after the traffic began, `rate` in requests/s."""

    at: Seconds
    rate: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]


class TrafficSettings(Section):
    """The traffic of every release. `rate` is in requests/s; `round_trip` and `timeout` are in seconds."""

    users: Annotated[int, Field(ge=1, le=20_000)] = 50
    rate: Annotated[float, Field(gt=0, le=100_000)] = 200.0
    arrivals: Literal["constant", "poisson"] = "constant"
    round_trip: Annotated[float, Field(ge=0, lt=1)] = 0.02
    timeout: Annotated[float, Field(gt=0, le=600)] = 10.0
    seed: int = 1
    profile: Literal["reference", "generic", "custom"] = "generic"
    headers: Headers = Field(default_factory=dict)
    mix: Annotated[tuple[MixTable, ...], Field(strict=False)] = ()
    curve: Annotated[tuple[CurvePoint, ...], Field(strict=False)] = ()
    locustfile: str = ""
    locustfile_users: Annotated[int, Field(ge=1, le=10_000)] = 1
    locustfile_environment: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...], Field(strict=False)
    ] = ()
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
        if value and not 1 <= address_of(value).port <= 65_535:
            raise ValueError("the port is not between 1 and 65535")
        return value

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> TrafficSettings:
        if self.curve and "rate" in self.model_fields_set:
            raise ValueError(
                f"rate = {self.rate:g} (--rate) has no effect together with [[traffic.curve]]; remove one of them, or "
                "ignore the curve in one run: --set 'traffic.curve=[]'"
            )
        if self.locustfile_environment and not self.locustfile:
            raise ValueError("locustfile_environment has no effect without locustfile; set locustfile too")
        if self.locustfile_users != 1 and not self.locustfile:
            raise ValueError(
                f"locustfile_users = {self.locustfile_users} has no effect without locustfile; set locustfile too"
            )
        return self


class FailoverSettings(Section):
    """What the copies of the site get on which faults and the nightly regression are tried."""

    environment: dict[str, str] = Field(default_factory=dict)


class Settings(Section):
    """All sections of cakravia.toml.

    `root` is the start of relative paths, `file` the settings file itself, `reviewed` the policy that [policy] names.
    """

    root: Path = Path()
    file: Path = Path("cakravia.toml")
    reviewed: ReviewedPolicy | None = None
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
    policy: PolicySettings = PolicySettings()
    monitor: MonitorSettings = MonitorSettings()
    notify: NotifySettings = NotifySettings()
    failover: FailoverSettings = FailoverSettings()
    hooks: Annotated[tuple[HookSettings, ...], Field(strict=False)] = ()
    companions: Annotated[tuple[CompanionSettings, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _ports_do_not_collide(self) -> Settings:
        taken = (self.slots.blue, self.slots.green)
        for key, address in self.proxy.addresses:
            if address.port in taken:
                raise ValueError(f"[proxy] {key} and the slots need different ports")
        return self

    @model_validator(mode="after")
    def _users_are_no_strangers(self) -> Settings:
        host = self.site.host.partition(":")[0]
        if host and self.proxy.strangers != "serve" and not is_covered(host, self.proxy.known_names):
            raise ValueError(f"[site] host = {host!r} is not in [proxy] server_names: its users would be strangers")
        return self

    @model_validator(mode="after")
    def _detour_has_a_way(self) -> Settings:
        if self.site.platform == "docker" and (self.proxy.detour.blue or self.proxy.detour.green):
            raise ValueError('[proxy] detour needs [site] platform = "process"; set both ports to 0')
        return self

    @model_validator(mode="after")
    def _everyday_log_has_a_reader(self) -> Settings:
        if self.proxy.access_log == "stdout" and self.site.platform != "docker":
            raise ValueError('[proxy] access_log = "stdout" needs [site] platform = "docker"; use "file"')
        return self

    @model_validator(mode="after")
    def _challenges_reach_nginx(self) -> Settings:
        if self.proxy.acme_webroot and self.site.platform == "docker":
            raise ValueError(
                "[proxy] acme_webroot: the proxy's container has no folder of this machine. Let a proxy in front "
                "obtain the certificate (docs/FRONT.md), or use certbot with DNS"
            )
        return self

    @model_validator(mode="after")
    def _docker_knows_where_versions_come_from(self) -> Settings:
        least = 0 if self.docker.compose else 1
        if self.site.platform == "docker" and not least <= len(self.docker.sources) <= 1:
            named = " and ".join(self.docker.sources) or "none"
            raise ValueError(
                f"[docker] needs exactly one of image, context and archive; set now: {named}. Write where versions "
                'come from, for example image = "registry.example.com/shop:{version}", or context = "." for a '
                "folder with a Dockerfile"
            )
        return self

    @model_validator(mode="after")
    def _companions_can_be_told_apart(self) -> Settings:
        names = [companion.name for companion in self.companions]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"[companions] name: two companions are named {', '.join(twice)}")
        services = [companion.service for companion in self.companions if companion.service]
        if services and not (self.site.platform == "docker" and self.docker.compose):
            raise ValueError(f"[companions] service: {services[0]} needs [docker] compose; use command")
        return self

    @model_validator(mode="after")
    def _env_file_has_a_reader(self) -> Settings:
        if self.app.env_file and self.site.platform == "docker":
            raise ValueError(
                '[app] env_file needs [site] platform = "process"; use [docker] secrets or [app] environment'
            )
        return self

    @property
    def host_names(self) -> tuple[str, ...]:
        """The names under which users reach the site, as far as the settings tell."""
        host = self.site.host.partition(":")[0]
        return (*((host,) if host else ()), *self.proxy.known_names)

    @property
    def state(self) -> Path:
        return self.root / self.site.state

    @property
    def reports(self) -> Path:
        return self.root / self.site.reports

    @property
    def signing_key(self) -> Path:
        """The private key that signs verdicts; `cakravia keys init` makes it."""
        return self.state / "signing.key"

    @property
    def compose_project(self) -> str:
        """The compose project of the site's containers. By default no project of a user has this name."""
        return self.docker.project or f"{self.site.name}-blue-green"

    @property
    def history(self) -> Path:
        return self.state / "deployment-history.log"

    def slot_address(self, colour: Colour) -> Address:
        # "localhost" has two addresses, and an application may listen on one of them.
        host = "127.0.0.1" if self.slots.host == "localhost" else self.slots.host
        return Address(host, self.slots.port(colour))

    def upstream_address(self, colour: Colour) -> Address:
        """Return where nginx finds the slot: at its own address, or at a program in between."""
        detour = self.proxy.detour.port(colour)
        return Address("127.0.0.1", detour) if detour else self.slot_address(colour)
