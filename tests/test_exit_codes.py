import re
import signal
from pathlib import Path

from vsr_cli import errors
from vsr_cli.errors import VsrError
from vsr_cli.exit_codes import ExitCode

PAGE = Path(__file__).resolve().parents[1] / "docs/scripting.md"


def test_the_readme_tells_every_exit_code() -> None:
    table = PAGE.read_text().split("| exit code | meaning |")[1].split("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    told = [int(number) for row in rows for number in re.findall(r"\d+", row)]
    assert sorted(told) == sorted(ExitCode)


def test_signals_end_a_command_as_shells_expect() -> None:
    assert ExitCode.INTERRUPTED == 128 + signal.SIGINT
    assert ExitCode.BROKEN_PIPE == 128 + signal.SIGPIPE
    assert ExitCode.TERMINATED == 128 + signal.SIGTERM


def test_each_kind_of_error_has_a_code_of_its_own() -> None:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in found if issubclass(kind, VsrError)]
    codes = [kind.exit_code for kind in kinds if kind is VsrError or VsrError in kind.__bases__]
    assert len(codes) == len(set(codes)) == 8
    assert {kind.exit_code for kind in kinds} == set(codes)  # also of special cases
