"""The pages of the monitor in the proxy's volume: nginx in the container serves them from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cakravia_verify.errors import ProxyError
from cakravia_verify.platforms.docker.engine.engine import Engine
from cakravia_verify.platforms.docker.engine.exec import run_in
from cakravia_verify.platforms.docker.engine.files import ArchiveEntry, send
from cakravia_verify.platforms.docker.proxy.flags import ROOT

WEB: Final = f"{ROOT}/web"
_FOLDER: Final = WEB.rpartition("/")[2]


class VolumePages:
    """Puts files into the container named `container` of a site. They belong to root, and nginx reads them."""

    def __init__(self, engine: Engine, container: str, *, site: str) -> None:
        self._engine = engine
        self._name = container
        self._site = site

    def put(self, files: Mapping[str, bytes]) -> None:
        """Replace the files, each in one step if the container has a shell. Raises ProxyError.

        A container that does not run gets them when it runs again.
        """
        container = self._engine.ours(self._name, site=self._site)
        if container is None or container.status != "running":
            return
        drafts = [ArchiveEntry(f"{_FOLDER}/.{name}", content) for name, content in files.items()]
        send(self._engine, container, ROOT, [ArchiveEntry(_FOLDER, mode=0o755), *drafts], kind=ProxyError)
        line = f"cd {WEB} && for f in {' '.join(files)}; do mv -f .$f $f; done"
        status, output = run_in(
            self._engine, container, ["sh", "-c", line], what="showing the monitor's pages", user="0", kind=ProxyError
        )
        if status in (126, 127):
            whole = [ArchiveEntry(f"{_FOLDER}/{name}", content) for name, content in files.items()]
            send(self._engine, container, ROOT, whole, kind=ProxyError)
        elif status != 0:
            raise ProxyError(
                f"the monitor's pages cannot be put into {self._name}: {output.decode(errors='replace').strip()[:200]}",
                remedy="read the log of the monitor: cakravia monitor logs",
            )
