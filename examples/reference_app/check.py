"""`python -m reference_app.check [health|ready|live]`: exit status 0 when that endpoint here answers 200."""

from __future__ import annotations

import http.client
import os
import sys

_PATHS = {"health": "/api/health", "ready": "/api/health/ready", "live": "/api/health/live"}
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - an address to replace, not to bind


def main(arguments: list[str]) -> int:
    path = _PATHS.get(arguments[0] if arguments else "ready")
    if path is None:
        print(f"usage: python -m reference_app.check [{'|'.join(_PATHS)}]", file=sys.stderr)
        return 2
    host = os.environ.get("HOST", "")
    connection = http.client.HTTPConnection(_EVERYWHERE.get(host, host), int(os.environ.get("PORT", "3000")), timeout=3)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        print(answer.status, answer.read().decode(errors="replace"))
    except OSError as error:
        print(f"no answer: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
