"""A session over this suite tries faults on a copy of the site."""


def pytest_cakravia_kind() -> str:
    return "failover"
