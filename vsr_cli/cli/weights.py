"""`vsr weights`: what is installed, and whether it is whole."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.cli.console import say, say_json, user_errors
from vsr_cli.cli.options import AsJson
from vsr_cli.errors import WeightsError

weights_app = typer.Typer(
    help="Show and check the weights that came with vsr.", no_args_is_help=True
)


@weights_app.command("list")
def list_weights(*, as_json: AsJson = False) -> None:
    """List the shipped files with size and sha256."""
    with user_errors(as_json=as_json):
        from vsr_cli.models.files import sha256

        for path in _shipped():
            digest, size = sha256(path), path.stat().st_size
            if as_json:
                say_json("weights", {"file": path, "bytes": size, "sha256": digest})
            else:
                typer.echo(f"{path.name}  {size / 1e6:.1f} MB  {digest}")


@weights_app.command("verify")
def verify_weights(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Weights files.", show_default="the shipped ones"),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Load weights as `upscale` would: digest, names, shapes and values."""
    with user_errors(as_json=as_json):
        from vsr_cli.models.files import sha256
        from vsr_cli.models.weights import load_weights  # loads torch; keeps --help instant

        for path in files or _shipped():
            load_weights(path)
            say(f"`{path}` is whole")
            if as_json:
                say_json("verified", {"file": path, "sha256": sha256(path)})


def _shipped() -> list[Path]:
    """The weights files of this installation.

    Raises:
        WeightsError: there is none.
    """
    from vsr_cli.models.files import weights_dir

    paths = sorted(weights_dir().glob("*.safetensors"))
    if not paths:
        raise WeightsError(
            "no weights are installed",
            why=f"`{weights_dir()}` has no `.safetensors` file",
            hint="install vsr again; nothing is ever downloaded at run time",
        )
    return paths
