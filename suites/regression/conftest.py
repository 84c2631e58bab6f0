"""A session over this suite releases, breaks and mends a copy of the site for a while."""


def pytest_cakravia_kind() -> str:
    return "regression"
