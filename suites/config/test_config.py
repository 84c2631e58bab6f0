"""The configuration: what nginx runs, what the settings say, and what the slots are made of."""

from cakravia_verify.api import ChecksView


def test_nginx_accepts_the_configuration_in_place(configuration: ChecksView) -> None:
    configuration.require("in place")


def test_nginx_accepts_the_configuration_of_the_settings(configuration: ChecksView) -> None:
    configuration.require("rendered")


def test_the_running_nginx_has_loaded_the_file_in_place(configuration: ChecksView) -> None:
    configuration.require("loaded")


def test_the_file_in_place_is_what_the_settings_make(configuration: ChecksView) -> None:
    configuration.require("drift")


def test_the_configuration_loses_doubles_and_hides_no_request(configuration: ChecksView) -> None:
    configuration.require("rules")


def test_the_settings_fit_together(configuration: ChecksView) -> None:
    configuration.require("settings")


def test_the_compose_file_is_what_the_settings_make(configuration: ChecksView) -> None:
    configuration.require("compose file")


def test_the_slots_differ_only_in_what_must_differ(configuration: ChecksView) -> None:
    configuration.require("slots")
