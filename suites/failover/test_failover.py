"""What users see when a part of the site dies, held against the table of docs/FAILOVER.md."""

from cakravia_verify.api import CellResult


def test_users_lose_no_more_than_the_table_permits(cell: CellResult) -> None:
    assert not cell.problems, "; ".join(cell.problems)
