"""An export replaces what is its own, and nothing else."""

import json
from pathlib import Path

import pytest

from vsr_cli.errors import InputError, OutputError, VerificationError
from vsr_cli.export.export import verify
from vsr_cli.export.folder import (
    MANIFEST,
    made_aside,
    put_in_place,
    read_manifest,
    require_free,
    require_whole,
    write_manifest,
)
from vsr_cli.export.manifest import FORMAT, FORMAT_VERSION

HEAD = {"format": FORMAT, "format_version": FORMAT_VERSION}


def write_export(folder: Path, names: list[str], text: str = "one") -> None:
    require_free(folder, overwrite=True)
    with made_aside(folder) as temp:
        for name in names:
            (temp / name).parent.mkdir(exist_ok=True)
            (temp / name).write_text(text)
        write_manifest(temp, HEAD)
        put_in_place(temp, folder)


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_export(tmp_path / "out", ["a.onnx", "test/vector.npz"])
    assert names_in(tmp_path / "out") == {"a.onnx", "test/vector.npz", MANIFEST}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    require_whole(tmp_path / "out", read_manifest(tmp_path / "out"))


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    require_free(tmp_path / "out", overwrite=False)
    write_export(tmp_path / "out", ["a.onnx"])
    assert names_in(tmp_path / "out") == {"a.onnx", MANIFEST}


def test_an_earlier_export_gives_way_and_files_of_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_export(folder, ["a.onnx", "old.onnx"])
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        require_free(folder, overwrite=False)
    write_export(folder, ["a.onnx", "new.onnx"], "two")
    assert names_in(folder) == {"a.onnx", "new.onnx", "notes.txt", MANIFEST}
    assert (folder / "a.onnx").read_text() == "two"
    require_whole(folder, read_manifest(folder))


def test_an_export_of_another_version_is_not_read_but_gives_way(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_export(folder, ["a.onnx", "old.onnx"])
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**told, "format_version": FORMAT_VERSION - 1}))
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="another version"):
        read_manifest(folder)
    write_export(folder, ["a.onnx"], "two")
    assert names_in(folder) == {"a.onnx", "notes.txt", MANIFEST}
    require_whole(folder, read_manifest(folder))


def test_a_file_of_the_users_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_export(folder, ["a.onnx"])
    (folder / "b.onnx").write_text("mine")
    with pytest.raises(OutputError, match=r"b\.onnx` exists"):
        write_export(folder, ["a.onnx", "b.onnx"])
    assert (folder / "b.onnx").read_text() == "mine"
    require_whole(folder, read_manifest(folder))


def test_a_file_that_was_changed_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_export(folder, ["a.onnx"])
    (folder / "a.onnx").write_text("mine")
    with pytest.raises(OutputError, match="was changed"):
        require_free(folder, overwrite=True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}'])
def test_a_folder_of_something_else_is_refused_whatever_is_asked(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / MANIFEST).write_text(text)
    with pytest.raises(OutputError, match="something else"):
        require_free(folder, overwrite=True)
    with pytest.raises(InputError, match="no export"):
        read_manifest(folder)


def test_a_file_or_a_missing_parent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="no folder"):
        require_free(tmp_path / "file", overwrite=True)
    with pytest.raises(OutputError, match="cannot be made"):
        require_free(tmp_path / "none" / "out", overwrite=False)


def test_what_was_broken_off_while_it_replaced_is_no_export_and_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    write_export(folder, ["a.onnx", "old.onnx"])
    replace, calls = Path.replace, list[Path]()

    def fail_at_the_last(path: Path, target: Path) -> Path:
        calls.append(path)
        if path.name == MANIFEST:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail_at_the_last)
    with pytest.raises(OutputError, match="cannot be written"):
        write_export(folder, ["a.onnx", "new.onnx"], "two")
    monkeypatch.undo()
    with pytest.raises(InputError, match="not complete"):
        read_manifest(folder)
    write_export(folder, ["a.onnx", "new.onnx"], "three")
    assert names_in(folder) == {"a.onnx", "new.onnx", MANIFEST}
    require_whole(folder, read_manifest(folder))


def test_a_manifest_leads_to_no_file_outside_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_export(folder, ["a.onnx"])
    (tmp_path / "precious").write_text("mine")
    manifest = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(manifest.replace('"a.onnx"', '"../precious"'))
    (folder / "a.onnx").unlink()
    write_export(folder, ["b.onnx"])
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("harm", ["change", "remove"])
def test_harm_to_a_file_is_found(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "out"
    write_export(folder, ["a.onnx"])
    if harm == "change":
        (folder / "a.onnx").write_text("two")
    else:
        (folder / "a.onnx").unlink()
    with pytest.raises(VerificationError, match=r"a\.onnx"):
        require_whole(folder, read_manifest(folder))


@pytest.mark.parametrize(
    "damage", [{"dtype": "int3"}, {"sampling": None}, {"latent_channels": "4"}]
)
def test_a_manifest_that_was_changed_by_hand_is_refused(
    tmp_path: Path, damage: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsr_cli.export.export.require_packages", lambda names: None)
    told = {"dtype": "float32", "sampling": {}, "latent_channels": 4}
    (tmp_path / "out").mkdir()
    write_manifest(tmp_path / "out", {**HEAD, **told, **damage})
    with pytest.raises(InputError, match="is damaged") as refused:
        verify(tmp_path / "out", lambda _: None)
    assert next(iter(damage)) in str(refused.value.why)
