"""Upscale a video on a cluster: the head reads, plans and joins, and workers compute units."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from vsr_cli.cancellation import StopRequest
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import VsrError
from vsr_cli.events import Done, Event, Plan, Report, ignore
from vsr_cli.media.reading.reader import open_video
from vsr_cli.media.writing.output_plan import OutputPlan, plan_output
from vsr_cli.pipeline.cluster.connection import cluster_errors, require_ray
from vsr_cli.pipeline.cluster.dispatch import Dispatch
from vsr_cli.pipeline.cluster.fleet import Fleet
from vsr_cli.pipeline.cluster.pool import Cluster
from vsr_cli.pipeline.cluster.posts import Post
from vsr_cli.pipeline.cluster.sight import (
    MIXED,
    Sight,
    leave_token,
    look_around,
    require_fit,
    require_room,
    weakest,
)
from vsr_cli.pipeline.repair.plan import plan_chain
from vsr_cli.pipeline.repair.rate import info_at_rate
from vsr_cli.pipeline.resume.config_text import to_text
from vsr_cli.pipeline.resume.folder import job_folder
from vsr_cli.pipeline.resume.job import Job, is_resumable
from vsr_cli.pipeline.resume.manifest import Manifest, identify_source
from vsr_cli.pipeline.resume.units import UnitTable
from vsr_cli.pipeline.run import Run
from vsr_cli.pipeline.run_plan import RunPlan
from vsr_cli.pipeline.said import without_repeats
from vsr_cli.pipeline.units.films import Film, InTurn
from vsr_cli.pipeline.units.head import (
    NumDone,
    chunks_of,
    do_alone,
    repeat_notes,
    share_plan,
    with_units,
)
from vsr_cli.pipeline.units.messages import Order
from vsr_cli.pipeline.units.parts import Scanners
from vsr_cli.pipeline.units.scan import scan_units, why_whole
from vsr_cli.pipeline.units.walk import UnitJob
from vsr_cli.pipeline.upscale import Upscaler


class ClusterUpscaler(Upscaler):
    """Upscales videos one after the other, with workers on a cluster that keep their model.

    cluster: where they are.
    """

    def __init__(self, config: UpscaleConfig, *, stop: StopRequest | None = None) -> None:
        """Nothing is connected yet.

        Raises:
            ConfigError: the package `ray` is not installed.
        """
        require_ray()
        super().__init__(config, stop=stop)
        self.cluster = Cluster(config)
        self._report: Report = ignore
        self._is_kept = False
        self._fleet: Fleet | None = None
        self._sights: list[Sight] = []
        self._require_fit: Callable[[Sequence[Sight]], None] = lambda sights: None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within, workers stay between two videos."""
        self._is_kept = True
        try:
            yield
        finally:
            self._is_kept = False
            self.cluster.leave(self._forward)

    def film(self, film: Film, report: Report) -> "ClusterFilm":
        """What makes one of several films, within `kept`.

        Args:
            film: which.
            report: receives what becomes of workers at the end of all films.
        """
        self._report = report
        return ClusterFilm(self, film)

    def upscale(self, source: Path, target: Path, *, report: Report = ignore) -> Done:
        """Upscale one video; see `Upscaler.upscale`.

        Raises:
            VsrError: as there.
            DeviceError: there is no such cluster, or workers do not fit each other.
            OutputError: workers do not see the folder of the job.
            Stopped: as was asked for.
        """
        report = without_repeats(report)
        if (why := self._why_alone(source, target)) is not None:
            do_alone(self.config, why, report)
            return self._alone().upscale(source, target, report=report)
        with self._at_work(report):
            return super().upscale(source, target, report=report)

    def plan(self, source: Path, target: Path, *, report: Report = ignore) -> Plan:
        """Say what would be done, after a look at the cluster; see `Upscaler.plan`."""
        report = without_repeats(report)
        if (why := self._why_alone(source, target)) is not None:
            do_alone(self.config, why, report)
            return self._alone().plan(source, target, report=report)
        with self._at_work(report), open_video(source, self.config.input) as video:
            output = self._plan_output(video, source, target, report)
            self._muster(source, output.target, None)
            run = self._plan_run(video, source, output, None, report)
            return self._shared_plan(run, scan_units(run, self._scanners()), lambda unit: 0)

    def _alone(self) -> Upscaler:
        """The same on this machine, by one process."""
        job = replace(self.config.job, ray=None, mixed=False, workers=1)
        return Upscaler(replace(self.config, job=job), stop=self._stop)

    def _why_alone(self, source: Path, target: Path) -> str | None:
        """Why a job cannot be shared; None: it can."""
        if not source.is_file():
            return "the source is a pipe, or images"
        with open_video(source, self.config.input) as video:
            config = self.config.for_source(video.info.height, video.info.width)
            size = self.config.target_size(video.info.height, video.info.width)
            info = info_at_rate(video.info, self.config.fps)
            output = plan_output(target, source, info, size, self.config.output, report=ignore)
            if not is_resumable(source, output.container):
                return "the target is not made of chunks"
            chain = partial(plan_chain, config, source, video.info, ignore)
        run = Run(
            source=source,
            output=output,
            model=self.model,
            config=config,
            run_plan=None,
            make_chain=chain,
            report=ignore,
        )
        if (why := why_whole(run)) is not None or self.config.job.fresh:
            return why
        with suppress(VsrError):  # what is damaged, or of another version, is told of later
            before = Job(output.target, job_folder(output.target, self.config.job)).read()
            if before is not None and before.units is None:
                return "one process has begun it"
        return None

    @contextmanager
    def _at_work(self, report: Report) -> Iterator[None]:
        """Within, a cluster is at hand.

        Raises:
            DeviceError: Ray itself has failed.
        """
        self._report, is_well = report, False
        try:
            with cluster_errors():
                yield
            is_well = True
        finally:
            if self._fleet is not None:
                self._fleet.disband()
            self._fleet, self._sights = None, []
            if not (self._is_kept and is_well):
                self.cluster.leave(self._forward)

    @property
    def _num_workers(self) -> int:
        return max(1, len(self._sights))

    def _prepare(self, job: Job, source: Path) -> None:
        self._muster(source, job.target, job.folder)

    def _muster(self, source: Path, target: Path, folder: Path | None) -> None:
        """Have workers on the cluster, which fit each other and see what they need."""
        pool, claim = self.cluster.begin(self._forward)
        self._fleet = Fleet(pool, claim, self._forward)
        where = job_folder(target, self.config.job) if folder is None else folder
        order = Order(
            source=source.absolute(),
            target=target.absolute(),
            folder=where.absolute(),
            config="",
            threads=None,
            given_up=(),
        )
        token = None if folder is None else leave_token(folder)
        meant = json.dumps({"source": dict(identify_source(source)), "token": token})
        self._sights = self._fleet.muster(
            lambda post: replace(order, config=self._config_at(post)).to_line(), meant
        )
        assert self.model is not None
        own = look_around(None, self.model.path, "cpu", sees_source=True, sees_folder=True)
        self._require_fit = partial(
            require_fit,
            own=own,
            source=source,
            folder=where,
            mixed=self.config.job.mixed,
            report=self._report,
        )
        self._require_fit(self._sights)

    def _config_at(self, post: Post) -> str:
        """What a worker computes: all that was chosen, on its own device."""
        job = replace(self.config.job, ray=None, mixed=False, fresh=False, workers=post.beside)
        return to_text(replace(self.config, device=post.device, job=job))

    def _fit(self, config: UpscaleConfig, output: OutputPlan, reserved: int) -> RunPlan:
        """As much at once as the weakest worker can; before any is there, it is not known."""
        if not self._sights:
            return RunPlan(torch.device("cpu"), torch.float32, config.clip.length, None, ())
        assert self._fleet is not None
        found = weakest(self._sights, mixed=config.job.mixed)
        known = tuple(self._sights)

        def check(sight: Sight) -> None:
            self._require_fit([*known, sight])
            require_room(sight, found)

        self._fleet.check = check
        return found

    def _try_speed(self, run: Run) -> Run:
        """The same: a trial here would tell nothing of the devices there, nor might it run."""
        return run

    def _new_manifest(self, run: Run, target: Path) -> Manifest:
        manifest = super()._new_manifest(run, target)
        if not self.config.job.mixed:
            return manifest
        return replace(manifest, options={**manifest.options, "device": MIXED, "dtype": MIXED})

    def _shared(self, job: Job, run: Run, manifest: Manifest, *, is_new: bool) -> Manifest:
        if manifest.units is None:
            manifest = with_units(manifest, run, self._scanners())
            manifest.write(job.manifest_path)
        return manifest

    def _scanners(self) -> Scanners:
        assert self._fleet is not None
        return Scanners(count=len(self._sights), scatter=self._fleet.scatter)

    def _compute_units(self, job: Job, run: Run, manifest: Manifest) -> list[Path]:
        assert manifest.units is not None
        assert self._fleet is not None
        repeat_notes(manifest.units, run.report)
        units = UnitJob(folder=job.folder, target=job.target, run=run, manifest=manifest)
        run.report(self._shared_plan(run, manifest.units, units.num_done))
        for unit in units.table.units:
            units.mend(unit, run.report)
        Dispatch(self._fleet, units, self._stop).run()
        return chunks_of(units)

    def _shared_plan(self, run: Run, table: UnitTable, num_done: NumDone) -> Plan:
        """What was chosen, and how long it takes: as long as for the slowest worker that knows."""
        assert run.run_plan is not None
        here = replace(run, run_plan=replace(run.run_plan, device=torch.device("cpu")))
        known = [sight.seconds for sight in self._sights if sight.seconds is not None]
        plan = replace(
            here.describe(),
            device=run.run_plan.device.type,
            seconds=max(known, default=None),
        )
        if run.run_plan.device.type != "cpu" and run.run_plan.peak_bytes is not None:
            plan = replace(plan, memory_gb=round(run.run_plan.peak_bytes / 1e9, 2))
        return share_plan(plan, table, self._num_workers, num_done)

    def _forward(self, event: Event) -> None:
        self._report(event)


class ClusterFilm(InTurn, ClusterUpscaler):
    """Makes one film of several, with workers of the one before it as they become free."""

    def __init__(self, all_films: ClusterUpscaler, film: Film) -> None:
        """Take what all films share."""
        super().__init__(all_films.config, stop=film.stop)
        self.model, self.cluster = all_films.model, all_films.cluster
        self._is_kept, self.film_made = True, film

    def _alone(self) -> Upscaler:
        self.film_made.wait_for_turn()
        return super()._alone()
