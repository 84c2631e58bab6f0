"""The section [budget]: what users are permitted to suffer, and how much evidence a verdict needs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cakravia_verify.settings.section import Seconds, Section


class BudgetSettings(Section):
    """Limits for loss, errors and latency. Latencies are in seconds from the planned send time."""

    lost: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    duplicated: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    broken_pages: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    left_open: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    errors: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.0
    p99: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 2.5
    min_requests: Annotated[int, Field(ge=1)] = 200
    min_each: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    min_rate_held: Annotated[float, Field(ge=0.5, le=1)] = 0.99
    judge: Literal["require", "inform"] = "inform"
    judge_warm_up: Seconds = 1.0
    content: Literal["require", "inform"] = "require"
    growth: Literal["require", "inform"] = "inform"

    @model_validator(mode="after")
    def _leaves_something_to_judge(self) -> BudgetSettings:
        for name in ("lost", "duplicated"):
            if (allowed := getattr(self, name)) >= self.min_requests:
                raise ValueError(
                    f"{name} = {allowed} would permit it for all of min_requests = {self.min_requests} requests; "
                    f"set {name} lower than min_requests"
                )
        return self
