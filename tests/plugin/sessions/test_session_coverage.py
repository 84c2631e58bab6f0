"""Every kind of request of the mix is asked of the candidate, however rare it is."""

from __future__ import annotations

from collections.abc import Callable

from tests.plugin.sessions.shop import Shop

RARE = """
[[traffic.mix]]
name = "rare"
path = "/"
weight = 0.0001
"""


def test_a_kind_of_request_with_hardly_any_weight_is_covered(new_shop: Callable[..., Shop]) -> None:
    shop = new_shop()
    shop.settings.write_text(shop.settings.read_text() + RARE)
    ended = shop.deploy("v1.0.0", "--set", "budget.min_each=5")
    assert ended.status == 0, ended.output
    answers = shop.verdict()["evidence"]["measured"]["answers_each"]
    assert set(answers) == {"page", "order", "echo", "download", "rare"}
    assert min(answers.values()) >= 5
    (check,) = [each for each in shop.verdict()["checks"] if each["name"] == "coverage"]
    assert (check["standing"], check["threshold"]) == ("passed", ">= 5 each")
