"""Migrations of the orders: `python migrate.py NAME`. Each can be repeated."""

from __future__ import annotations

import os
import sys

import psycopg

MIGRATIONS = {
    "create": "CREATE TABLE IF NOT EXISTS orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)",
    "expand": "SET lock_timeout = '1s'; ALTER TABLE orders ADD COLUMN IF NOT EXISTS comment text",
    "contract": "SET lock_timeout = '1s'; ALTER TABLE orders DROP COLUMN IF EXISTS note",
    "lock": "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4); COMMIT",
}

if __name__ == "__main__":
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(MIGRATIONS[sys.argv[1]])
    print(f"migration {sys.argv[1]} ran for {os.environ['CAKRAVIA_VERSION']}")
