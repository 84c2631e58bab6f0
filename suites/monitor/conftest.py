"""A session over this suite checks the site and changes nothing."""


def pytest_cakravia_kind() -> str:
    return "check"
