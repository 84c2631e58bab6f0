"""One course of switch, drain, rollback and drain under every kind of traffic; and one of failover."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cakravia_verify.slots import Colour
from cakravia_verify.traffic.ledger.ledger import Ledger
from cakravia_verify.traffic.run import TrafficRun
from tests.traffic.zoo.ground import Bystander, Ground, patience

DRAIN_BACK = "drain after rollback"


@dataclass
class Course:
    """What was done, when, and what every request saw of it."""

    ground: Ground
    ledger: Ledger
    bystanders: dict[str, Bystander]
    drains: dict[Colour, int]


def ledger_of(ground: Ground, flow: TrafficRun) -> Ledger:
    return Ledger.build(
        flow.folder,
        requests=flow.requests,
        access_log=ground.proxy.access_log,
        application_logs=[ground.request_log(colour) for colour in Colour],
        events=flow.events,
        traffic=flow.folder / "traffic.json",
        run="z",
    )


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """blue -> green -> blue, each old slot drained and ended, under all traffic at once."""
    ground = Ground.open(tmp_path_factory.mktemp("zoo"))
    flow = ground.traffic()
    try:
        flow.start(deadline=patience(30), requests=20)
        bystanders = ground.bystanders()
        time.sleep(1.5)
        ground.switch(Colour.GREEN, "switch")
        time.sleep(0.5)
        drains = {Colour.BLUE: ground.drain(Colour.BLUE, "drain")}
        ground.start(Colour.BLUE)
        ground.wait_until_ready(Colour.BLUE)
        time.sleep(1.0)
        ground.switch(Colour.BLUE, "rollback")
        time.sleep(0.5)
        drains[Colour.GREEN] = ground.drain(Colour.GREEN, DRAIN_BACK)
        time.sleep(1.5)
        for bystander in bystanders.values():
            bystander.finish()
        flow.stop(deadline=patience(30))
        with ledger_of(ground, flow) as ledger:
            yield Course(ground, ledger, bystanders, drains)
    finally:
        flow.kill()
        ground.close()


@pytest.fixture(scope="session")
def failover(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """blue serves and is killed; green, warm and healthy, may stand in for it."""
    ground = Ground.open(tmp_path_factory.mktemp("failover"))
    ground.proxy.set_failover(allowed=True)
    flow = ground.traffic()
    try:
        flow.start(deadline=patience(30), requests=20)
        bystanders = ground.bystanders()
        time.sleep(1.5)
        ground.kill(Colour.BLUE, "failover")
        time.sleep(1.6)
        for bystander in bystanders.values():
            bystander.finish()
        flow.stop(deadline=patience(30))
        with ledger_of(ground, flow) as ledger:
            yield Course(ground, ledger, bystanders, {})
    finally:
        flow.kill()
        ground.close()
