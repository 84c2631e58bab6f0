"""Next.js, Express and other applications of Node, from package.json."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, Final

from cakravia_verify.errors import UsageError
from cakravia_verify.setup.findings import Application, ProjectFact
from cakravia_verify.setup.source_files import first_of, text_of

INSTALLS: Final = {
    "pnpm-lock.yaml": "pnpm install --frozen-lockfile",
    "yarn.lock": "yarn install --frozen-lockfile",
    "package-lock.json": "npm ci --no-audit --no-fund",
}
NEXT_CONFIGS: Final = ("next.config.mjs", "next.config.js", "next.config.ts", "next.config.cjs")


def node_application(folder: Path) -> Application | None:
    """Return the application that package.json describes, None without that file. Raises UsageError if it is broken."""
    path = folder / "package.json"
    if not path.is_file():
        return None
    try:
        package = json.loads(text_of(path))
        packages = {**package.get("devDependencies", {}), **package.get("dependencies", {})}
        scripts = dict(package.get("scripts", {}))
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"package.json cannot be read: {error}", remedy="correct the file") from error
    if "next" in packages:
        return _next(folder)
    return _server(folder, package, scripts, framework=_framework(packages))


def _framework(packages: dict[str, Any]) -> str:
    names = {"express": "Express", "fastify": "Fastify", "koa": "Koa", "@nestjs/core": "NestJS", "hono": "Hono"}
    return next((title for name, title in names.items() if name in packages), "Node")


def _install(folder: Path) -> str:
    return next(
        (how for lock, how in INSTALLS.items() if (folder / lock).is_file()), "npm install --no-audit --no-fund"
    )


def _next(folder: Path) -> Application:
    config = first_of(folder, *NEXT_CONFIGS)
    is_standalone = bool(config and re.search(r"output\s*:\s*['\"]standalone['\"]", text_of(config)))
    steps = [_install(folder), "npm run build"]
    if is_standalone:
        steps += ["cp -r .next/static .next/standalone/.next/", "(test ! -d public || cp -r public .next/standalone/)"]
        command: tuple[str, ...] = ("node", ".next/standalone/server.js")
    else:
        command = ("node", "node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1")
    kind = "Next.js, standalone" if is_standalone else "Next.js"
    return Application(
        framework=kind,
        command=command,
        build=("sh", "-c", " && ".join(steps)),
        # A standalone server listens on the address in HOSTNAME.
        environment={"HOSTNAME": "127.0.0.1"} if is_standalone else {},
        port=3000,
        writable=(".next/cache",),
        assets=("/_next/static/",),
        findings=(ProjectFact("package.json", kind),),
    )


def _server(folder: Path, package: dict[str, Any], scripts: dict[str, str], *, framework: str) -> Application:
    command = _start_command(folder, package, scripts)
    has_packages = bool(package.get("dependencies") or package.get("devDependencies"))
    steps = [_install(folder)] if has_packages else []
    if "build" in scripts:
        # A build needs the packages for development as well.
        steps = [f"NODE_ENV=development {step}" for step in steps] + ["npm run build"]
    port = _default_port(folder, command)
    return Application(
        framework=framework,
        command=command,
        build=("sh", "-c", " && ".join(steps)) if steps else (),
        environment={"NODE_ENV": "production"},
        port=port,
        findings=(ProjectFact("package.json", f"{framework}, started by {shlex.join(command) or 'no script'}"),),
    )


def _start_command(folder: Path, package: dict[str, Any], scripts: dict[str, str]) -> tuple[str, ...]:
    """Return the command that starts the server without npm, since npm would stand between it and SIGTERM."""
    start = scripts.get("start", "")
    words = shlex.split(start) if start and not re.search(r"[;&|$<>`=]", start) else []
    if words and words[0] in ("node", "tsx", "bun", "deno"):
        return tuple(words)
    if start:
        return ("npm", "start")
    main = package.get("main") or ""
    for name in filter(None, (main, "server.js", "server.mjs", "index.js", "app.js")):
        if (folder / name).is_file():
            return ("node", name)
    return ()


def _default_port(folder: Path, command: tuple[str, ...]) -> int:
    file = folder / command[-1] if command else folder
    found = re.search(r"PORT\b\s*(?:\|\||\?\?|,)\s*['\"]?(\d{2,5})", text_of(file)) if file.is_file() else None
    return int(found[1]) if found else 3000
