"""A release by a script of somebody's own, which shows the gate no check of any suite: `scripted.py SITE VERSION`."""

from __future__ import annotations

import sys
from pathlib import Path

from cakravia_verify.plugin.report_hooks import write_outcome
from cakravia_verify.runs.preparation import Request
from cakravia_verify.runs.release_run import ReleaseRun
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.site.assembly import open_site


def main(site: str, version: str) -> int:
    run = ReleaseRun(open_site(load_settings(Path(site), environment={})), Request("deploy", version))
    run.open()
    try:
        run.reach("bake")
        run.folder.mkdir(parents=True, exist_ok=True)
        outcome = write_outcome(run.conclude({}), run.folder, reports=run.settings.reports)
    finally:
        run.close()
    return outcome.exit


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
