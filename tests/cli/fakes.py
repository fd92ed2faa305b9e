"""A pipeline that does what a test says, in the place of the real one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vsr_cli.cancellation import StopRequest
from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Done, Note, Plan, Progress, Report, TimeSpent


@dataclass
class FakePipeline:
    """Remembers what it was asked and reports a job of three frames."""

    jobs: list[tuple[Path, Path, UpscaleConfig]] = field(default_factory=list)
    notes: list[Note] = field(
        default_factory=lambda: [Note(code="W_TEST", text="something to know")]
    )
    fail: Callable[[], object] = lambda: None  # called in the middle of the job

    def upscale_video(
        self,
        source: Path,
        target: Path,
        config: UpscaleConfig,
        *,
        report: Report,
        stop: StopRequest | None = None,
    ) -> Done:
        self.jobs.append((source, target, config))
        report(plan_of(source, target))
        for note in self.notes:
            report(note)
        report(Progress(stage="upscale", frame=1, num_frames=3, seconds=2.0))
        self.fail()
        report(Progress(stage="upscale", frame=3, num_frames=3, seconds=6.0))
        stages = {"read": 0.6, "sample": 3.0, "decode": 1.5, "color": 0.0, "write": 0.3}
        report(TimeSpent(seconds=6.0, frames=3, stages=stages))
        return Done(target=target, frames_in=3, frames_out=3, width=256, height=192, seconds=6.0)

    def upscaler(self, config: UpscaleConfig, *, stop: StopRequest | None = None) -> "FakeUpscaler":
        """In the place of `Upscaler`."""
        return FakeUpscaler(self, config)


@dataclass
class FakeUpscaler:
    pipeline: FakePipeline
    config: UpscaleConfig

    def upscale(self, source: Path, target: Path, *, report: Report) -> Done:
        return self.pipeline.upscale_video(source, target, self.config, report=report)

    def plan(self, source: Path, target: Path, *, report: Report) -> Plan:
        self.pipeline.fail()
        return plan_of(source, target)


def plan_of(source: Path, target: Path) -> Plan:
    return Plan(
        source=str(source),
        target=str(target),
        model="tiny",
        device="cpu",
        dtype="float32",
        steps=4,
        seed=0,
        motion_scale=1.0,
        fidelity=1.0,
        color="wavelet",
        flow="dis",
        clip_length=8,
        tile="off",
        source_size=(48, 64),
        target_size=(192, 256),
        num_frames=3,
        codec="libx264",
        pix_fmt="yuv420p",
        reasons=("device cpu: no CUDA device found",),
    )
