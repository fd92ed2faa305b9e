"""`vsr doctor`: whether this machine has what jobs need."""

import os
import shutil
import sys
from typing import Annotated

import typer

from vsr_cli import api
from vsr_cli.cli.console import print_result, printable
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import write_event
from vsr_cli.cli.options import ResultAsJson
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.events import Event, Finding, Note
from vsr_cli.exit_codes import ExitCode


def doctor(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Run no job.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name folders, which may tell who you are.")
    ] = False,
    as_json: ResultAsJson = False,
) -> None:
    """Check versions, devices, weights, encoders, folders and a job; ends with 1 if jobs fail."""
    with report_failures(verbose=verbose, as_json=as_json):
        findings = [*api.doctor(quick=quick, verbose=verbose), *_settings(verbose=verbose)]
        for finding in findings:
            _show(finding, as_json=as_json)
        _show_terminal(as_json=as_json)
        if any(finding.state == "fail" for finding in findings):
            raise typer.Exit(ExitCode.INTERNAL_ERROR)


def _show(finding: Finding, *, as_json: bool) -> None:
    _write(finding.subject, finding.state, finding.text, finding.hint, as_json=as_json)


def _settings(*, verbose: bool) -> list[Finding]:
    """Whether what is set without being typed can be read: jobs end where it cannot."""
    events = list[Event]()
    try:
        found = api.find_settings(report=events.append)
    except ConfigError as error:
        text = str(error).replace(f"`{api.config_path()}`", "the file of settings")
        if verbose and error.why:
            text += f", {error.why}"
        return [Finding(subject="settings", state="fail", text=text, hint=error.hint)]
    text = f"{counted(len(found), 'option is', 'options are')} set without being typed"
    unknown = [
        Finding(subject="settings", state="warn", text=event.text, hint="unset it")
        for event in events
        if isinstance(event, Note)
    ]
    return [Finding(subject="settings", state="ok", text=text), *unknown]


def _show_terminal(*, as_json: bool) -> None:
    """What the terminal is, which is the command line's matter alone."""
    if sys.stderr is None or not sys.stderr.isatty():
        text = "none: progress comes as plain lines"
    else:
        has_colors = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        columns = shutil.get_terminal_size().columns
        text = f"{columns} columns, {'colours' if has_colors else 'no colours'}"
    _write("terminal", "ok", text, None, as_json=as_json)


def _write(subject: str, state: str, text: str, hint: str | None, *, as_json: bool) -> None:
    if as_json:
        values = {"subject": subject, "state": state, "text": text, "hint": hint}
        write_event("finding", values)
        return
    print_result(printable(f"{state:4}  {subject}: {text}"))
    if hint:
        print_result(printable(f"      hint: {hint}"))
