"""The CI job that acts, by the variables of its system."""

from __future__ import annotations

import pytest

from cakravia_verify.system.users import ci_job, run_url


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        pytest.param(
            {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7"},
            "https://github.com/a/b/actions/runs/7",
            id="GitHub",
        ),
        pytest.param({"CI_JOB_URL": "https://gitlab.com/a/-/jobs/7"}, "https://gitlab.com/a/-/jobs/7", id="GitLab"),
        pytest.param({"BUILD_URL": "https://jenkins/job/7/"}, "https://jenkins/job/7/", id="Jenkins"),
        pytest.param({"GITHUB_SERVER_URL": "https://github.com", "GITHUB_RUN_ID": ""}, "", id="incomplete"),
        pytest.param({}, "", id="no CI"),
    ],
)
def test_the_url_of_a_ci_job_is_found(environment: dict[str, str], url: str) -> None:
    assert run_url(environment) == url


def test_two_runners_of_one_pipeline_are_told_apart() -> None:
    job = {"CI_JOB_URL": "https://gitlab.com/a/-/jobs/7"}
    assert ci_job(job | {"CI_RUNNER_DESCRIPTION": "big"}) == "https://gitlab.com/a/-/jobs/7, runner big"
    assert ci_job({"RUNNER_NAME": "a\n::error::b"}) == "runner a ::error::b"
    assert ci_job(job) == run_url(job)
    assert ci_job({}) == ""
