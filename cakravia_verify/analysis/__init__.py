"""From the ledger to the numbers that the gate weighs."""
