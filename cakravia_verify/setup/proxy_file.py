"""Read an nginx configuration of the project: the host, the upstreams, limits and certificate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cakravia_verify.setup.findings import ProxyFile
from cakravia_verify.setup.source_files import source_files, text_of

_ENDINGS: Final = ("conf", ".conf.template", ".conf.tmpl", ".nginx")
_SECONDS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "ms": 0.001}


def proxy_file_in(folder: Path) -> ProxyFile | None:
    """Return the nginx configuration that passes requests on and is nearest to the folder, None without one."""
    paths = source_files(folder, endings=_ENDINGS)
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        found = read_proxy_file(text_of(path), name=path.relative_to(folder).as_posix())
        if found.upstreams:
            return found
    return None


def read_proxy_file(text: str, *, name: str) -> ProxyFile:
    """Return what a configuration says; the first of each kind counts."""
    text = re.sub(r"#[^\n]*", "", text)
    groups = {found[1]: list(_servers(found[2])) for found in re.finditer(r"upstream\s+(\S+)\s*\{([^}]*)\}", text)}
    upstreams: dict[tuple[str, int], None] = {}
    for host, port in re.findall(r"proxy_pass\s+https?://([\w.-]+)(?::(\d+))?", text):
        for target in groups.get(host) or [(host, int(port or 80))]:
            upstreams[target] = None
    names = [name for found in re.findall(r"server_name\s+([^;]+);", text) for name in found.split()]
    return ProxyFile(
        path=name,
        host=next((name for name in names if re.fullmatch(r"[\w-]+(\.[\w-]+)+", name)), ""),
        upstreams=tuple(upstreams),
        max_body=_first(r"client_max_body_size\s+(\d+[kKmMgG]?)\s*;", text),
        read_timeout=_seconds(_first(r"proxy_read_timeout\s+(\w+)\s*;", text)),
        certificate=_first(r"ssl_certificate\s+([^;\s]+)\s*;", text),
        key=_first(r"ssl_certificate_key\s+([^;\s]+)\s*;", text),
        locations=tuple(dict.fromkeys(re.findall(r"location\s+(?:[=~^*]+\s+)?([^\s{]+)\s*\{", text))),
    )


def _servers(text: str) -> Iterator[tuple[str, int]]:
    for host, port in re.findall(r"server\s+([\w.-]+)(?::(\d+))?[^;]*;", text):
        yield host, int(port or 80)


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(ms|s|m|h)?", text)
    return int(found[1]) * _SECONDS[found[2] or ""] if found else 0.0
