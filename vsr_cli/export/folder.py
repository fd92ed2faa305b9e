"""The folder of an export: made aside, checked, put in place, and checked again later."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vsr_cli.atomic import free_name, sync_folder
from vsr_cli.digest import sha256
from vsr_cli.errors import InputError, OutputError, VerificationError
from vsr_cli.export.manifest import FORMAT, FORMAT_VERSION

MANIFEST = "manifest.json"


def read_manifest(folder: Path, *, to_replace: bool = False) -> dict[str, object]:
    """Read the manifest of an export.

    Args:
        folder: of the export.
        to_replace: whether it shall only be replaced, for which its list of files will do: one of
            another version, or that was broken off while it replaced another.

    Raises:
        InputError: the folder is none, or of another version.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = f"its `{MANIFEST}` cannot be read: {getattr(error, 'strerror', error)}"
        if isinstance(error, FileNotFoundError):
            why = f"it has no `{MANIFEST}`" if folder.exists() else "it does not exist"
        raise InputError(
            f"`{folder}` is no export",
            why=why,
            hint="give a folder that `vsr export` has written",
        ) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(
            f"`{folder}` is no export",
            why=f"its `{MANIFEST}` is of something else",
            hint="give a folder that `vsr export` has written",
        )
    is_other = found.get("format_version") != FORMAT_VERSION and not to_replace
    if is_other or not isinstance(found.get("files"), dict):
        raise InputError(
            f"`{folder}` was written by another version", hint="export it again with `-y`"
        )
    if not to_replace and not found.get("complete", True):
        raise InputError(f"`{folder}` is not complete", hint="export it again with `-y`")
    return found


def files_of(manifest: Mapping[str, object]) -> dict[str, str]:
    """The files of an export below its folder, and their digests."""
    files = manifest["files"]
    assert isinstance(files, dict)
    return {str(name): str(digest) for name, digest in files.items()}


def require_whole(folder: Path, manifest: Mapping[str, object]) -> None:
    """Compare every file with its digest.

    Raises:
        VerificationError: one is missing, or another.
    """
    for name, digest in files_of(manifest).items():
        path = folder / name
        try:
            found = sha256(path)
        except OSError as error:
            raise VerificationError(
                f"`{path}` cannot be read", why=error.strerror, hint="export it again"
            ) from error
        if found != digest:
            raise VerificationError(
                f"`{path}` is not what was exported",
                why=f"its sha256 starts with {found[:12]}, the manifest says {digest[:12]}",
                hint="export it again, or copy the folder again",
            )


def require_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder whose files are not ours to replace.

    Args:
        folder: to be written; it need not exist.
        overwrite: whether an earlier export gives way. Files that it does not list stay, and files
            that were changed since are refused.

    Raises:
        OutputError: it exists, or something in it would be lost.
    """
    if not folder.exists() and not folder.is_symlink():
        if not folder.absolute().parent.is_dir():
            raise OutputError(
                f"`{folder}` cannot be made",
                why=f"there is no folder `{folder.absolute().parent}`",
                hint="make that first, or give another name",
            )
        return
    if not folder.is_dir():
        raise OutputError(f"`{folder}` exists and is no folder", hint="give another name")
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise OutputError(f"`{folder}` exists", hint="use `-y`, or give another name")
    try:
        manifest = read_manifest(folder, to_replace=True)
    except InputError as error:
        raise OutputError(
            f"`{folder}` holds something else",
            why=error.why or str(error),
            hint="give another name",
        ) from error
    if not manifest.get("complete", True):
        return
    for name, digest in files_of(manifest).items():
        path = folder / name
        if _is_within(name) and path.is_file() and sha256(path) != digest:
            raise OutputError(
                f"`{path}` was changed since it was exported",
                why="it would be lost",
                hint="move or remove it, or give another name",
            )


@contextmanager
def made_aside(folder: Path) -> Iterator[Path]:
    """Have a folder written beside `folder`; it is removed unless it was put somewhere.

    Raises:
        OutputError: nothing can be written there.
    """
    with output_errors(folder):
        temp = Path(tempfile.mkdtemp(prefix=".vsr-export-", dir=folder.absolute().parent))
    try:
        temp.chmod(0o777 & ~_umask())
        with output_errors(folder):
            yield temp
    finally:
        shutil.rmtree(temp, ignore_errors=True)


@contextmanager
def output_errors(folder: Path) -> Iterator[None]:
    """Within, what the system refuses is said of the folder that is written.

    Raises:
        OutputError: in the place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"`{folder}` cannot be written", why=error.strerror, hint="give another place"
        ) from error


def write_manifest(folder: Path, manifest: Mapping[str, object]) -> None:
    """Write a manifest with the digests of all other files of its folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in paths}
    files.pop(MANIFEST, None)
    _write_json(folder / MANIFEST, {**manifest, "files": files})


def put_in_place(temp: Path, folder: Path) -> None:
    """Give a complete folder its name, or its files theirs where an earlier export has it.

    Until the last file is there, the manifest says that the folder is not complete.

    Raises:
        OSError: the disk is full.
        OutputError: a file of the user's has the name of a new one.
    """
    _sync(temp)
    if not folder.exists():
        temp.replace(folder)
        sync_folder(folder.absolute().parent)
        return
    is_empty = not any(folder.iterdir())
    before = {} if is_empty else files_of(read_manifest(folder, to_replace=True))
    manifest = read_manifest(temp)
    after = files_of(manifest)
    for name in sorted(after.keys() - before.keys()):
        if (folder / name).exists():
            raise OutputError(
                f"`{folder / name}` exists", why="it is no part of the export", hint="move it away"
            )
    _write_json(folder / MANIFEST, {**manifest, "files": {**before, **after}, "complete": False})
    for name in after:
        (folder / name).parent.mkdir(exist_ok=True)
        (temp / name).replace(folder / name)
    for name in sorted(before.keys() - after.keys()):
        if _is_within(name):
            (folder / name).unlink(missing_ok=True)
    (temp / MANIFEST).replace(folder / MANIFEST)
    for inner in ("engines", "test", "example", "."):
        if (folder / inner).is_dir():
            sync_folder(folder / inner)


def keep_failed(temp: Path, folder: Path) -> Path:
    """Keep a folder that has failed its check, under a name that nobody has."""
    kept = free_name(folder.absolute().with_name(f"{folder.absolute().name}.failed"))
    temp.replace(kept)
    return kept


def _is_within(name: str) -> bool:
    """Whether a name of a manifest leads nowhere else."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def _write_json(path: Path, values: Mapping[str, object]) -> None:
    text = json.dumps(values, indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def _sync(folder: Path) -> None:
    """Have all that is in a folder on disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)


def _umask() -> int:
    """What new folders of this process may not allow."""
    found = os.umask(0)
    os.umask(found)
    return found
