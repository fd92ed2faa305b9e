"""Everything that the commands do, for Python: `import vsr_cli as vsr`.

Importing this is cheap; torch loads when the first call needs it. Nothing of the process is changed
for good, and nothing is printed: what there is to say comes as events. Failures are `VsrError`,
whose `exit_code` is the one that the command line would end with.
"""

from vsr_cli.api.exporting import export_model, verify_export
from vsr_cli.api.measuring import bench, degrade, evaluate
from vsr_cli.api.repairing import Repairer, erase, fill, find_gaps, show_mask
from vsr_cli.api.settings import (
    config_path,
    find_settings,
    load_options,
    preset_names,
    write_config,
)
from vsr_cli.api.upkeep import (
    describe_weights,
    doctor,
    download_weights,
    find_jobs,
    find_units,
    import_weights,
    join_shards,
    list_weights,
    remove_job,
    verify_weights,
)
from vsr_cli.api.upscaling import Probe, Upscaler, plan, probe, restore, upscale
from vsr_cli.api.viewing import Preview, compare, preview

__all__ = [
    "Preview",
    "Probe",
    "Repairer",
    "Upscaler",
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
