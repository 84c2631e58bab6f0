"""Connections to the engine's local socket that are closed after a failed connect.

The SDK leaves such a socket to the garbage collector, which then reports a ResourceWarning in unrelated code.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

if TYPE_CHECKING:
    import docker


def close_failed_connections(client: docker.DockerClient) -> None:
    """Make `client` close connections that fail to connect."""
    api: Any = client.api
    theirs = api.adapters.get("http+docker://")
    if type(theirs) is UnixHTTPAdapter:
        ours = _Adapter(theirs.socket_path, timeout=theirs.timeout, max_pool_size=theirs.max_pool_size)
        theirs.close()
        api._custom_adapter = ours
        api.mount("http+docker://", ours)


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(self.timeout)
            connected.connect(self.unix_socket)
        except BaseException:
            connected.close()
            raise
        self.sock = connected


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        timeout: Any = self.timeout
        return _Connection(self.base_url, self.socket_path, timeout)


class _Adapter(UnixHTTPAdapter):
    def get_connection(self, url: Any, proxies: Any = None) -> _Pool:
        with self.pools.lock:
            pool: _Pool | None = self.pools.get(url)
            if pool is None:
                pool = _Pool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
                self.pools[url] = pool
        return pool
