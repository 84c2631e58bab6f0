"""`python -m cakravia_verify.cli` is the command `cakravia`."""

from __future__ import annotations

from cakravia_verify.cli.main import main

main()
