"""A Locust user of somebody's own that sends nothing."""

from __future__ import annotations

from locust import User, constant, task


class Idle(User):
    wait_time = constant(1)

    @task
    def rest(self) -> None:
        return
