"""The connection to a Ray cluster that the user runs: the only place that knows the package."""

import importlib.util
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from vsr_cli.errors import ConfigError, DeviceError
from vsr_cli.events import Note, Report

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    Handle = ActorHandle
else:
    Handle = object

OLDEST = (2, 52)  # of the package: from here on clusters may ask for a token
_PATIENCE = 5.0  # seconds for a machine to answer at all
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def require_ray() -> None:
    """Refuse to go on without the package; it is not loaded yet.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "`--ray` needs the package `ray`, which is not installed",
            hint="`pip install 'vsr-cli[cluster]'`, here and on every machine of the cluster",
        )


@contextmanager
def connected(address: str, report: Report) -> Iterator[ModuleType]:
    """Be connected to a cluster, and tell of one that lets anybody in.

    Ray sends no statistics on our behalf. A connection that this process has already is taken, and
    kept.

    Args:
        address: `auto`, or HOST:PORT.
        report: receives `W_RAY_OPEN`.

    Yields:
        The package.

    Raises:
        ConfigError: the package is not installed, or too old.
        DeviceError: there is no such cluster, or it does not let us in.
    """
    ray = load_ray()
    is_own = not ray.is_initialized()
    if is_own:
        _connect(ray, address)
    try:
        if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":  # Ray sets it where it has one
            text = (
                "the cluster asks for no token: whoever reaches its ports can run programs "
                "on it; see `RAY_AUTH_MODE=token` in Ray's documentation"
            )
            report(Note(code="W_RAY_OPEN", text=text))
        yield ray
    finally:
        if is_own:
            ray.shutdown()


def load_ray() -> ModuleType:
    """Load the package, told to send nothing to anybody.

    Raises:
        ConfigError: it is not installed, or too old.
    """
    require_ray()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # workers that die are told of here
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what later versions do
    import ray
    import ray._private.worker
    import ray.util.scheduling_strategies

    version = tuple(int(part) for part in ray.__version__.split(".")[:2])
    if version < OLDEST:
        raise ConfigError(
            f"`ray` {ray.__version__} is too old",
            hint="`pip install 'vsr-cli[cluster]'`, here and on every machine of the cluster",
        )
    # Else Ray writes to standard output what its machines report, among events for programs; no
    # option of `ray.init` leaves that out.
    ray._private.worker._worker_logs_enabled = False
    return ray


def wait_for(reference: object) -> object:
    """Wait for what a call to another process returns; used by workers, which are connected."""
    import ray

    return ray.get(reference)


@contextmanager
def cluster_errors() -> Iterator[None]:
    """Tell failures of Ray itself as what they are.

    Raises:
        DeviceError: it has failed.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "ray":
            raise
        raise DeviceError(
            "the cluster has failed",
            why=" ".join(str(error).split())[:300],
            hint="see `ray status`; the same command goes on with what is done",
        ) from error


def _connect(ray: ModuleType, address: str) -> None:
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    if address != "auto":
        _require_answer(address)
    is_main = threading.current_thread() is threading.main_thread()
    handlers = [(number, signal.getsignal(number)) for number in _SIGNALS] if is_main else []
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise DeviceError(
            f"no Ray cluster lets us in at `{address}`",
            why=" ".join(str(error).split())[:300] or type(error).__name__,
            hint="start one with `ray start --head`, of the same versions of Python and Ray",
        ) from error
    finally:
        for number, handler in handlers:  # Ray has put its own in their place
            signal.signal(number, handler)


def _require_answer(address: str) -> None:
    """Refuse an address where nobody answers: Ray would wait for a minute, and abort.

    Raises:
        DeviceError: nobody does.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE):
            pass
    except (OSError, OverflowError, ValueError) as error:  # a name or port that cannot be one
        raise DeviceError(
            f"nobody answers at `{address}`",
            why=getattr(error, "strerror", None) or str(error),
            hint="give the address that `ray start --head` has told, or auto on its machine",
        ) from error
