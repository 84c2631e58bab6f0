"""The verdict in short: Markdown for the job summary of a pipeline, plain lines for the terminal."""

from __future__ import annotations

import re
import textwrap
from typing import Final

from cakravia_verify.analysis.content import DANGEROUS
from cakravia_verify.gate.model import CheckStatus
from cakravia_verify.report.document import ReleaseDocument
from cakravia_verify.report.switch_times import switch_seconds
from cakravia_verify.report.text.check_lines import CheckLine, check_lines
from cakravia_verify.report.text.figures import key_figures, lost_in_words, silence_in_words
from cakravia_verify.report.text.formats import one_line, seconds_in_words
from cakravia_verify.report.text.sentences import Tone, headline, tone_of, what_happened, what_to_do

_EMOJI: Final = {Tone.GOOD: "✅", Tone.BAD: "❌", Tone.UNSURE: "⚠️"}
_ALERTS: Final = {Tone.GOOD: "TIP", Tone.BAD: "CAUTION", Tone.UNSURE: "WARNING"}
_SYMBOLS: Final = {CheckStatus.PASSED: "✓", CheckStatus.FAILED: "✗", CheckStatus.UNKNOWN: "?"}
_WORDS: Final = {CheckStatus.PASSED: "passed", CheckStatus.FAILED: "FAILED", CheckStatus.UNKNOWN: "UNKNOWN"}
_COLOURS: Final = {Tone.GOOD: "32", Tone.BAD: "31", Tone.UNSURE: "33"}
_ACTIVE: Final = re.compile(r"[\\`*_\[\]<>&|~#@!$]|:(?=//)|(?<=www)\.")
_ROWS: Final = 40
_MOST_DANGERS: Final = 5
_PROBLEMS: Final = 12
# Checks that are unknown because another one failed before.
_UNKNOWN: Final = 4
# In bytes. A pipeline shows at most 1 MB for all steps of a job.
LARGEST_SUMMARY: Final = 100_000
_LEFT_OUT: Final = "A part was left out here because it is too long. The report has all of it.\n"


def job_summary(document: ReleaseDocument) -> str:
    """Return the verdict in GitHub-flavoured Markdown, for the file that GITHUB_STEP_SUMMARY names."""
    tone = tone_of(document)
    checks = check_lines(document)
    not_passed = [check for check in checks if check.standing is not CheckStatus.PASSED]
    figures = key_figures(document)
    head = [
        f"## {_EMOJI[tone]} {_quoted(headline(document))}: {_quoted(document.version)} on {_quoted(document.site)}",
        "",
        f"> [!{_ALERTS[tone]}]",
        f"> {_quoted(what_happened(document))}",
        ">",
        f"> **Next:** {_commands(what_to_do(document))}",
        "",
        f"| {' | '.join(figure.label for figure in figures)} |",
        f"|{'---|' * len(figures)}",
        f"| {' | '.join(f'**{_quoted(figure.value)}**<br>{_quoted(figure.note)}' for figure in figures)} |",
        "",
    ]
    end = [
        f"Release {_quoted(document.release)} by {_quoted(document.who or 'an unknown user')}, "
        f"{_quoted(seconds_in_words(document.seconds))}, artifact {_quoted(document.digest or 'unknown')}, "
        f"exit status {document.exit_status}.",
    ]
    parts = [head]
    if not_passed:
        parts.append(["### Checks that did not pass", "", *_table(not_passed), ""])
    for title, notes in (("Findings", document.findings), ("Drift", document.drift)):
        if notes:
            parts.append([f"### {title}", "", *(f"- {_quoted(note)}" for note in notes), ""])
    details = f"<details><summary>All {len(checks)} checks</summary>"
    parts += [[details, "", *_table(checks), "", "</details>", ""], end]
    return _bounded(["\n".join(part) + "\n" for part in parts])


def _bounded(parts: list[str]) -> str:
    """Return the parts that fit into `LARGEST_SUMMARY` bytes, in their order, with a note for each that does not."""
    room = LARGEST_SUMMARY - len(parts) * len(_LEFT_OUT)
    kept = []
    for part in parts:
        size = len(part.encode(errors="backslashreplace"))
        kept.append(part if size <= room else _LEFT_OUT)
        room -= size if size <= room else 0
    return "".join(kept)


def _table(checks: tuple[CheckLine, ...] | list[CheckLine]) -> list[str]:
    rows = [
        f"| {_SYMBOLS[check.standing]} {check.standing} | {_quoted(check.title)} | {_quoted(check.value)} "
        f"| {_quoted(check.threshold)} |"
        for check in checks[:_ROWS]
    ]
    more = [f"| | and {len(checks) - _ROWS} more | | |"] if len(checks) > _ROWS else []
    return ["| | Check | Value | Required |", "|---|---|---|---|", *rows, *more]


def _quoted(text: str) -> str:
    """Return `text` on one line, with entities for the characters that Markdown, HTML or mentions use."""
    return _ACTIVE.sub(lambda found: f"&#{ord(found.group())};", one_line(text, limit=600))


def _commands(text: str) -> str:
    """Return `text` quoted. Text between backticks becomes code."""
    parts = text.split("`")
    words = []
    for number, part in enumerate(parts):
        is_command = number % 2 and number < len(parts) - 1
        before, after = (" " if part[:1].isspace() else ""), (" " if part[-1:].isspace() else "")
        words.append(f"<code>{_quoted(part)}</code>" if is_command else f"{before}{_quoted(part)}{after}")
    return "".join(words)


def terminal_summary(document: ReleaseDocument, *, width: int, colour: bool, report: str = "") -> list[str]:
    """Return the lines that end a run on the terminal: verdict, figures, checks that did not pass, and what to do next.

    `report` names the report's place. No line is wider than `width`, except for a single long word.
    """
    room = max(width, 40)
    paint = _COLOURS[tone_of(document)]
    verdict = f" {headline(document)} "
    lines = [_painted(verdict.center(min(room, 100), "="), f"1;{paint}", colour)]
    lines += _wrapped(what_happened(document), room)
    lines += ["", *_wrapped(_figures(document), room)]
    not_passed = [check for check in check_lines(document) if check.standing is not CheckStatus.PASSED]
    if not_passed:
        lines.append("")
    elif not document.verdict.is_promote and document.verdict.why:
        # No check decided, or the deciding check passed in the end.
        lines += ["", *_wrapped(document.verdict.why, room, label="Why:    ")]
    lines += _problem_lines(not_passed, room, colour=colour)
    dangers = [finding for finding in document.findings if DANGEROUS in finding]
    lines += [line for each in dangers[:_MOST_DANGERS] for line in _wrapped(each, room, label="Finding:   ")]
    lines.append("")
    if report:
        lines += _wrapped(report, room, label="Report: ")
    lines += _wrapped(what_to_do(document), room, label="Next:   ")
    return lines


def _problem_lines(not_passed: list[CheckLine], room: int, *, colour: bool) -> list[str]:
    """Return the checks that did not pass. The first failed one stands out; what is only unknown after it is named."""
    failed = [check for check in not_passed if check.standing is CheckStatus.FAILED]
    lines: list[str] = []
    for number, check in enumerate((failed or not_passed)[:_PROBLEMS]):
        text = f"{check.title}: {check.value} (required: {check.threshold})"
        body = _wrapped(text, room, label=f"{_WORDS[check.standing]:<11}")
        hue = "33" if not failed else "31" if number else "1;31"
        # The first one is painted as a whole.
        painted = len(body) if failed and not number else 1
        lines += [_painted(line, hue, colour) for line in body[:painted]] + body[painted:]
    if (more := len(failed or not_passed) - _PROBLEMS) > 0:
        lines.append(f"... and {more} more; the report has all of them")
    unknown = [check.title for check in not_passed if failed and check.standing is CheckStatus.UNKNOWN]
    if unknown:
        rest = [f"and {len(unknown) - _UNKNOWN} more"] if len(unknown) > _UNKNOWN else []
        lines += _wrapped("; ".join([*unknown[:_UNKNOWN], *rest]), room, label=f"{_WORDS[CheckStatus.UNKNOWN]:<11}")
    return lines


def _figures(document: ReleaseDocument) -> str:
    measured = document.evidence.measured
    if measured is None:
        return f"No traffic was measured; {seconds_in_words(document.seconds)} in total"
    lost, bound = lost_in_words(measured)
    parts = [
        f"lost {lost}" + (f", {bound}" if bound else ""),
        *(
            f"{name} {value:,}"
            for name, value in (("duplicated", measured.duplicated), ("errors", measured.errors))
            if value
        ),
        *([f"old slot after the switch {measured.fence_violations:,}"] if measured.fence_violations else []),
        f"p50 {seconds_in_words(measured.p50)}",
        f"p99 {seconds_in_words(measured.p99)}",
    ]
    silence, of_one = silence_in_words(document)
    if measured.longest_gap is not None:
        parts.append(f"longest silence {silence}" + (f" ({of_one})" if of_one else ""))
    switch = switch_seconds(document)
    parts += [f"switch {seconds_in_words(switch)}"] if switch is not None else ["not switched"]
    return "; ".join([*parts, f"{seconds_in_words(document.seconds)} in total"])


def _wrapped(text: str, width: int, *, label: str = "") -> list[str]:
    lines = textwrap.wrap(one_line(text), width - len(label), break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{' ' * len(label) if number else label}{line}" for number, line in enumerate(lines)]


def _painted(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
