"""All prerequisites, in the order in which they are told."""

from __future__ import annotations

from typing import Final

from cakravia_verify.checks.model import SiteCheck
from cakravia_verify.checks.prerequisites import (
    application,
    certificate,
    compose_project,
    disk,
    dns_names,
    engine,
    engine_ssh,
    history,
    hooks,
    images,
    kernel,
    leftovers,
    memory,
    nginx_program,
    open_files,
    ports,
    python_environment,
    reports_folder,
    secret_files,
    state_folder,
    time_sync,
    traffic,
)

PREREQUISITES: Final[tuple[SiteCheck, ...]] = (
    python_environment.CHECK,
    application.CHECK,
    hooks.CHECK,
    engine_ssh.CHECK,
    engine.CHECK,
    images.CHECK,
    compose_project.CHECK,
    nginx_program.CHECK,
    ports.CHECK,
    dns_names.CHECK,
    certificate.CHECK,
    secret_files.CHECK,
    state_folder.CHECK,
    reports_folder.CHECK,
    history.CHECK,
    leftovers.CHECK,
    traffic.CHECK,
    disk.CHECK,
    memory.CHECK,
    open_files.CHECK,
    time_sync.CHECK,
    kernel.CHECK,
)
