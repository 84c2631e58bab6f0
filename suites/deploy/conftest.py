"""A session over this suite deploys a version."""


def pytest_cakravia_kind() -> str:
    return "deploy"
