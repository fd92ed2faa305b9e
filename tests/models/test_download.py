"""`vsr weights download` against a server on this machine that stands in for the hub."""

import hashlib
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from tests.models.seedvr2.published import write_published
from tests.models.seedvr2.tiny import TINY
from vsr_cli import api
from vsr_cli.cli.app import app
from vsr_cli.events import Event, Progress
from vsr_cli.models import hub
from vsr_cli.models.hub import HubFile, HubModel
from vsr_cli.models.seedvr2 import convert

REPOSITORY = "somebody/something"
COMMIT = "0" * 40
RUN = ["weights", "download", "seedvr2", "--accept-license"]


@dataclass
class Hub:
    """What the server has, and what was asked of it.

    cuts: how often an answer still ends after its first half.
    ranges: what was asked for, of each request for a file's bytes.
    """

    files: dict[str, bytes]
    cuts: int = 0
    ranges: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does for files that it stores itself."""

    def __init__(self, hub: Hub, *args: object) -> None:
        self.hub = hub
        super().__init__(*args)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, has_body: bool) -> None:
        prefix = f"/{REPOSITORY}/resolve/main/"
        content = self.hub.files.get(self.path.removeprefix(prefix).partition("?")[0])
        if content is None or not self.path.startswith(prefix):
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        asked = self.headers.get("Range")
        first = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        rest = content[first:]
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(rest)))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not has_body:
            return
        self.hub.ranges.append(asked)
        if self.hub.cuts:
            self.hub.cuts -= 1
            self.wfile.write(rest[: len(rest) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(rest)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine with the files of a narrow model, which is known as `seedvr2`."""
    folder = tmp_path / "published"
    folder.mkdir()
    paths = write_published(folder)
    here = Hub({path.name: path.read_bytes() for path in paths})
    dit, vae, text = (
        HubFile(
            repository=REPOSITORY,
            name=path.name,
            num_bytes=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in paths
    )
    model = HubModel(checkpoints=(dit, vae), text=text, imported_bytes=10**6, license="be kind")
    monkeypatch.setattr(hub, "MODELS", {"seedvr2": model})
    monkeypatch.setattr(convert, "import_seedvr2", partial(convert.import_seedvr2, config=TINY))
    monkeypatch.setenv("VSR_WEIGHTS_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, here)) as httpd:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{httpd.server_port}")
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield here
        httpd.shutdown()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "user" / "seedvr2.safetensors"


@pytest.mark.usefixtures("server")
def test_a_model_is_fetched_checked_and_imported(target: Path) -> None:
    result = CliRunner().invoke(app, [*RUN, "--json"])
    assert result.exit_code == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["type"] == "imported"
    assert target.is_file()
    assert not (target.parent / "downloads" / "seedvr2").exists()
    again = CliRunner().invoke(app, RUN)
    assert again.exit_code == 4
    assert "exists" in again.stderr


@pytest.mark.usefixtures("server")
def test_progress_is_told_in_megabytes() -> None:
    heard: list[Event] = []
    api.download_weights("seedvr2", accept_license=True, report=heard.append)
    told = [event for event in heard if isinstance(event, Progress) and event.unit == "MB"]
    assert {event.stage for event in told} == {
        "download dit.safetensors",
        "download vae.safetensors",
        "download pos_emb.pt",
    }


def test_the_licence_comes_first(server: Hub, target: Path) -> None:
    result = CliRunner().invoke(app, RUN[:-1])
    assert result.exit_code == 2
    assert "be kind" in result.stderr
    assert "--accept-license" in result.stderr
    assert server.ranges == []
    assert not target.exists()


def test_files_are_kept_where_asked_and_not_fetched_twice(server: Hub, target: Path) -> None:
    assert CliRunner().invoke(app, [*RUN, "--keep"]).exit_code == 0
    kept = sorted(path.name for path in (target.parent / "downloads" / "seedvr2").glob("*.*"))
    assert kept == [".cache", *sorted(server.files)]
    before = len(server.ranges)
    assert CliRunner().invoke(app, [*RUN, "--overwrite"]).exit_code == 0
    assert len(server.ranges) == before


@pytest.mark.usefixtures("server")
def test_files_of_somebody_else_in_the_folder_stay(target: Path) -> None:
    folder = target.parent / "downloads" / "seedvr2"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "notes.txt").write_text("mine")
    (folder / "other.safetensors").write_bytes(b"mine")
    assert CliRunner().invoke(app, RUN).exit_code == 0
    left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    assert left == ["mine", "mine/notes.txt", "other.safetensors"]


@pytest.mark.slow
def test_what_was_cut_off_goes_on(
    server: Hub, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # files here are small
    server.cuts = 1
    result = CliRunner().invoke(app, RUN)
    if result.exit_code:
        assert result.exit_code == 5
        assert "goes on where it was cut off" in result.stderr
        assert CliRunner().invoke(app, RUN).exit_code == 0
    assert target.is_file()
    half = len(server.files["dit.safetensors"]) // 2
    goes_on = [int(asked[6:].partition("-")[0]) for asked in server.ranges if asked]
    assert half - 1000 <= max(goes_on) <= half


def test_another_file_than_was_published_is_not_installed(server: Hub, target: Path) -> None:
    server.files["vae.safetensors"] += b"x"
    result = CliRunner().invoke(app, RUN)
    assert result.exit_code == 5
    assert "is not what was published" in result.stderr
    assert not target.exists()
    assert not (target.parent / "downloads" / "seedvr2" / "vae.safetensors").exists()
    server.files["vae.safetensors"] = server.files["vae.safetensors"][:-1]
    assert CliRunner().invoke(app, RUN).exit_code == 0


def test_a_file_that_is_gone_is_named(server: Hub, target: Path) -> None:
    del server.files["pos_emb.pt"]
    result = CliRunner().invoke(app, RUN)
    assert result.exit_code == 5
    assert "`pos_emb.pt` of `somebody/something` is not there any more" in result.stderr
    assert not target.exists()


def test_a_digest_that_nobody_knows_is_told(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hub.MODELS["seedvr2"]
    unknown = tuple(replace(file, sha256=None) for file in model.checkpoints)
    monkeypatch.setattr(hub, "MODELS", {"seedvr2": replace(model, checkpoints=unknown)})
    result = CliRunner().invoke(app, RUN)
    assert result.exit_code == 0
    assert hashlib.sha256(server.files["dit.safetensors"]).hexdigest() in result.stderr
    assert "is not known" in result.stderr


def test_without_connections_the_way_by_hand_is_told(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = CliRunner().invoke(app, RUN)
    assert result.exit_code == 5
    for words in ("dit.safetensors", REPOSITORY, "vsr weights import dit.safetensors", "sha256"):
        assert words in result.stderr
    assert server.ranges == []


def test_too_little_room_is_told_before_anything_is_fetched(
    server: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    result = CliRunner().invoke(app, RUN)
    assert result.exit_code == 4
    assert "too little room" in result.stderr
    assert server.ranges == []


@pytest.mark.slow  # the library tries again for a while
def test_nobody_answering_is_told(
    server: Hub, monkeypatch: pytest.MonkeyPatch, target: Path
) -> None:
    del server
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, RUN)
    assert result.exit_code == 5
    assert "could not be fetched" in result.stderr
    assert not target.exists()


def test_a_model_that_is_not_known_is_refused() -> None:
    result = CliRunner().invoke(app, ["weights", "download", "seedvr", "--accept-license"])
    assert result.exit_code == 5
    assert "did you mean `seedvr2`" in result.stderr


def test_every_model_names_its_files_and_licence() -> None:
    assert set(hub.MODELS) == {"seedvr2", "mgld"}
    for model in hub.MODELS.values():
        assert model.license
        for file in model.files:
            assert file.sha256 is None or len(file.sha256) == 64
            assert file.num_bytes > 0
