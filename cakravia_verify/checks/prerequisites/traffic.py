"""The measured traffic: its plan, and the release that it must prove."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cakravia_verify.checks.model import CheckFinding, Ground, SiteCheck, ok, problem
from cakravia_verify.traffic.plan.from_settings import headers_of, plan_of
from cakravia_verify.traffic.plan.schedule import planned_within


def _find(ground: Ground) -> Iterator[CheckFinding]:
    settings, proxy = ground.settings, ground.site.proxy
    plan = plan_of(
        settings.traffic,
        address=proxy.address,
        folder=settings.reports,
        run="unnamed",
        headers=headers_of(settings),
        root=settings.root,
        site=settings.site,
        tls_address=proxy.tls_address,
    )
    planned, least = planned_within(plan, settings.release.bake), settings.budget.min_requests
    if planned < least:
        yield problem(
            f"[release] bake = {settings.release.bake:g} s are {planned:,} requests",
            needed=f"[budget] min_requests = {least:,}: with fewer, no release is promoted",
            remedy="raise [release] bake or [traffic] rate, or lower [budget] min_requests",
        )
        return
    entries, each = len(plan.mix), settings.budget.min_each
    if planned < entries * each:
        yield problem(
            f"[release] bake = {settings.release.bake:g} s are {planned:,} requests for {entries} kinds of them",
            needed=f"[budget] min_each = {each:,} answers of each kind: with fewer, no release is promoted",
            remedy="raise [release] bake or [traffic] rate, or lower [budget] min_each",
        )
        return
    yield ok(f"{planned:,} requests in the bake, {least:,} are needed")


CHECK: Final = SiteCheck("traffic", "The traffic can prove a release", _find)
