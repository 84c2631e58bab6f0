"""The pipeline that releases: a workflow file of GitHub, GitLab or Forgejo that uses the tool and nothing else."""

from __future__ import annotations

from typing import Final

_ACTIONS: Final = """\
# Written by `cakravia init --ci {kind}`. A pushed tag v* is released; the runner is the machine of the site.
name: Release
on:
  push:
    tags: ["v*"]
concurrency: cakravia
jobs:
  release:
    runs-on: {runner}
    steps:
      - uses: {checkout}
      - run: pipx install 'cakravia-verify{extra}'
      - run: cakravia deploy "${{{{ github.ref_name }}}}" --wait 600
      - uses: {upload}
        if: always()
        with: {{ name: report, path: reports/latest/ }}
"""
_GITLAB: Final = """\
# Written by `cakravia init --ci gitlab`. A pushed tag v* is released; the runner is the machine of the site.
release:
  tags: [cakravia]
  rules: [{{ if: '$CI_COMMIT_TAG =~ /^v/' }}]
  resource_group: cakravia
  interruptible: false
  script:
    - pipx install 'cakravia-verify{extra}'
    - cakravia deploy "$CI_COMMIT_TAG" --wait 600
  artifacts: {{ when: always, paths: [reports/latest/], reports: {{ junit: reports/latest/junit.xml }} }}
"""
PLACES: Final = {
    "github": ".github/workflows/release.yml",
    "gitlab": ".gitlab-ci.yml",
    "forgejo": ".forgejo/workflows/release.yml",
}


def pipeline_text(kind: str, *, platform: str) -> str:
    """Return the text of the workflow file for `github`, `gitlab` or `forgejo`."""
    extra = "[embedded]" if platform == "process" else ""
    if kind == "gitlab":
        return _GITLAB.format(extra=extra)
    is_github = kind == "github"
    return _ACTIONS.format(
        kind=kind,
        extra=extra,
        runner="[self-hosted, cakravia]" if is_github else "cakravia",
        checkout="actions/checkout@v4",
        upload="actions/upload-artifact@v4" if is_github else "https://code.forgejo.org/forgejo/upload-artifact@v4",
    )
