"""What a move of users to a site, and back, costs them: python -m benchmarks.migration

An old nginx with an application behind it, strict traffic at 200 requests/s over 50 kept connections with a round trip
of 20 ms, and `cakravia migrate` and its undo, three times each. The law: requests/s on reused connections x round trip
for each reload. The bar: no move loses more than three times that, and none fails a request. With the directive
keepalive_min_timeout in the old nginx the bar is 0.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from cakravia_verify.testing.ports import free_ports
from cakravia_verify.testing.throwaway_site import ThrowawaySite
from tests.setup.old_nginx import SHOP, OldSite, old_site
from tests.setup.test_migrate import SETTINGS

RATE, ROUND_TRIP, MOVES = 200.0, 0.02, 3
LAW = RATE * ROUND_TRIP
KEEP = "keepalive_min_timeout 5s;"


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="cakravia-benchmark-"))
    users, application = free_ports(2)
    settings = SETTINGS.replace("rate = 80.0", f"rate = {RATE}").replace("users = 10", "users = 50")
    (folder / "site").mkdir()
    (folder / "site" / "shop.py").write_bytes(SHOP.read_bytes())
    site = ThrowawaySite(folder / "site", settings.replace("round_trip = 0.0", f"round_trip = {ROUND_TRIP}"))
    misses = 0
    try:
        if site.cakravia("deploy", "v1.0.0").status:
            return 1
        for name, more, most in (("reload", "", 3 * LAW), ("with keepalive_min_timeout", KEEP, 0)):
            print(f"{name}: at most {most:g} lost in a move, by the law {LAW if most else 0:g}")
            place = folder / name.replace(" ", "-")
            with old_site(place, users=users, application=application, has_upstream_file=False, more=more) as old:
                for _ in range(MOVES):
                    conf = str(old.folder / "nginx.conf")
                    misses += measured(site, old, "migrate", "--conf", conf, "--nginx", old.nginx, most=most)
                    misses += measured(site, old, "migrate", "undo", most=most)
    finally:
        site.remove()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if misses else 0


def measured(site: ThrowawaySite, old: OldSite, *words: str, most: float) -> bool:
    """Print what one move cost, and return whether it was too much."""
    users = () if "undo" in words else ("--users", old.users)
    ended = site.cakravia(*words, *users, "--seconds", "3", "--yes")
    counts = re.findall(r"(\d+) of ([\d,]+) requests lost, (\d+) failed", ended.output)
    if ended.status or not counts:
        print(ended.output)
        return True
    lost, requests, failed = counts[-1]
    print(f"  {' '.join(words[:2] if 'undo' in words else words[:1]):<14} {lost} of {requests} lost, {failed} failed")
    return int(lost) > most or int(failed) > 0


if __name__ == "__main__":
    sys.exit(main())
