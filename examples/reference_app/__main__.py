"""`python -m reference_app`: serves until SIGTERM or SIGINT.

Exit status: 0 after a clean drain, 1 when the drain ran out of time or the address cannot be used, 2 when the
environment makes no sense, 143 (SIGTERM) or 130 (SIGINT) when told to stop twice.
"""

from __future__ import annotations

import asyncio
import os
import sys

from .environment import Environment, WrongEnvironment, read_environment


def main() -> int:
    try:
        environment = read_environment(os.environ)
    except WrongEnvironment as error:
        print(f"reference_app: {error}", file=sys.stderr)
        return 2
    if environment.misbehaviour.refuses_to_start:
        print("reference_app: this release does not start, on purpose", file=sys.stderr)
        return 1
    return _serve(environment)


def _serve(environment: Environment) -> int:
    # Imported late: a wrong environment is reported without waiting for the server's imports.
    import uvloop

    from .application import Application
    from .server import DrainingServer, listen

    try:
        listener = listen(environment.host, environment.port)
    except OSError as error:
        print(f"reference_app: cannot listen at {environment.host}:{environment.port}: {error}", file=sys.stderr)
        return 1
    try:
        application = Application(environment)
    except OSError as error:
        print(f"reference_app: cannot start: {error}", file=sys.stderr)
        return 1
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(DrainingServer(application).run_until_signal(listener))


if __name__ == "__main__":
    sys.exit(main())
