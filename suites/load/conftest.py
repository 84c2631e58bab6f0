"""A session over this suite loads the live site and switches nothing."""


def pytest_cakravia_kind() -> str:
    return "load"
