"""[traffic] of cakravia.toml: what it says is what is sent, and what would be ignored is refused by its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.traffic_mix import MixStep, MixTable
from cakravia_verify.slots import Address
from cakravia_verify.traffic.plan.from_settings import plan_of

if TYPE_CHECKING:
    from cakravia_verify.traffic.plan.plan import TrafficPlan

CURVE = "[[traffic.curve]]\nat = 0.0\nrate = 50.0\n[[traffic.curve]]\nat = 60.0\nrate = 500.0\n"
HEADERS = {"slot": "X-Slot", "version": "X-Version", "served": "X-Served"}


def planned(folder: Path, text: str, *overrides: tuple[str, Any]) -> TrafficPlan:
    (folder / "cakravia.toml").write_text(text)
    settings = load_settings(folder / "cakravia.toml", environment={}, overrides=overrides)
    address = Address("127.0.0.1", 8080)
    return plan_of(settings.traffic, address=address, folder=folder, run="r", headers=HEADERS, root=folder)


def mix(text: str) -> str:
    return f'[traffic]\nprofile = "custom"\n[[traffic.mix]]\n{text}\n'


@pytest.mark.parametrize("overrides", [[("traffic.rate", 500.0)], []])
def test_a_rate_beside_a_curve_is_refused_wherever_it_comes_from(
    tmp_path: Path, overrides: list[tuple[str, Any]]
) -> None:
    text = CURVE if overrides else f"[traffic]\nrate = 500.0\n{CURVE}"
    with pytest.raises(SettingsError, match=r"rate = 500 .*has no effect"):
        planned(tmp_path, text, *overrides)


def test_a_curve_may_be_put_aside_for_a_rate(tmp_path: Path) -> None:
    plan = planned(tmp_path, CURVE, ("traffic.curve", "[]"), ("traffic.rate", 500.0))
    assert (plan.curve, plan.rate) == ((), 500.0)


def test_a_curve_alone_is_the_rate(tmp_path: Path) -> None:
    assert planned(tmp_path, CURVE).curve == ((0.0, 50.0), (60.0, 500.0))


def test_users_of_a_locustfile_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="locustfile_users = 3 has no effect"):
        planned(tmp_path, "[traffic]\nlocustfile_users = 3\n")


@pytest.mark.parametrize("name", ["X-Request-ID", "content-length", "Transfer-Encoding"])
def test_a_header_that_the_client_writes_itself_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"the client itself writes {name}"):
        planned(tmp_path, f'[traffic]\nheaders = {{ {name} = "1" }}\n')


def test_a_token_from_a_file_is_in_no_plan(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    plan = planned(tmp_path, '[traffic]\nheaders = { Authorization = "Bearer {file:token}" }\n')
    assert plan.headers == (("Authorization", f"Bearer {{file:{tmp_path}/token}}"),)
    assert "s3cret" not in plan.to_json()


def test_the_missing_file_of_a_header_is_refused_before_any_traffic(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="token cannot be read"):
        planned(tmp_path, mix('headers = { Authorization = "{file:token}" }'))


# The first line of the table [[traffic.mix]], and of its first key.
TABLE, KEY = "line 3", "line 4"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("every = 0.5", "every"),
        ('stream = "events"\ntimeout = 5.0\nevery = 0.5', "every"),
        ('stream = "websocket"\ntimeout = 5.0\nexpect = [200]', "expect"),
        ('stream = "websocket"\ntimeout = 5.0\nverify = "X-Content-SHA256"', "verify"),
        ('stream = "events"\ntimeout = 5.0\nverify = "X-Content-SHA256"', "verify"),
        ('verify = "sequence"', "verify"),
        ('method = "HEAD"\nverify = "X-Content-SHA256"', "verify"),
        ('method = "HEAD"\ncontains = "shop"', "contains"),
        ('stream = "events"\ntimeout = 5.0\ncontains = "shop"', "contains"),
    ],
)
def test_a_key_without_effect_is_refused_by_its_name_and_line(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"{TABLE}: traffic.mix.0: '{key}' would do nothing"):
        planned(tmp_path, mix(text))


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{ kind = "random", size = 10, text = "x" }', "text"),
        ('{ kind = "order", size = 10 }', "size"),
        ("{ chunked = true }", "chunked"),
    ],
)
def test_a_key_of_a_body_without_effect_is_refused_by_its_name(tmp_path: Path, body: str, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"{KEY}: traffic.mix.0.body: '{key}' would do nothing"):
        planned(tmp_path, mix(f'body = {body}\nmethod = "POST"'))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("pause = 0.5", "pause"),
        ("pth = 1", "pth"),
        ('steps = [{ path = "/b", weight = 2.0 }]', "steps.0.weight"),
        ('steps = [{ path = "/b", steps = [] }]', "steps.0.steps"),
        ('steps = [{ path = "/b", stream = "events" }]', "steps.0.stream"),
        ('body = { kind = "text", txt = "x" }', "body.txt"),
    ],
)
def test_an_unknown_key_of_a_mix_is_refused_by_its_name_and_line(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"{KEY}: unknown key 'traffic.mix.0.{key}'"):
        planned(tmp_path, mix(text))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('name = ""', "name"),
        ('method = "FETCH"', "method"),
        ('path = "page"', "path"),
        ('path = "/a b"', "path"),
        ("weight = 0.0", "weight"),
        ("weight = nan", "weight"),
        ("expect = []", "expect"),
        ("expect = [100]", "expect"),
        ('expect = ["200"]', "expect"),
        ('headers = { A = "b\\r\\nC: d" }', "headers"),
        ('headers = { "A B" = "c" }', "headers"),
        ('body = { kind = "zip" }', "body.kind"),
        ("contains = 200", "contains"),
        ('contains = ["shop"]', "contains"),
        ('stream = "smoke"', "stream"),
        ('steps = [{ path = "page" }]', "steps.0.path"),
        ('steps = [{ path = "/b", pause = 61.0 }]', "steps.0.pause"),
    ],
)
def test_a_wrong_value_in_a_mix_is_refused_by_its_name_and_line(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"{KEY}: traffic.mix.0.{key}"):
        planned(tmp_path, mix(text))


@pytest.mark.parametrize(
    "text",
    [
        'verify = "echo"',
        'contains = "y"\nheaders = { Accept-Encoding = "gzip" }',
        'stream = "events"',
        'stream = "events"\ntimeout = 5.0\nmethod = "POST"',
        'stream = "events"\ntimeout = 5.0\nsteps = [{ path = "/b" }]',
    ],
)
def test_keys_of_a_mix_that_contradict_each_other_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"{TABLE}: traffic.mix.0: "):
        planned(tmp_path, mix(text))


def test_an_error_names_the_line_of_the_second_table(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"line 6: traffic.mix.1.path"):
        planned(tmp_path, mix('name = "a"\n[[traffic.mix]]\npath = "b"'))


@pytest.mark.parametrize(
    "text",
    [
        mix('name = "a"\n[[traffic.mix]]\nname = "a"'),
        mix('name = "a"\nsteps = [{ name = "a" }]'),
        "[traffic]\ntimeout = 0.1\nround_trip = 0.05\n",
        f"[traffic]\nround_trip = 0.5\n{mix('timeout = 1.0').removeprefix('[traffic]')}",
        "[traffic]\nusers = 2\nprocesses = 3\n",
        "[[traffic.curve]]\nat = 0.0\nrate = 0.0\n",
        "[[traffic.curve]]\nat = 1.0\nrate = 5.0\n[[traffic.curve]]\nat = 0.0\nrate = 5.0\n",
    ],
)
def test_a_load_that_contradicts_itself_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"line 1: traffic: "):
        planned(tmp_path, text)


@pytest.mark.parametrize("header", ["X Slot", "X-Slot\\r\\nA"])
def test_a_header_name_with_other_characters_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(SettingsError, match=r"contract.slot_header"):
        planned(tmp_path, f'[contract]\nslot_header = "{header}"\n')


def test_every_key_of_a_mix_is_documented_and_no_other() -> None:
    text = (Path(__file__).parents[3] / "docs" / "TRAFFIC.md").read_text()
    table = text.split("### One kind of request")[1].split("```toml")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(documented) == sorted({*MixTable.model_fields, *MixStep.model_fields})


def test_keys_that_do_something_are_taken(tmp_path: Path) -> None:
    talk = 'path = "/ws"\nstream = "websocket"\ntimeout = 5.0\nevery = 0.5\nweight = 2.0'
    news = '[[traffic.mix]]\npath = "/events"\nstream = "events"\ntimeout = 5.0\nverify = "sequence"'
    order = '[[traffic.mix]]\nmethod = "POST"\nbody = { kind = "random", size = 9, chunked = true }\nverify = "echo"'
    steps = 'contains = "hi"\nsteps = [{ path = "/b", pause = 0.5, expect = [404], contains = "shop" }]'
    plan = planned(tmp_path, mix("\n".join((talk, news, order, steps))))
    assert [entry.name for entry in plan.mix] == ["GET /ws", "GET /events", "POST /"]
    assert (plan.mix[2].contains, plan.mix[2].steps[0].contains) == ("hi", "shop")
    assert plan.mix[2].steps[0].pause == 0.5
