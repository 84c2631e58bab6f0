"""A page as axe sees it in a real browser."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.report.conftest import Browser

LIGHT, DARK = (f"--blink-settings=preferredColorScheme={number}" for number in (1, 0))
REPORT = "document.body.dataset.found = found.violations.map((each) => each.id).join(' ') || 'none'"


def violations(browser: Browser, page: str, folder: Path, *, scheme: str) -> str:
    """Return the ids of what axe finds wrong with the page, 'none' if there is nothing."""
    axe = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    file = folder / "page.html"
    # After the page's own scripts.
    run = f"addEventListener('load', () => axe.run().then((found) => {{ {REPORT} }}))"
    file.write_text(page.replace("</body>", f"<script>{axe}\n{run}</script></body>"))
    dom = browser.run(file, "--dump-dom", "--virtual-time-budget=5000", scheme).stdout
    found = re.search('data-found="([^"]*)"', dom)
    assert found is not None
    return found[1]
