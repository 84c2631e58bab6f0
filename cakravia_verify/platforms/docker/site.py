"""Create platform, proxy and lease of a Docker site from its settings."""

from __future__ import annotations

from cakravia_verify.platforms.docker.compose import ComposeFile
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.images import ImageStore
from cakravia_verify.platforms.docker.lease import EngineLease
from cakravia_verify.platforms.docker.network import SiteNetwork
from cakravia_verify.platforms.docker.proxy.nginx import DockerNginx
from cakravia_verify.platforms.docker.slot_service import SlotService
from cakravia_verify.platforms.docker.slots import DockerPlatform
from cakravia_verify.settings.models import Settings
from cakravia_verify.system.clock import SYSTEM_CLOCK, Clock


def open_docker(settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> tuple[DockerPlatform, DockerNginx, EngineLease]:
    """Return platform, proxy and lease. This sends no request to the engine."""
    docker = settings.docker
    project = docker.project or settings.site.name
    state = settings.state / "docker"
    engine = Engine(docker.host, api_version=docker.api_version, patience=docker.patience, clock=clock)
    network = SiteNetwork(engine, project, settings.site.name, wanted=docker.subnet)
    compose = ComposeFile(settings.root / docker.compose_file, settings.compose_project, state / "services")
    images = ImageStore(engine, docker, f"cakravia-verify/{settings.site.name}", state / "images", settings.root)
    proxy = DockerNginx(settings, engine=engine, network=network, compose=compose, clock=clock)
    platform = DockerPlatform(
        settings,
        engine=engine,
        network=network,
        images=images,
        service=SlotService(settings),
        compose=compose,
        clock=clock,
        also_before_the_lock=lambda deadline: proxy.image(deadline=deadline, fresh=True),
    )
    lease = EngineLease(
        engine, project, settings.site.name, image=proxy.image_for_lease, local=settings.history, clock=clock
    )
    return platform, proxy, lease
