"""Which faults a session tries, by its command line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cakravia_verify.errors import UsageError
from cakravia_verify.faults.catalogue import fault_named
from cakravia_verify.faults.model import Moment
from cakravia_verify.runs.failover_cell import FailoverCell


def chosen_cells(config: pytest.Config, *, names: Sequence[str], moments: Sequence[Moment]) -> Sequence[FailoverCell]:
    """Return the cells of --fault and --moment; `names` and `moments` without these options.

    The faults that need a program between nginx and the slots come last: each change reloads nginx. Raises
    pytest.UsageError for an unknown name.
    """
    try:
        faults = [fault_named(name) for name in config.getoption("cakravia_faults") or names]
        chosen = [Moment(name) for name in config.getoption("cakravia_moments") or moments]
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    except ValueError as error:
        raise pytest.UsageError(f"{error}: --moment is one of {', '.join(Moment)}") from error
    ordered = sorted(faults, key=lambda fault: fault.needs_detour)
    return [FailoverCell(fault, moment) for fault in ordered for moment in chosen]
