"""Plan the settings of a site from what the project's files say. Pure: it reads and changes nothing."""

from __future__ import annotations

from typing import Final

from cakravia_verify.errors import UsageError
from cakravia_verify.setup.contract_plan import plan_contract
from cakravia_verify.setup.docker_plan import plan_docker
from cakravia_verify.setup.findings import ComposeService, FoundProject
from cakravia_verify.setup.migration_plan import plan_companion, plan_migration
from cakravia_verify.setup.plan import Answers, MachineFacts, PlanDraft, SetupPlan
from cakravia_verify.setup.traffic_plan import plan_traffic

LISTEN_FIRST: Final = 8080
BLUE: Final = 3000
GREEN: Final = 3001


def plan_site(
    found: FoundProject, answers: Answers, machine: MachineFacts, *, service: ComposeService | None
) -> SetupPlan:
    """Return the plan. `service` is the one of the compose file that users reach, None without one.

    Raises UsageError if the files do not say how the application runs.
    """
    draft = PlanDraft(_platform(found, answers, machine, service=service))
    draft.set("site.name", answers.name or found.name, "from the folder; part of the names of containers")
    if draft.platform == "docker":
        draft.set("site.platform", "docker", "slots and proxy are containers")
        _plan_users(draft, found, answers, machine)
        plan_docker(draft, found, answers, machine, service=service)
    else:
        if found.image_file and machine.no_engine:
            draft.notes.append(f"{machine.no_engine}: the versions run as processes; --platform docker changes that")
        _plan_users(draft, found, answers, machine)
        _plan_process(draft, found, machine)
    if found.application and found.application.assets:
        draft.set("proxy.assets", list(found.application.assets), "open pages still get the files of their version")
    plan_contract(draft, found, answers, service=service)
    plan_traffic(draft, found, answers)
    for key, value in answers.settings:
        draft.set(key, value, "given on the command line")
    draft.steps.append("cakravia deploy v1.0.0")
    return draft.finished()


def _platform(found: FoundProject, answers: Answers, machine: MachineFacts, *, service: ComposeService | None) -> str:
    if answers.platform:
        return answers.platform
    in_container = bool(answers.image or service or found.image_file)
    in_process = bool(found.application and found.application.command)
    if in_container and (not machine.no_engine or answers.image):
        return "docker"
    if in_process:
        return "process"
    if in_container:
        raise UsageError(
            f"the application runs in a container, and {machine.no_engine}; nothing was written",
            remedy="start Docker and type cakravia init again, or write the settings without it: "
            "cakravia init --platform docker",
        )
    if found.compose:
        names = ", ".join(each.name for each in found.compose.services) or "none"
        raise UsageError(
            f"no service of {found.compose.files[0]} is surely what users reach; it has: {names}; nothing was written",
            remedy="name it: cakravia init --service NAME",
        )
    known = found.application.framework if found.application else ""
    raise UsageError(
        f"no file says how {'the ' + known + ' application' if known else 'an application'} is started; "
        "nothing was written",
        remedy="add a Dockerfile, a Procfile with a line `web: command`, or a start script to package.json. "
        'Or write cakravia.toml yourself: [app] command = ["node", "server.js"]',
    )


def _plan_users(draft: PlanDraft, found: FoundProject, answers: Answers, machine: MachineFacts) -> None:
    """Plan how users come in: the host, the scheme, and the address of the proxy."""
    proxy_file = found.proxy_file
    host = answers.host or (proxy_file.host if proxy_file else "")
    if host:
        source = "" if answers.host or not proxy_file else f", from {proxy_file.path}"
        draft.set("site.host", host, f"the name by which users ask{source}")
    if proxy_file and proxy_file.certificate:
        draft.set("site.scheme", "https", f"{proxy_file.path} ends TLS in front of this proxy")
        if draft.platform == "process":
            draft.set("proxy.trusted", ["127.0.0.1"], "the X-Forwarded-* headers of the nginx in front are believed")
        draft.notes.append(f"pass the requests of {proxy_file.path} on to [proxy] listen (docs/PROXY.md)")
    if answers.listen:
        draft.set("proxy.listen", answers.listen, "the address for users")
    elif not machine.is_free(LISTEN_FIRST):
        port = _free_port(LISTEN_FIRST + 1, machine)
        draft.set("proxy.listen", f"127.0.0.1:{port}", f"the address for users; port {LISTEN_FIRST} is taken here")
    if proxy_file and proxy_file.max_body and proxy_file.max_body.lower() != "64m":
        draft.set("proxy.max_body", proxy_file.max_body, f"as in {proxy_file.path}")
    if proxy_file and proxy_file.read_timeout > 60:
        draft.set("proxy.read_timeout", proxy_file.read_timeout, f"seconds, as in {proxy_file.path}")


def _plan_process(draft: PlanDraft, found: FoundProject, machine: MachineFacts) -> None:
    application = found.application
    if application is None or not application.command:
        raise UsageError(
            "no file says how the application is started as a process; nothing was written",
            remedy="add a Procfile with a line `web: command`, or use containers: cakravia init --platform docker",
        )
    draft.set("app.command", list(application.command), f"{application.framework}; HOST and PORT name the slot")
    if application.build:
        draft.set("app.build", list(application.build), "runs once in the copy of each version")
    if application.environment:
        draft.set("app.environment", dict(application.environment), "for the build and the slots")
    if found.env_file:
        draft.set("app.env_file", found.env_file, "its variables reach the slots, and no report")
    if not (machine.is_free(BLUE) and machine.is_free(GREEN)):
        blue = _free_port(BLUE + 100, machine)
        draft.set("slots.blue", blue, f"port {BLUE} or {GREEN} is taken here")
        draft.set("slots.green", _free_port(blue + 1, machine), "the other slot")
    for name, worker in application.workers.items():
        plan_companion(draft, name, command=list(worker))
    if application.migration:
        command = [*application.migration]
        if command[0] == "python3" and ".venv/" in " ".join(application.build):
            command[0] = ".venv/bin/python"
        plan_migration(draft, command)


def _free_port(first: int, machine: MachineFacts) -> int:
    return next(port for port in range(first, 65_536) if machine.is_free(port))
