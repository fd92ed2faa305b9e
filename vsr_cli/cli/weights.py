"""`vsr weights`: what is installed, whether it is whole, and how published models get here."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from vsr_cli.cli.console import print_line, print_result
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json, write_event
from vsr_cli.cli.options import AsJson, Quiet
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.errors import ConfigError, WeightsError

weights_app = typer.Typer(
    help="Show and check weights, and import published ones.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `list`, or a file.")]


@weights_app.command("list")
def list_weights(*, as_json: AsJson = False) -> None:
    """List shipped and imported weights with size and sha256."""
    with report_failures(as_json=as_json):
        from vsr_cli.digest import sha256
        from vsr_cli.models.files import recorded_digest

        for path in _installed():
            digest, size = recorded_digest(path) or sha256(path), path.stat().st_size
            if as_json:
                values = {"name": path.stem, "file": path, "bytes": size, "sha256": digest}
                write_event("weights", values)
            else:
                print_result(f"{path.name}  {size / 1e6:.1f} MB  {digest}")


@weights_app.command("info")
def show_weights(name: Name, *, as_json: AsJson = False) -> None:
    """Say what a weights file holds, under which licence, and what memory it needs."""
    with report_failures(as_json=as_json):
        from vsr_cli.models.files import find_weights, read_header

        path = find_weights(name)
        header = read_header(path)
        values: dict[str, object] = {
            "name": path.stem,
            "file": path,
            "bytes": path.stat().st_size,
            "family": header.metadata.get("family", "unknown"),
            "tensors": len(header.num_values),
            "parameters": sum(header.num_values.values()),
            "license": header.metadata.get("license", "Apache-2.0: shipped with vsr"),
        }
        if "sources" in header.metadata:
            values["sources"] = json.loads(header.metadata["sources"])
        if values["family"] == "mgld":
            from vsr_cli.models.mgld.config import read_config
            from vsr_cli.pipeline.restorers.mgld.memory import describe_needs  # loads torch

            values["memory"] = describe_needs(header, read_config(path, header.metadata))
        if as_json:
            write_event("weights", values)
            return
        for key, value in values.items():
            lines = value if isinstance(value, list) else [value]
            for line in lines:
                print_result(f"{key:<11} {line}")


@weights_app.command("path")
def show_path(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A name of `list`.", show_default=False)
    ] = None,
) -> None:
    """Print the file of a name, or the folder that imported weights go to."""
    with report_failures():
        from vsr_cli.models.files import find_weights, user_weights_dir

        print_result(str(user_weights_dir() if name is None else find_weights(name)))


@weights_app.command("verify")
def verify_weights(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Names of `list`, or files.", show_default="all"),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Load weights as `upscale` would: digest, names, shapes and values."""
    with report_failures(as_json=as_json):
        from vsr_cli.digest import sha256
        from vsr_cli.models.files import find_weights
        from vsr_cli.pipeline.restorers.registry import ModelFile

        for path in [find_weights(name) for name in names or ()] or _installed():
            ModelFile(path).model  # noqa: B018
            print_line(f"`{path}` is whole")
            if as_json:
                write_event("verified", {"file": path, "sha256": sha256(path)})


@weights_app.command("import")
def import_weights(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            readable=False,
            metavar="FILE FILE",
            help="The published checkpoints, `mgldvsr_unet.ckpt` and `video_vae_cfw.ckpt`.",
        ),
    ],
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="How to call the model.")] = "mgld",
    text: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="OpenCLIP's or Stable Diffusion 2.1's file, if the U-Net's has no text encoder.",
        ),
    ] = None,
    flow: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="`raft-things.pth`, if the U-Net's file has no RAFT.",
        ),
    ] = None,
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option(help="Number format of the result.")
    ] = "float16",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace a model of that name.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Convert published MGLD-VSR checkpoints; then `vsr upscale --model mgld` uses them.

    Nothing is downloaded, and nothing that the files contain is run. Mind their licences.
    """
    with report_failures(as_json=as_json):
        if not name or Path(name).name != name:
            raise ConfigError(f"`--name {name}` is no name", hint="use letters and digits")
        from vsr_cli.models.files import SUFFIX, user_weights_dir
        from vsr_cli.models.mgld.convert import LICENCE, import_published

        with progress_bar(quiet=quiet) as render:
            done = import_published(
                checkpoints,
                user_weights_dir() / f"{name}{SUFFIX}",
                text=text,
                flow=flow,
                half=dtype == "float16",
                overwrite=overwrite,
                report=tee(render, report_as_json) if as_json else render,
            )
        if not quiet:
            for line in (*done.findings, LICENCE):
                print_line(line)
            size = done.num_bytes / 1e9
            print_line(f"wrote `{done.path}`: {done.num_tensors} tensors, {size:.2f} GB")
        if as_json:
            values = {
                "name": name,
                "file": done.path,
                "bytes": done.num_bytes,
                "tensors": done.num_tensors,
                "findings": done.findings,
                "license": LICENCE,
            }
            write_event("imported", values)


def _installed() -> list[Path]:
    """The weights files of this installation and of the user.

    Raises:
        WeightsError: there is none.
    """
    from vsr_cli.models.files import installed_weights, weights_dir

    paths = installed_weights()
    if not paths:
        raise WeightsError(
            "no weights are installed",
            why=f"`{weights_dir()}` has no `.safetensors` file",
            hint="install vsr again; nothing is ever downloaded at run time",
        )
    return paths
