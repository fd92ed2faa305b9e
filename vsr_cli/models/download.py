"""Fetching published weights: the only part of this package that ever opens a connection."""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_cli.digest import sha256
from vsr_cli.errors import ConfigError, OutputError, WeightsError
from vsr_cli.events import Progress, Report, ignore
from vsr_cli.models.files import SUFFIX, user_weights_dir
from vsr_cli.models.hub import HubFile, HubModel, find_model

if TYPE_CHECKING:
    from vsr_cli.models.imports import ImportedWeights

_FOLDER = "downloads"  # within that of weights
_MEGABYTE = 10**6


def download_model(
    name: str,
    *,
    accepts_license: bool = False,
    keep: bool = False,
    overwrite: bool = False,
    report: Report = ignore,
) -> "ImportedWeights":
    """Fetch the files of a published model and import them; see `vsr_cli.api.download_weights`."""
    model = find_model(name)
    if not accepts_license:
        raise ConfigError(
            f"the licence of `{name}` has not been accepted",
            why=model.license,
            hint="add `--accept-license` once you have read it",
        )
    target = user_weights_dir() / f"{name}{SUFFIX}"
    if target.exists() and not overwrite:
        raise OutputError(f"`{target}` exists", hint="use `--overwrite` to fetch it again")
    folder = user_weights_dir() / _FOLDER / name
    _require_connections(name, model)
    _require_space(folder, model)
    paths, findings = list[Path](), list[str]()
    for file in model.files:
        path, digest = _fetch_checked(file, folder, report)
        paths.append(path)
        if file.sha256 is None:
            findings.append(f"`{file.name}`: sha256 {digest}; what it should be is not known")

    from vsr_cli.models.published import import_checkpoints  # loads torch

    text = paths.pop() if model.text is not None else None
    done = import_checkpoints(paths, name, text=text, overwrite=overwrite, report=report)
    if not keep:
        for file in model.files:
            (folder / file.name).unlink(missing_ok=True)
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub's own notes
        with suppress(OSError):  # something else lies there
            folder.rmdir()
    return replace(done, findings=(*findings, *done.findings))


def _require_connections(name: str, model: HubModel) -> None:
    """Refuse to go on where the user has forbidden connections, and say what else can be done.

    Raises:
        WeightsError: `HF_HUB_OFFLINE` is set.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").lower() not in ("1", "on", "yes", "true"):
        return
    files = "; ".join(
        f"`{file.name}` of `{file.repository}`, sha256 {file.sha256 or 'not known'}"
        for file in model.files
    )
    text = f" --text {model.text.name}" if model.text else ""
    command = " ".join(file.name for file in model.checkpoints)
    raise WeightsError(
        f"`{name}` is not fetched: HF_HUB_OFFLINE is set",
        why=f"its files, by hand from huggingface.co: {files}",
        hint=f"`vsr weights import {command}{text} --name {name}`",
    )


def _require_space(folder: Path, model: HubModel) -> None:
    """Refuse to begin what will not fit.

    Raises:
        OutputError: there is no room, or no folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"`{folder}` cannot be written",
            why=str(error),
            hint="set VSR_WEIGHTS_DIR to another folder",
        ) from error
    needed = max(0, sum(file.num_bytes for file in model.files) - there) + model.imported_bytes
    if needed > free:
        raise OutputError(
            f"there is too little room in `{folder}`",
            why=f"{needed / 1e9:.1f} GB are needed for a while, {free / 1e9:.1f} GB are free",
            hint="free space, or set VSR_WEIGHTS_DIR to another folder",
        )


def _fetch_checked(file: HubFile, folder: Path, report: Report) -> tuple[Path, str]:
    """A file as it was published, and its digest; what is there already is not fetched again.

    Raises:
        WeightsError: it cannot be had, or is another one.
    """
    path = folder / file.name
    if not (path.is_file() and file.sha256 is not None and sha256(path) == file.sha256):
        path = fetch(file, folder, report)
    found = sha256(path)
    if file.sha256 is not None and found != file.sha256:
        path.unlink()
        raise WeightsError(
            f"`{file.name}` is not what was published",
            why=f"its sha256 is {found}, and should be {file.sha256}",
            hint="try again; if it stays so, do not use it",
        )
    return path, found


def fetch(file: HubFile, folder: Path, report: Report) -> Path:
    """Fetch a file from Hugging Face, going on where an earlier try was cut off.

    `HF_ENDPOINT` and `HF_TOKEN` are honoured.

    Raises:
        ConfigError: the library for it is not installed.
        WeightsError: it cannot be had.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError as error:
        raise ConfigError(
            "fetching weights needs `huggingface_hub`",
            hint="`pip install huggingface_hub`, or fetch the files by hand for "
            "`vsr weights import`",
        ) from error
    # What the library for connections raises, which differs from one version to the next.
    failures: tuple[type[BaseException], ...] = (*HfHubHTTPError.__bases__, OSError, RuntimeError)
    where = f"`{file.name}` of `{file.repository}`"
    try:
        found = hf_hub_download(
            file.repository,
            file.name,
            revision=file.revision,
            local_dir=folder,
            endpoint=os.environ.get("HF_ENDPOINT") or None,
            tqdm_class=_meter(file, report),
        )
    except LocalEntryNotFoundError as error:
        raise _cut_off(where, error) from error
    except (EntryNotFoundError, RepositoryNotFoundError) as error:
        raise WeightsError(
            f"{where} is not there any more",
            why=_first_line(error),
            hint="fetch it elsewhere, and use `vsr weights import`",
        ) from error
    except failures as error:
        raise _cut_off(where, error) from error
    return Path(found)


def _cut_off(where: str, error: BaseException) -> WeightsError:
    return WeightsError(
        f"{where} could not be fetched",
        why=_first_line(error),
        hint="the same command goes on where it was cut off",
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _meter(file: HubFile, report: Report) -> type:
    """What the library tells its progress; it draws nothing."""
    from huggingface_hub.utils.tqdm import tqdm

    class Meter(tqdm):
        """Counts bytes, and reports them."""

        def __init__(self, *args: object, **options: object) -> None:
            quiet = options | {"disable": True}
            super().__init__(*args, **quiet)  # type: ignore[no-untyped-call]
            initial = options.get("initial")
            self.num_bytes = initial if isinstance(initial, int) else 0
            self.started = time.monotonic()

        def update(self, n: float | None = 1) -> bool | None:
            self.num_bytes += int(n or 0)
            report(
                Progress(
                    stage=f"download {file.name}",
                    frame=self.num_bytes // _MEGABYTE,
                    num_frames=max(file.num_bytes // _MEGABYTE, self.num_bytes // _MEGABYTE, 1),
                    seconds=time.monotonic() - self.started,
                    unit="MB",
                )
            )
            return None

    return Meter
