"""A session over this suite brings an earlier version back."""


def pytest_cakravia_kind() -> str:
    return "rollback"
