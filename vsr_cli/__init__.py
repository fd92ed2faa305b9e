"""vsr: motion-guided latent diffusion video upscaling.

The names below are the Python interface; `vsr_cli.api` describes it. They load when they are used.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vsr_cli.api import (
        Preview,
        Probe,
        Repairer,
        Upscaler,
        bench,
        compare,
        config_path,
        degrade,
        describe_weights,
        doctor,
        download_weights,
        erase,
        evaluate,
        export_model,
        fill,
        find_gaps,
        find_jobs,
        find_settings,
        find_units,
        import_weights,
        join_shards,
        list_weights,
        load_options,
        plan,
        preset_names,
        preview,
        probe,
        remove_job,
        restore,
        show_mask,
        upscale,
        verify_export,
        verify_weights,
        write_config,
    )
    from vsr_cli.cancellation import Stopped, StopRequest
    from vsr_cli.errors import VsrError
    from vsr_cli.events import (
        BenchResult,
        Comparison,
        DegradationDrawn,
        Done,
        Exported,
        Finding,
        GraphChecked,
        GraphWritten,
        Live,
        Note,
        Plan,
        Prediction,
        PreviewSample,
        Progress,
        TimeSpent,
        UnitState,
        WorkerState,
    )
    from vsr_cli.settings import Setting

__all__ = [
    "BenchResult",
    "Comparison",
    "DegradationDrawn",
    "Done",
    "Exported",
    "Finding",
    "GraphChecked",
    "GraphWritten",
    "Live",
    "Note",
    "Plan",
    "Prediction",
    "Preview",
    "PreviewSample",
    "Probe",
    "Progress",
    "Repairer",
    "Setting",
    "StopRequest",
    "Stopped",
    "TimeSpent",
    "UnitState",
    "Upscaler",
    "VsrError",
    "WorkerState",
    "__version__",
    "bench",
    "compare",
    "config_path",
    "degrade",
    "describe_weights",
    "doctor",
    "download_weights",
    "erase",
    "evaluate",
    "export_model",
    "fill",
    "find_gaps",
    "find_jobs",
    "find_settings",
    "find_units",
    "import_weights",
    "join_shards",
    "list_weights",
    "load_options",
    "plan",
    "preset_names",
    "preview",
    "probe",
    "remove_job",
    "restore",
    "show_mask",
    "upscale",
    "verify_export",
    "verify_weights",
    "write_config",
]

# Where a name is that is not of `vsr_cli.api`.
_ELSEWHERE = {
    **dict.fromkeys(("StopRequest", "Stopped"), "cancellation"),
    **dict.fromkeys(
        (
            *("BenchResult", "Comparison", "DegradationDrawn", "Done", "Exported", "Finding"),
            *("GraphChecked", "GraphWritten", "Live"),
            *("Note", "Plan", "Prediction", "PreviewSample", "Progress", "TimeSpent"),
            *("UnitState", "WorkerState"),
        ),
        "events",
    ),
    "Setting": "settings",
    "VsrError": "errors",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(importlib.import_module(f"vsr_cli.{_ELSEWHERE.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return __all__
