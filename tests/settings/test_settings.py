"""Settings are whole and sensible, or refused with file, line, key and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cakravia_verify.errors import SettingsError
from cakravia_verify.settings.loading import load_settings
from cakravia_verify.settings.models import Settings
from cakravia_verify.slots import Colour, checked_version


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cakravia.toml"


def loaded(path: Path, text: str, environment: dict[str, str] | None = None, *overrides: tuple[str, Any]) -> Settings:
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environment=environment or {}, overrides=overrides)


def refused(path: Path, text: str, environment: dict[str, str] | None = None, *overrides: tuple[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(path, text, environment, *overrides)
    assert caught.value.remedy
    return caught.value.message


def test_an_empty_file_is_a_complete_site(path: Path) -> None:
    site = loaded(path, "")
    assert str(site.slot_address(Colour.GREEN)) == "127.0.0.1:3001"
    assert site.state == path.parent / ".cakravia"


def test_the_site_in_the_repository_loads() -> None:
    load_settings(Path(__file__).parents[2] / "cakravia.toml", environment={})


def test_the_error_of_a_wrong_value_names_file_line_key_and_value(path: Path) -> None:
    message = refused(path, '# mine\n[release]\n# seconds\nbake = "ten"\n')
    assert f"{path}, line 4: release.bake:" in message
    assert "'ten'" in message


def test_one_error_names_every_wrong_value(path: Path) -> None:
    message = refused(path, "[release]\nbake = -1\n[slots]\nblue = 0\n")
    assert "line 2: release.bake" in message
    assert "line 4: slots.blue" in message


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[release]\nbakes = 5", "line 2: unknown key 'release.bakes'; did you mean 'bake'?"),
        ("[relase]\nbake = 5", "line 1: unknown key 'relase'; did you mean 'release'?"),
        ("[[release.smoke]]\npth = '/'", "line 2: unknown key 'release.smoke.0.pth'; did you mean 'path'?"),
        ("colour = 1", "line 1: unknown key 'colour'; known here: site, slots"),
        ("root = 'x'", "line 1: unknown key 'root'"),
    ],
)
def test_the_error_of_an_unknown_key_names_the_nearest_known_key(path: Path, text: str, complaint: str) -> None:
    assert complaint in refused(path, text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[release\nbake = 5", "line 1"),
        ("x = " + "[" * 50_000, "not valid TOML"),
        ("x = " + "1" * 5_000, "not valid TOML"),
        ("\x00", "not valid TOML"),
    ],
)
def test_a_file_that_is_not_toml_is_a_settings_error(path: Path, text: str, complaint: str) -> None:
    assert complaint in refused(path, text)


def test_the_error_of_a_missing_file_names_the_option_for_another(path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no") as caught:
        load_settings(path, environment={})
    assert "--site" in caught.value.remedy


def test_a_file_in_another_encoding_is_a_settings_error(path: Path) -> None:
    path.write_bytes(b"[site]\nname = '\xff'\n")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(path, environment={})


def test_the_command_line_overrides_the_environment_overrides_the_file(path: Path) -> None:
    text, environment = (
        "[release]\nbake = 1\ndrain = 1\nretain = 1",
        {
            "CAKRAVIA_RELEASE_BAKE": "2",
            "CAKRAVIA_RELEASE_DRAIN": "2",
        },
    )
    release = loaded(path, text, environment, ("release.bake", "3")).release
    assert (release.bake, release.drain, release.retain) == (3, 2, 1)


def test_every_section_can_be_set_from_the_environment(path: Path) -> None:
    names = {
        "CAKRAVIA_SITE_NAME": "shop",
        "CAKRAVIA_TRAFFIC_RATE": "50",
        "CAKRAVIA_SLOTS_MEMORY_LIMIT": "536870912",
        "CAKRAVIA_PROXY_FAILOVER": "false",
        "CAKRAVIA_APP_COMMAND": '["run", "it"]',
        "CAKRAVIA_CONTRACT_LIVE": "",
    }
    site = loaded(path, "", names)
    assert (site.site.name, site.traffic.rate, site.slots.memory_bytes) == ("shop", 50, 2**29)
    assert (site.proxy.failover, site.app.command) == (False, ("run", "it"))
    assert "live" not in site.contract.endpoints


@pytest.mark.parametrize("name", ["CAKRAVIA_TRAFFIC_PLAN", "CAKRAVIA_TEST_DOCKER", "CAKRAVIA_CI_BASE", "HOME"])
def test_variables_that_are_not_settings_are_ignored(path: Path, name: str) -> None:
    loaded(path, "", {name: "anything"})


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("CAKRAVIA_RELEASE_BAKE", "ten", "environment variable CAKRAVIA_RELEASE_BAKE: release.bake"),
        ("CAKRAVIA_RELEASE_BAKES", "1", "environment variable CAKRAVIA_RELEASE_BAKES: unknown key"),
        ("CAKRAVIA_RELEASE_BAKE", "1\nx = 2", "environment variable CAKRAVIA_RELEASE_BAKE: release.bake"),
        ("CAKRAVIA_FOO", "1", "environment variable CAKRAVIA_FOO: unknown key 'foo'"),
        ("CAKRAVIA_RELEASE", "1", "environment variable CAKRAVIA_RELEASE: release"),
        ("CAKRAVIA_ROOT", "/", "environment variable CAKRAVIA_ROOT: unknown key 'root'"),
    ],
)
def test_the_error_of_a_wrong_variable_names_the_variable(path: Path, name: str, value: str, complaint: str) -> None:
    assert complaint in refused(path, "[release]\nretain = 5", {name: value})


def test_the_error_of_a_wrong_option_names_the_command_line(path: Path) -> None:
    assert "command line, release.bake" in refused(path, "[release]\nbake = 5", {}, ("release.bake", -1))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[slots]\nblue = 3000\ngreen = 3000", "line 1: slots: blue and green need different ports"),
        (
            "[proxy]\nlisten = '127.0.0.1:3001'",
            "line 2: proxy.listen: [proxy] listen and the slots need different ports",
        ),
        ("[proxy]\nlisten = '127.0.0.1:70000'", "not between 1 and 65535"),
        ("[proxy]\nlisten = 'x; evil:80'", "proxy.listen"),
        ("[proxy]\nlisten = 5", "line 2: proxy.listen: write an address such as"),
        ("[proxy]\nlisten = []", "line 2: proxy.listen: write an address such as"),
        ("[proxy]\nlisten = ['127.0.0.1:8080', 'x']", "line 2: proxy.listen: 'x' lacks a port"),
        ("[proxy]\nlisten = ['127.0.0.1:80', '127.0.0.1:80']", "is named twice"),
        ("[proxy]\nlisten = ['127.0.0.1:8080', '127.0.0.1:3001']", "listen and the slots need different ports"),
        ("[proxy]\nredirects = [{ from = 'http', to = 'https', zzz = 1 }]", "known here: from, to, status"),
        ("[slots]\nhost = 'x;} evil {'", "slots.host"),
        ("[slots]\nmemory_limit = '0'", "memory_limit"),
        ("[slots]\nmemory_limit = '512'", "memory_limit"),
        ("[slots]\nmemory_limit = '99999999999999G'", "memory_limit"),
        ("[contract]\nhealth = 'api/health'", "contract.health"),
        ("[contract]\nhealth = '@evil.example/'", "contract.health"),
        ("[contract]\nhealth=''\nready=''\nlive=''\nstatus=''", "at least one of"),
        ("[contract]\nhealthy_codes = []", "healthy_codes"),
        ("[contract]\nhealthy_codes = [0]", "healthy_codes"),
        ("[[release.smoke]]\nexpect = []", "expect"),
        ("[[traffic.mix]]\nname = 'x'", 'need profile = "custom"'),
        ("[traffic]\nprofile = 'custom'", "needs at least one"),
        ("[app]\ncommand = []", "app.command"),
        ("[release]\nbake = true", "release.bake"),
        ("[release]\nbake = inf", "release.bake"),
        ("[health]\ninterval = nan", "health.interval"),
    ],
)
def test_settings_that_cannot_work_are_refused(path: Path, text: str, complaint: str) -> None:
    assert complaint in refused(path, text)


@pytest.mark.parametrize(
    "text",
    [
        "errors = 1.0",
        "errors = 0.9",
        "errors = -0.1",
        "errors = nan",
        "lost = -1",
        "lost = 200",
        "lost = 5\nmin_requests = 5",
        "duplicated = 1000000",
        "p99 = 0",
        "p99 = inf",
        "p99 = nan",
        "min_requests = 0",
        "min_rate_held = 0.1",
        "min_rate_held = nan",
        "min_rate_held = 1.5",
        "lost = true",
        "lost = '0'",
    ],
)
def test_a_budget_that_would_let_anything_pass_is_refused(path: Path, text: str) -> None:
    assert "budget" in refused(path, f"[budget]\n{text}")


@pytest.mark.parametrize("version", ["v1.2.0", "1", "2024-01-01_x+y", "a" * 128])
def test_a_valid_version_is_unchanged(version: str) -> None:
    assert checked_version(version) == version


@pytest.mark.parametrize(
    "version",
    ["", " ", "-v1", ".hidden", "../../etc", "v1/2", "v1\n", "v1 ", "v\x00", "é", "a" * 129, "$(id)", "'", "v1\u202e"],
)
def test_a_version_unsafe_in_paths_or_pages_is_refused(version: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked_version(version)
    assert caught.value.remedy
    assert len(caught.value.message) < 200


keys = st.sampled_from([
    "site.name", "slots.blue", "slots.host", "slots.memory_limit", "proxy.listen", "proxy.keepalive_min",
    "app.command", "app.environment", "contract.health", "health.timeout", "release.smoke", "release.bake",
    "traffic.mix", "traffic.rate", "budget.errors", "budget.min_requests", "nonsense", "site", "release",
])  # fmt: skip
toml_values = st.one_of(
    st.integers().map(str),
    st.floats().map(lambda number: f"{number:f}" if number == number and abs(number) < 1e300 else "nan"),
    st.sampled_from(["true", "inf", "-inf", "nan", "[]", "[[]]", "{}", "{a=1}", "1979-05-27", "07:32:00", '"x"', "''"]),
    st.text(st.characters(codec="utf-8", exclude_characters="'\n\r"), max_size=20).map(lambda text: f"'{text}'"),
)
lines = st.builds("{} = {}".format, keys, toml_values)
documents = st.one_of(st.text(max_size=60), st.lists(lines, max_size=4).map("\n".join))


def complaint_of(path: Path, environment: dict[str, str]) -> SettingsError | None:
    try:
        load_settings(path, environment=environment)
    except SettingsError as error:
        return error
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(documents)
def test_any_text_loads_or_is_a_settings_error(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    complaint = complaint_of(path, {})
    assert complaint is None or (complaint.remedy and str(path) in complaint.message)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(keys, st.one_of(toml_values, st.text(max_size=20)))
def test_any_variable_loads_or_is_a_settings_error(path: Path, key: str, value: str) -> None:
    path.write_text("")
    name = "CAKRAVIA_" + key.upper().replace(".", "_")
    complaint = complaint_of(path, {name: value})
    assert complaint is None or name in complaint.message


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("8080", "lacks a port"),
        (":8080", "lacks an address"),
        ("::1:8080", "an IPv6 address without brackets"),
        ("[::1]", "an IPv6 address without brackets or without a port"),
        ("[::g]:8080", "'::g' is no IPv6 address"),
        ("[fe80::1%eth0]:8080", "names an interface"),
        ("127.0.0.1:http", "the port 'http'"),
        ("127.0.0.1:70000", "between 1 and 65535"),
        ("*:8080", "write 0.0.0.0 or [::]"),
        ("unix:/run/shop.sock", "is a unix socket"),
        ("a b;:8080", "the address 'a b;'"),
    ],
)
@pytest.mark.parametrize("key", ["listen", "tls_listen"])
def test_an_address_that_is_none_is_told_in_words(path: Path, key: str, listen: str, told: str) -> None:
    assert told in refused(path, f'[proxy]\n{key} = "{listen}"')


@pytest.mark.parametrize(
    ("host", "shown"),
    [("::1", "[::1]:3000"), ("[::1]", "[::1]:3000"), ("localhost", "127.0.0.1:3000"), ("10.0.0.7", "10.0.0.7:3000")],
)
def test_slots_listen_on_one_address(path: Path, host: str, shown: str) -> None:
    address = loaded(path, f'[slots]\nhost = "{host}"').slot_address(Colour.BLUE)
    assert (str(address), address.url) == (shown, f"http://{shown}")


def test_a_host_of_slots_with_a_port_is_told_in_words(path: Path) -> None:
    assert "is no IPv6 address" in refused(path, '[slots]\nhost = "127.0.0.1:3000"')
