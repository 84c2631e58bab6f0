"""Plan the section [docker]: where versions come from, the port, the user, and what may be written."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.setup.compose_services import port_of, workers_beside
from cakravia_verify.setup.findings import ComposeService, FoundProject, ImageFile
from cakravia_verify.setup.migration_plan import plan_companion, plan_migration
from cakravia_verify.setup.plan import Answers, MachineFacts, PlanDraft

OWN_COMPOSE_FILE: Final = "docker-compose.cakravia.yml"
DEFAULT_PORT: Final = 3000
# The user `node` of the images of Node; another number is in no image.
NODE_USER: Final = "1000:1000"
OTHER_USER: Final = "10001:10001"


def plan_docker(
    draft: PlanDraft,
    found: FoundProject,
    answers: Answers,
    machine: MachineFacts,
    *,
    service: ComposeService | None,
) -> None:
    """Add the keys of [docker]. Raises UsageError if a slot cannot be made of the service, or its port is unknown."""
    image = found.image_file
    if answers.image:
        _plan_image(draft, answers.image)
        image = machine.image(answers.image.replace("{version}", "latest"))
    elif service is not None:
        image = _plan_service(draft, found, machine, service)
    else:
        draft.set("docker.context", ".", "the folder with the Dockerfile")
        draft.build_context = "."
        if found.env_file:
            draft.notes.append(
                f"the variables of {found.env_file} reach no container: name them in [app] environment, or as files "
                "in [docker] secrets"
            )
    port = answers.port or _port(found, service, image, is_named=bool(answers.image))
    if not port:
        what = f"service {service.name}" if service else f"the image {answers.image}" if answers.image else "Dockerfile"
        raise UsageError(
            f"no file says on which port {what} listens; nothing was written",
            remedy="cakravia init --port 8000, or write EXPOSE 8000 into the Dockerfile, or `expose` into the service",
        )
    if port != DEFAULT_PORT:
        draft.set("docker.port", port, "where the application listens; it gets PORT as well")
    _plan_user(draft, service, image, answers)
    if found.application and found.application.writable and image:
        folders = [posixpath.join(image.folder, folder) for folder in found.application.writable]
        draft.set("docker.writable", folders, f"{found.application.framework} writes there; the rest is read-only")
    if found.application and found.application.migration and not _migrates(found, service):
        plan_migration(draft, found.application.migration)


def _plan_image(draft: PlanDraft, image: str) -> None:
    draft.set("docker.image", image, "{version} is the version of the release")
    if "{version}" not in image:
        draft.notes.append("the name of the image is the same for every version: write {version} as its tag")


def _plan_service(
    draft: PlanDraft, found: FoundProject, machine: MachineFacts, service: ComposeService
) -> ImageFile | None:
    """Plan slots made of a service of the compose file. Returns what is known of its image."""
    assert found.compose is not None
    if service.unfit:
        raise UsageError(
            f"a slot cannot be made of service {service.name}:\n" + "\n".join(f"  {line}" for line in service.unfit),
            remedy="change these keys of the service, or name another one: cakravia init --service NAME",
        )
    workers = [each for each in workers_beside(service, found.compose) if not each.unfit]
    changed = [each for each in (service, *workers) if each.to_remove]
    files = [*found.compose.files, *([OWN_COMPOSE_FILE] if changed else [])]
    draft.set("docker.compose", files if len(files) > 1 else files[0], "slots are made of a service of your own file")
    draft.set("docker.service", service.name, "the service that users reach")
    draft.build_context = service.context
    if changed:
        draft.compose_file = own_compose_file(changed)
    for worker in workers:
        plan_companion(draft, worker.name, service=worker.name)
    if service.variable:
        draft.set("docker.compose_variables", {service.variable: "{version}"}, "names the image of the version")
    elif not service.is_built:
        draft.notes.append(f"the image of {service.name} is the same for every version: write image: name:${{TAG}}")
    if service.needs:
        draft.steps.append(f"docker compose up -d {' '.join(service.needs)}")
    return found.image_file if service.is_built else machine.image(service.image)


def own_compose_file(services: Iterable[ComposeService]) -> str:
    """Return a compose file that takes away what two versions at once cannot have. Your own file stays as it is."""
    keys = "".join(
        f"  {service.name}:\n" + "".join(f"    {key}: !reset null\n" for key in service.to_remove)
        for service in services
    )
    return (
        "# Read by releases only, after your own compose file: two versions at once cannot have these keys.\n"
        f"# Users reach the slots through [proxy] listen of cakravia.toml.\nservices:\n{keys}"
    )


def _port(found: FoundProject, service: ComposeService | None, image: ImageFile | None, *, is_named: bool) -> int:
    if service is not None and (port := port_of(service, found)):
        return port
    if image is not None and image.port:
        return image.port
    # A port that only the framework's habit says is a guess for an image, and good enough for its own Dockerfile.
    return found.application.port if found.application and not is_named and (image or service) else 0


def _plan_user(draft: PlanDraft, service: ComposeService | None, image: ImageFile | None, answers: Answers) -> None:
    if (service is not None and service.user) or image is None or not image.runs_as_root:
        return
    user = NODE_USER if image.base.rpartition("/")[2].startswith("node") else OTHER_USER
    draft.set("docker.user", user, f"{image.path or answers.image} names no user, and slots do not run as root")


def _migrates(found: FoundProject, service: ComposeService | None) -> bool:
    """Return whether the application migrates its database itself when it starts."""
    return "migrate" in (service.command if service else "") or bool(found.image_file and found.image_file.migrates)
