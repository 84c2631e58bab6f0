"""A client that asks as a browser of a user does, beside the measured traffic: its requests have no id of ours."""

from __future__ import annotations

import httpx

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.headers import merged, with_files
from cakravia_verify.traffic.plan.mix import ORDINARY_AGENT
from cakravia_verify.traffic.plan.plan import TrafficPlan


def user_client(
    plan: TrafficPlan,
    *,
    transport: httpx.BaseTransport,
    url: str = "",
    cookies: httpx.Cookies | None = None,
) -> httpx.Client:
    """Return a client with the headers of the plan. `url` is where it asks, by default where users do."""
    return httpx.Client(
        base_url=url or plan.url,
        headers={
            "User-Agent": ORDINARY_AGENT,
            **header_texts(plan.headers),
            **({"Host": plan.host} if plan.host else {}),
        },
        cookies=cookies,
        timeout=plan.timeout,
        transport=transport,
        trust_env=False,
    )


def user_transport() -> httpx.BaseTransport:
    """Return a transport that never retries. The certificate belongs to the proxy, and is no part of the release."""
    return httpx.HTTPTransport(retries=0, trust_env=False, verify=False)


def header_texts(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return headers with the texts of their files. A file that cannot be read any more leaves its header empty."""
    return {name: _text(value) for name, value in merged(headers).items()}


def _text(value: str) -> str:
    try:
        return with_files(value)
    except SettingsError:
        return ""  # the traffic itself has refused it
