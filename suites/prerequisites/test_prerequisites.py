"""What a release needs of this machine, this site and its settings. docs/CHECKS.md says what each check looks at."""

from cakravia_verify.api import ChecksView

# The application and what starts it.


def test_python_has_what_the_sessions_need(prerequisites: ChecksView) -> None:
    prerequisites.require("python")


def test_the_application_can_be_started(prerequisites: ChecksView) -> None:
    prerequisites.require("application")


def test_the_programs_of_hooks_are_here(prerequisites: ChecksView) -> None:
    prerequisites.require("hooks")


# Docker.


def test_ssh_reaches_the_machine_of_the_engine(prerequisites: ChecksView) -> None:
    prerequisites.require("ssh")


def test_the_engine_answers_and_can_limit_containers(prerequisites: ChecksView) -> None:
    prerequisites.require("engine")


def test_images_can_be_made_or_are_there(prerequisites: ChecksView) -> None:
    prerequisites.require("images")


def test_the_compose_file_of_the_project_can_be_read(prerequisites: ChecksView) -> None:
    prerequisites.require("compose")


# The way of users.


def test_nginx_is_new_enough_and_has_its_modules(prerequisites: ChecksView) -> None:
    prerequisites.require("nginx")


def test_ports_are_free_or_the_sites_own(prerequisites: ChecksView) -> None:
    prerequisites.require("ports")


def test_names_resolve(prerequisites: ChecksView) -> None:
    prerequisites.require("names")


def test_the_certificate_fits(prerequisites: ChecksView) -> None:
    prerequisites.require("certificate")


# Files.


def test_secrets_are_here_and_closed_to_others(prerequisites: ChecksView) -> None:
    prerequisites.require("secrets")


def test_the_state_folder_is_safe_and_lasting(prerequisites: ChecksView) -> None:
    prerequisites.require("state folder")


def test_a_report_can_be_written(prerequisites: ChecksView) -> None:
    prerequisites.require("reports folder")


def test_the_history_is_whole(prerequisites: ChecksView) -> None:
    prerequisites.require("history")


def test_nothing_of_others_is_in_the_way(prerequisites: ChecksView) -> None:
    prerequisites.require("leftovers")


# What a release measures, and with what.


def test_the_traffic_can_prove_a_release(prerequisites: ChecksView) -> None:
    prerequisites.require("traffic")


def test_the_disks_have_room(prerequisites: ChecksView) -> None:
    prerequisites.require("disk")


def test_the_memory_suffices_for_two_slots(prerequisites: ChecksView) -> None:
    prerequisites.require("memory")


def test_enough_files_can_be_open(prerequisites: ChecksView) -> None:
    prerequisites.require("open files")


def test_the_clock_is_synchronised(prerequisites: ChecksView) -> None:
    prerequisites.require("time")


def test_the_kernel_suits_a_server(prerequisites: ChecksView) -> None:
    prerequisites.require("kernel")
