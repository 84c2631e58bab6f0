"""What flows for an hour takes no more memory than what flows for a minute; benchmarks/memory_flat.py measures it."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import gevent

if TYPE_CHECKING:
    from tests.traffic.client.conftest import MakeSender

# In a process of its own: importing Locust patches sockets and threads of the whole process.
AN_HOUR_OF_LOCUST = """
import json, time
from locust.stats import RequestStats
from cakravia_verify.traffic.generator.locust_memory import MOST_POINTS, forget, keep_lean
statistics = RequestStats()
keep_lean(statistics)
statistics.clear_all()  # as Locust does when its users start
entry = statistics.get("page", "GET")
began = int(time.time()) - 3600
for second in range(began, began + 3600):
    for each in (entry, statistics.total):
        each.log(5, 100)
        each.num_reqs_per_sec[second] += 1
        each.num_fail_per_sec[second] += 1
    statistics.history.append({"time": second})
    if second % 30 == 0:
        forget(statistics)
forget(statistics)
print(json.dumps({
    "seconds": max(len(each.num_reqs_per_sec) for each in (entry, statistics.total)),
    "failed": max(len(each.num_fail_per_sec) for each in (entry, statistics.total)),
    "points": len(statistics.history) <= MOST_POINTS,
    "first point": statistics.history[0]["time"] - began,
    "copies": [entry.response_times_cache is not None, statistics.total.use_response_times_cache],
    "requests": entry.num_requests,
}))
"""


def test_an_hour_of_locusts_statistics_is_kept_to_a_minute_and_its_charts() -> None:
    child = subprocess.run([sys.executable, "-c", AN_HOUR_OF_LOCUST], check=True, capture_output=True, text=True)
    seen = json.loads(child.stdout)
    assert seen.pop("seconds") <= 65
    assert seen.pop("failed") <= 65
    assert seen == {"points": True, "first point": 0, "copies": [False, True], "requests": 3600}


def test_the_summary_of_every_second_leaves_nothing_to_the_garbage_collector(sender: MakeSender) -> None:
    running = sender("http://127.0.0.1:9")
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gevent.sleep(1.3)  # one summary at least
        gc.collect()
        left = [thing for thing in gc.garbage if getattr(thing, "__module__", "") == "json.encoder"]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        running.finish()
    assert left == []
