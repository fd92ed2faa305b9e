"""The files for SLURM and Kubernetes in `docs/cluster.md` are what these systems take."""

import os
import re
import shutil
import signal
import stat
import subprocess
import textwrap
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from docs import make_scaling

PAGE = Path(__file__).resolve().parents[1] / "docs/cluster.md"

# Of the directives of `sbatch` those that the page may use, and what their values look like.
DIRECTIVES = {
    "job-name": r"\w+",
    "array": r"\d+-\d+",
    "gres": r"gpu:\d+",
    "cpus-per-task": r"\d+",
    "mem": r"\d+[MG]",
    "requeue": r"",
    "signal": r"B:TERM@\d+",
}
# The fields of an indexed job of batch/v1 without which shards would not be computed once each.
INDEXED_JOB = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "batch/v1"},
        "kind": {"const": "Job"},
        "metadata": {
            "required": ["name"],
            "properties": {"name": {"type": "string", "pattern": "^[a-z0-9-]{1,63}$"}},
        },
        "spec": {
            "type": "object",
            "required": ["completions", "parallelism", "completionMode", "template"],
            "additionalProperties": False,
            "properties": {
                "completions": {"type": "integer", "minimum": 1},
                "parallelism": {"type": "integer", "minimum": 1},
                "completionMode": {"const": "Indexed"},
                "backoffLimit": {"type": "integer", "minimum": 0},
                "template": {
                    "required": ["spec"],
                    "properties": {
                        "spec": {
                            "required": ["restartPolicy", "containers", "volumes"],
                            "additionalProperties": False,
                            "properties": {
                                "restartPolicy": {"enum": ["OnFailure", "Never"]},
                                "terminationGracePeriodSeconds": {"type": "integer", "minimum": 1},
                                "containers": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {
                                        "required": ["name", "image", "args", "volumeMounts"],
                                        "properties": {
                                            "name": {"type": "string"},
                                            "image": {"type": "string"},
                                            "command": {"items": {"type": "string"}},
                                            "args": {
                                                "type": "array",
                                                "minItems": 1,
                                                "items": {"type": "string"},
                                            },
                                            "resources": {
                                                "required": ["limits"],
                                                "properties": {"limits": {"type": "object"}},
                                            },
                                            "volumeMounts": {
                                                "items": {"required": ["name", "mountPath"]}
                                            },
                                        },
                                    },
                                },
                                "volumes": {"items": {"required": ["name"]}},
                            },
                        }
                    },
                },
            },
        },
    },
}


def blocks_of(heading: str) -> list[str]:
    """The indented blocks under a heading of the page."""
    text = PAGE.read_text().split(f"### {heading}\n")[1].split("\n#")[0]
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, flags=re.MULTILINE)
    return [textwrap.dedent(block).strip() + "\n" for block in found if block.strip()]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    found = tmp_path / "upscale.sbatch"
    found.write_text(blocks_of("SLURM")[0])
    return found


def stub(folder: Path, text: str) -> dict[str, str]:
    """An environment whose `vsr` is this script."""
    (folder / "vsr").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "vsr").chmod(stat.S_IRWXU)
    task = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "20"}
    return {"PATH": f"{folder}:{os.environ['PATH']}", **task}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_the_scripts_for_slurm(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    for block in blocks_of("SLURM")[1:]:
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_directives_of_slurm_are_before_everything_else_and_known(script: Path) -> None:
    first, *lines = script.read_text().splitlines()
    assert first.startswith("#!")
    directives = [line for line in lines if line.startswith("#SBATCH")]
    assert lines[: len(directives)] == directives  # sbatch reads none after a command
    for line in directives:
        match = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line)
        assert match, line
        assert re.fullmatch(DIRECTIVES[match[1]], match[2] or ""), line


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_task_of_slurm_computes_its_shard(script: Path, tmp_path: Path) -> None:
    environment = stub(tmp_path, 'for word; do echo "$word"; done; exit 7')
    command = ["bash", str(script), "/shared/a film.mkv", "/shared/out.mp4"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.splitlines() == [
        *("upscale", "/shared/a film.mkv", "/shared/out.mp4", "--shard", "3/20"),
        *("--device", "cuda"),
    ]
    assert run.returncode == 7  # or else `afterok` would join what is missing


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_task_that_is_preempted_tells_vsr_and_waits_for_it(script: Path, tmp_path: Path) -> None:
    environment = stub(
        tmp_path,
        "trap 'sleep 0.3; echo secured; exit 143' TERM; echo begun; while :; do sleep 0.1; done",
    )
    command = ["bash", str(script), "in.mkv", "out.mp4"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        run.send_signal(signal.SIGTERM)
        assert run.stdout.read() == "secured\n"
        assert run.wait(10) != 0


def test_kubernetes_gets_an_indexed_job_whose_pods_have_a_shard_each() -> None:
    yaml = pytest.importorskip("yaml")
    (job,) = yaml.safe_load_all(blocks_of("Kubernetes")[0])
    Draft202012Validator(INDEXED_JOB).validate(job)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completions"] == spec["parallelism"]
    (container,) = pod["containers"]
    (command,) = container["args"]
    assert f"--shard $((JOB_COMPLETION_INDEX + 1))/{spec['completions']}" in command
    assert command.startswith("exec ")  # so that SIGTERM reaches it
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    shell = subprocess.run(
        [*container["command"], command.replace("exec", "echo")],
        env={"JOB_COMPLETION_INDEX": "19", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--shard 20/20" in shell.stdout


def test_the_table_of_how_far_it_scales_is_that_of_the_model_as_it_is() -> None:
    assert PAGE.read_text(encoding="utf-8") == make_scaling.page(), "run `make docs`"


@pytest.mark.parametrize("split", [0, 240])
def test_the_model_loses_no_frame(split: int) -> None:
    shots = make_scaling.draw_shots(make_scaling.GPU)
    assert sum(shots) == make_scaling.GPU.num_frames
    costs = make_scaling.find_costs(shots, split)
    warm = sum(costs) - sum(shots)  # computed twice
    assert (warm > 0) == bool(split)
    assert warm <= 16 * len(costs)
    assert make_scaling.spread(costs, 1) == sum(costs)
    assert max(costs) <= make_scaling.spread(costs, 1000) < 2 * max(costs)
    times = [make_scaling.total_seconds(make_scaling.GPU, costs, n) for n in (1, 8, 100, 1000)]
    assert times == sorted(times, reverse=True)
