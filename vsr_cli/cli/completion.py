"""`vsr completion`: what a shell needs to complete words of `vsr`, of whatever shell one has."""

from typing import Annotated, Literal

import typer

from vsr_cli.cli.console import print_result
from vsr_cli.cli.failures import report_failures

# As `_vsr` in a folder of `fpath` the script runs when a word is completed for the first time, and
# would only declare what completes later ones.
_ZSH_AUTOLOADED = '[[ "${funcstack[1]}" != _vsr ]] || _vsr_completion "$@"'

Shell = Literal["bash", "zsh", "fish", "powershell"]


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.")],
) -> None:
    """Print what SHELL needs to complete words, to be put where it looks for that."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    with report_failures():
        script = get_completion_script(prog_name="vsr", complete_var="_VSR_COMPLETE", shell=shell)
        print_result(f"{script}\n\n{_ZSH_AUTOLOADED}" if shell == "zsh" else script)
