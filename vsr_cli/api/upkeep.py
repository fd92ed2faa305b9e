"""What lies on disk between jobs, unfinished ones and weights, and what the machine has."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vsr_cli.events import Done, Finding, Report, ignore
from vsr_cli.option_types import as_list
from vsr_cli.options import PathLike

if TYPE_CHECKING:
    from vsr_cli.models.files import InstalledWeights
    from vsr_cli.models.imports import ImportedWeights
    from vsr_cli.pipeline.restorers.catalog import WeightsInfo
    from vsr_cli.pipeline.resume.job import FoundJob
    from vsr_cli.pipeline.resume.unit_listing import FoundUnit


def find_jobs(
    folders: PathLike | Iterable[PathLike] = (".",), *, recursive: bool = False
) -> "list[FoundJob]":
    """Find unfinished jobs: what is done of each, and what it takes on disk.

    Args:
        folders: where to look.
        recursive: whether to look into folders within folders, too.

    Raises:
        InputError: a folder cannot be read.
    """
    from vsr_cli.pipeline.resume import job

    return job.find_jobs([Path(folder) for folder in as_list(folders)], recursive=recursive)


def find_units(target: PathLike, *, job_dir: PathLike | None = None) -> "list[FoundUnit]":
    """Find out how far the units of a shared job are, whoever is at work on it.

    Args:
        target: of the job.
        job_dir: where unfinished jobs lie; None: beside the target.

    Raises:
        OutputError: there is no such job, or it is not shared.
    """
    from vsr_cli.pipeline.resume.unit_listing import list_units
    from vsr_cli.pipeline.units.joining import read_shared

    folder, manifest = read_shared(Path(target), None if job_dir is None else Path(job_dir))
    return list_units(folder, manifest)


def join_shards(
    target: PathLike, *, job_dir: PathLike | None = None, report: Report = ignore
) -> Done:
    """Make a target of the shards of a job, when all of them are done.

    Args:
        target: that each shard was given.
        job_dir: where unfinished jobs lie; None: beside the target.
        report: receives notes.

    Raises:
        OutputError: a unit is missing, there is no such job, or the target cannot be written.
        VsrError: as `upscale`.
    """
    from vsr_cli.pipeline.units.joining import join

    return join(Path(target), None if job_dir is None else Path(job_dir), report)


def remove_job(folder: PathLike) -> bool:
    """Remove an unfinished job, unless it is at work; what it had done is lost.

    Args:
        folder: `FoundJob.folder`.

    Returns:
        Whether it is gone.

    Raises:
        InputError: there is no job.
    """
    from vsr_cli.pipeline.resume import folder as job_folder

    return job_folder.remove_job(Path(folder))


def list_weights() -> "list[InstalledWeights]":
    """List the shipped and the imported weights with size and digest.

    Raises:
        WeightsError: there is none, or one cannot be read.
    """
    from vsr_cli.models import files

    return files.list_weights()


def describe_weights(name: PathLike) -> "WeightsInfo":
    """Say what a file of weights holds, under which licence, and what memory it needs.

    Args:
        name: of `list_weights`, or a file.

    Raises:
        WeightsError: there is no such model, or the file is damaged.
    """
    from vsr_cli.pipeline.restorers import catalog

    return catalog.describe_weights(str(name))


def verify_weights(name: PathLike) -> str:
    """Load weights as `upscale` would, and return the file's sha256.

    Args:
        name: of `list_weights`, or a file.

    Raises:
        WeightsError: digest, names, shapes or values are not what they should be.
    """
    from vsr_cli.pipeline.restorers import catalog

    return catalog.verify_weights(str(name))


def import_weights(
    checkpoints: PathLike | Sequence[PathLike],
    *,
    name: str | None = None,
    text: PathLike | None = None,
    flow: PathLike | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    overwrite: bool = False,
    ignore_unknown: bool = False,
    report: Report = ignore,
) -> "ImportedWeights":
    """Convert the published checkpoints of MGLD-VSR or SeedVR2; nothing that they contain is run.

    Args:
        checkpoints: of the denoiser and of the autoencoder, in any order; they tell the family.
            None at all: `flow` is added to an MGLD-VSR that was imported before.
        name: how to call the model, which goes to the user's folder of weights; None: its family.
        text: of MGLD-VSR OpenCLIP's or Stable Diffusion 2.1's file, where the U-Net's has no text
            encoder; of SeedVR2 `pos_emb.pt`.
        flow: `raft-things.pth`, where MGLD-VSR's U-Net has no RAFT in its file.
        dtype: number format of the result.
        overwrite: whether a model of that name is replaced.
        ignore_unknown: whether tensors of the networks that are not known are left out and named;
            else they are refused. What is beside the networks is always left out.
        report: receives progress, in tensors.

    Raises:
        ConfigError: `name` is no name of a file, or the model takes no flow.
        WeightsError: a file is not what it should be; what is wrong is named.
        OutputError: a model of that name exists, or it cannot be written.
    """
    from vsr_cli.models.published import import_checkpoints

    return import_checkpoints(
        [Path(path) for path in as_list(checkpoints)],
        name,
        text=None if text is None else Path(text),
        flow=None if flow is None else Path(flow),
        half=dtype == "float16",
        overwrite=overwrite,
        ignore_unknown=ignore_unknown,
        report=report,
    )


def download_weights(
    name: str,
    *,
    accept_license: bool = False,
    keep: bool = False,
    overwrite: bool = False,
    report: Report = ignore,
) -> "ImportedWeights":
    """Fetch the files of a published model from Hugging Face, and import them.

    Nothing else in this package ever opens a connection. What was cut off goes on with the next
    call. `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` are honoured.

    Args:
        name: `seedvr2` or `mgld`.
        accept_license: whether the model's licence has been read and accepted.
        keep: whether the fetched files are kept beside what is made of them.
        overwrite: whether a model of that name is replaced.
        report: receives progress, in megabytes and then in tensors.

    Raises:
        ConfigError: the licence is not accepted, or `huggingface_hub` is not installed.
        WeightsError: a file cannot be fetched, or is not what was published.
        OutputError: a model of that name exists, or there is too little room.
    """
    from vsr_cli.models.download import download_model

    return download_model(
        name, accepts_license=accept_license, keep=keep, overwrite=overwrite, report=report
    )


def doctor(*, quick: bool = False, verbose: bool = False) -> list[Finding]:
    """Look at all that jobs need of this machine: libraries, devices, weights, encoders, folders.

    Nothing is changed, and nothing is fetched. What a job could not do without is a finding whose
    `state` is `fail`.

    Args:
        quick: whether to do without a job of four frames.
        verbose: whether folders are named, which may tell who the user is.
    """
    try:
        from vsr_cli.pipeline.doctor import examine
    except (ImportError, OSError) as error:  # torch or PyAV, or what they bring, does not load
        name = getattr(error, "name", None) or "a library"
        text = f"{name} does not load: {' '.join(str(error).split())}"
        return [Finding(subject="Python", state="fail", text=text, hint="install vsr again")]
    return examine(has_job=not quick, has_names=verbose)
