"""The pipeline that releases over ssh: a workflow file for GitHub, GitLab or Forgejo."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

PLACES: Final = {
    "github": ".github/workflows/deploy.yml",
    "gitlab": ".gitlab-ci.yml",
    "forgejo": ".forgejo/workflows/deploy.yml",
}
_FOLDER: Final = Path(__file__).with_name("pipelines")
_RUNNERS: Final = {"github": "ubuntu-24.04", "forgejo": "docker"}
_UPLOADS: Final = {
    "github": "actions/upload-artifact@v4",
    "forgejo": "https://code.forgejo.org/forgejo/upload-artifact@v4",
}


def pipeline_text(kind: str) -> str:
    """Return the text of the workflow file for `github`, `gitlab` or `forgejo`."""
    # The workflows' own ${{ }} stays as it is.
    templates = Environment(
        loader=FileSystemLoader(_FOLDER),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - the text is YAML, and only ours goes in
    )
    template = templates.get_template("gitlab.yml.j2" if kind == "gitlab" else "actions.yml.j2")
    return template.render(kind=kind, runner=_RUNNERS.get(kind), upload=_UPLOADS.get(kind), script=_script)


def _script(name: str, indent: int = 10) -> str:
    return textwrap.indent((_FOLDER / name).read_text(encoding="utf-8").rstrip("\n"), " " * indent)
