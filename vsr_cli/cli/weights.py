"""`vsr weights`: what is installed, whether it is whole, and how published models get here."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vsr_cli import api
from vsr_cli.cli.console import print_line, print_result
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.help import App
from vsr_cli.cli.json_events import report_as_json, write_event
from vsr_cli.cli.options import AsJson, Quiet
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.counting import counted

if TYPE_CHECKING:
    from vsr_cli.models.imports import ImportedWeights

weights_app = App(
    help="Show and check weights, and fetch or import published ones.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `list`, or a file.")]


@weights_app.command("list")
def list_weights(*, as_json: AsJson = False) -> None:
    """List shipped and imported weights with size and sha256."""
    with report_failures(as_json=as_json):
        for weights in api.list_weights():
            if as_json:
                values = {
                    "name": weights.name,
                    "file": weights.file,
                    "bytes": weights.num_bytes,
                    "sha256": weights.sha256,
                }
                write_event("weights", values)
            else:
                size = f"{weights.num_bytes / 1e6:.1f} MB"
                print_result(f"{weights.file.name}  {size}  {weights.sha256}")


@weights_app.command("info")
def show_weights(name: Name, *, as_json: AsJson = False) -> None:
    """Say what a weights file holds, under which licence, and what memory it needs."""
    with report_failures(as_json=as_json):
        info = api.describe_weights(name)
        values: dict[str, object] = {
            "name": info.name,
            "file": info.file,
            "bytes": info.num_bytes,
            "family": info.family,
            "tensors": info.num_tensors,
            "parameters": info.num_parameters,
            "license": info.license,
        }
        if info.sources:
            values["sources"] = list(info.sources)
        if info.memory:
            values["memory"] = list(info.memory)
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
        typer.Argument(metavar="NAME", help="Names of `list`, or files.", show_default="all"),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Load weights as `upscale` would: digest, names, shapes and values."""
    with report_failures(as_json=as_json):
        for weights in names or [str(weights.file) for weights in api.list_weights()]:
            digest, file = api.verify_weights(weights), api.describe_weights(weights).file
            print_line(f"`{file}` is whole")
            if as_json:
                write_event("verified", {"file": file, "sha256": digest})


@weights_app.command("import")
def import_weights(
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(
            readable=False,
            metavar="FILE FILE",
            show_default=False,
            help="The published checkpoints: of SeedVR2 `seedvr2_ema_3b_fp16.safetensors` and "
            "`ema_vae_fp16.safetensors`, of MGLD-VSR `mgldvsr_unet.ckpt` and `video_vae_cfw.ckpt`.",
        ),
    ] = None,
    *,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="How to call the model.", show_default="its family"),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="SeedVR2's `pos_emb.pt`; or OpenCLIP's or Stable Diffusion 2.1's file, if "
            "MGLD-VSR's U-Net has no text encoder.",
        ),
    ] = None,
    flow: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="`raft-things.pth`, which MGLD-VSR was trained with; without other files it is "
            "added to the model that was imported before.",
        ),
    ] = None,
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option(help="Number format of the result.")
    ] = "float16",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace a model of that name.")
    ] = False,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Leave out unknown tensors of the networks.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Convert published checkpoints; then `vsr upscale --model seedvr2` or `mgld` uses them.

    Nothing is downloaded, and nothing that the files contain is run. Mind their licences.
    """
    with report_failures(as_json=as_json):
        with progress_bar(quiet=quiet) as render:
            done = api.import_weights(
                checkpoints or [],
                name=name,
                text=text,
                flow=flow,
                dtype=dtype,
                overwrite=overwrite,
                ignore_unknown=ignore_unknown,
                report=tee(render, report_as_json) if as_json else render,
            )
        _show_imported(done, as_json=as_json, quiet=quiet)


@weights_app.command("download")
def download_weights(
    name: Annotated[str, typer.Argument(metavar="NAME", help="`seedvr2` or `mgld`.")],
    *,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Do not ask about the licence.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the fetched files, too.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace a model of that name.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a published model from Hugging Face and import it.

    This is the only command that ever opens a connection. What was cut off goes on the next time.
    HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are honoured.
    """
    with report_failures(as_json=as_json):
        is_accepted = accept_license or _is_license_accepted(name)
        with progress_bar(quiet=quiet) as render:
            done = api.download_weights(
                name,
                accept_license=is_accepted,
                keep=keep,
                overwrite=overwrite,
                report=tee(render, report_as_json) if as_json else render,
            )
        _show_imported(done, as_json=as_json, quiet=quiet)


def _is_license_accepted(name: str) -> bool:
    """Show the licence of a model and ask, where there is somebody to ask."""
    from vsr_cli.models.hub import find_model

    model = find_model(name)
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    size = sum(file.num_bytes for file in model.files) / 1e9
    where = ", ".join(dict.fromkeys(file.repository for file in model.files))
    print_line(f"`{name}`, {size:.1f} GB of {where} on Hugging Face: {model.license}")
    return typer.confirm("accept the licence, and open a connection?", err=True)


def _show_imported(done: "ImportedWeights", *, as_json: bool, quiet: bool) -> None:
    if not quiet:
        for line in (*done.findings, done.license):
            print_line(line)
        size = done.num_bytes / 1e9
        print_line(f"wrote `{done.path}`: {counted(done.num_tensors, 'tensor')}, {size:.2f} GB")
    if as_json:
        values = {
            "name": done.path.stem,
            "file": done.path,
            "bytes": done.num_bytes,
            "tensors": done.num_tensors,
            "findings": done.findings,
            "license": done.license,
        }
        write_event("imported", values)
