"""The mutants that tests are measured by: single changes, each of which spoils a promise."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One change to one file of the program."""

    name: str
    path: str  # of the file, from the root of the checkout
    old: str  # occurs exactly once
    new: str
    tests: tuple[str, ...]  # that should notice


def _mutations_of(path: str, tests: str, changes: Mapping[str, tuple[str, str]]) -> list[Mutation]:
    """Changes (old, new) by name to one file, which some tests, in words, should notice."""
    return [
        Mutation(name, path, old, new, tuple(tests.split())) for name, (old, new) in changes.items()
    ]


MUTATIONS = [
    *_mutations_of(
        "vsr_cli/ops/yuv.py",
        "tests/ops/test_yuv.py",
        {
            "yuv-chroma-gain": ("_Codes(224 * step, middle)", "_Codes(219 * step, middle)"),
            "yuv-full-range-grey": ("_Codes(top, middle)", "_Codes(top, top / 2)"),
            "yuv-enlarge-wraps": (
                "position = position.clamp(0, x.shape[dim] - 1)",
                "position = position.remainder(x.shape[dim])",
            ),
            "yuv-shrink-wraps": ("(first + tap).clamp(0, size - 1)", "(first + tap) % size"),
            "yuv-quarter-siting": (
                "((1 << shift) - 1) / 2 if centered",
                "min(shift, 1) / 2 if centered",
            ),
            "yuv-superwhite-read": ("return (rgb * 2 - 1).clamp(-1, 1)", "return rgb * 2 - 1"),
            "yuv-superwhite-written": (
                "(rgb[:, rows].float().clamp(-1, 1) + 1) / 2",
                "(rgb[:, rows].float() + 1) / 2",
            ),
            "yuv-dither-bias": (
                "pattern = (pattern + 0.5) / 64 - 0.5",
                "pattern = pattern / 64 - 0.5",
            ),
            "yuv-truncates": ("scaled.round().clamp", "scaled.floor().clamp"),
        },
    ),
    *_mutations_of(
        "vsr_cli/ops/warp.py",
        "tests/ops/test_warp.py",
        {
            "visibility-relative-tolerance": ("0.01 * length + 0.5", "0.05 * length + 0.5"),
            "visibility-absolute-tolerance": ("0.01 * length + 0.5", "0.01 * length + 1.0"),
            "visibility-one-length": ("_length(there) + _length(back)", "_length(there)"),
            "visibility-border": ("(columns <= width - 1)", "(columns <= width)"),
            "adjoint-margin": ('margin = 0 if outside == "border" else 1', "margin = 0"),
            "flow-resize-sides": (
                "[size[1] / width, size[0] / height]",
                "[size[0] / height, size[1] / width]",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/ops/windows.py",
        "tests/ops/test_windows.py",
        {
            "windows-one-too-many": (
                "math.ceil((length - overlap) / (size - overlap))",
                "math.ceil(length / (size - overlap))",
            ),
            "windows-ramp": (
                "dtype=torch.float64) + 0.5) / length",
                "dtype=torch.float64) + 1) / length",
            ),
            "windows-bell-width": ("variance = 0.01", "variance = 0.02"),
            "grid-ignores-its-end": ("min(factor * w.stop, end)", "max(factor * w.stop, end)"),
        },
    ),
    *_mutations_of(
        "vsr_cli/ops/color.py",
        "tests/ops/test_color.py tests/ops/test_color_parity.py",
        {
            "color-luma-weights": ("(0.299, 0.587, 0.114)", "(0.299, 0.114, 0.587)"),
            "color-blur-width": ("_BLUR_SIGMA = 3.25", "_BLUR_SIGMA = 1.5"),
            "color-flat-contrast": (
                "gain = (want_std + 2 / 255)",
                "gain = want_std",
            ),
            "color-fewer-levels": ("levels: int = 5", "levels: int = 4"),
        },
    ),
    *_mutations_of(
        "vsr_cli/ops/shots.py",
        "tests/ops/test_shots.py",
        {
            "shots-change": ("_MIN_CHANGE = 0.062", "_MIN_CHANGE = 0.2"),
            "shots-unlikeness": ("_MIN_UNLIKENESS = 0.12", "_MIN_UNLIKENESS = 0.0"),
            "shots-histogram": ("_HISTOGRAM_SHARE = 0.1", "_HISTOGRAM_SHARE = 0.0"),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/units/parts.py",
        "tests/pipeline/units/test_parts.py",
        {
            "parts-not-compared": (
                "(one.pts, one.crc) != (other.pts, other.crc)",
                "one.pts != other.pts",
            ),
            "parts-frame-twice": (
                "(look.glances[OVERLAP:] for",
                "(look.glances[OVERLAP - 1 :] for",
            ),
            "parts-flaws-ignored": (
                "for code, text in notes if code in FLAWS",
                "for _, text in ()",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/units/slots.py",
        "tests/pipeline/units/test_slots.py",
        {
            "slots-later-job-first": ("if not free or not all(", "if not free or any("),
            "slots-taken-twice": ("Counter(places) - self._taken", "Counter(places)"),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/units/films.py",
        "tests/pipeline/units/test_film.py",
        {
            "films-stages-mixed": ("return event.stage == last.stage", "return True"),
            "films-turn-ignored": ("while not self._turn.wait(_PATIENCE):", "while False:"),
        },
    ),
    *_mutations_of(
        "vsr_cli/diffusion/schedule.py",
        "tests/diffusion/test_schedule.py tests/diffusion/test_sampler.py",
        {
            "schedule-large-variance": (
                "math.sqrt((1 - after) / (1 - now) * (1 - now / after))",
                "math.sqrt(1 - now / after)",
            ),
            "respaced-times-truncated": (
                "round(index * last / (steps - 1))",
                "int(index * last / (steps - 1))",
            ),
            "respaced-start-weights": (
                "alpha.sqrt() * latents + (1 - alpha).sqrt() * noise",
                "(1 - alpha).sqrt() * latents + alpha.sqrt() * noise",
            ),
            "respaced-betas": ("math.sqrt(0.012)", "math.sqrt(0.0115)"),
            "noise-forgets-step": (
                "for value in (seed, frame, step)",
                "for value in (seed, frame)",
            ),
            "noise-arithmetic-shift": (
                "(x >> bits).bitwise_and_((1 << (64 - bits)) - 1)",
                "x >> bits",
            ),
            "noise-infinite": ("(upper.float() + 0.5) * 2.0**-32", "upper.float() * 2.0**-32"),
        },
    ),
    *_mutations_of(
        "vsr_cli/diffusion/motion.py",
        "tests/diffusion/test_motion.py",
        {
            "motion-huber-delta": ("HUBER_DELTA = 0.5", "HUBER_DELTA = 1.0"),
            "motion-trusted-share": ("TRUSTED_SHARE = 0.75", "TRUSTED_SHARE = 0.5"),
            "motion-unbounded-pull": ("torch.minimum(step, half)", "step"),
            "motion-single-term-weight": (
                "(visible_backward + splat[:, -1:]).clamp(min=1)",
                "(visible_backward + splat[:, -1:]).clamp(min=2)",
            ),
            "motion-deviation-for-variance": (
                "step = strength * variance *",
                "step = strength * variance**0.5 *",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/diffusion/sampler.py",
        "tests/diffusion/test_sampler.py tests/diffusion/test_published_sampler.py",
        {
            "sampler-fewer-pulls": (
                "math.ceil(_LEAST_PULLS / num_steps)",
                "max(1, _LEAST_PULLS // num_steps)",
            ),
            "sampler-noise-of-step": ("noise(index + 1).float()", "noise(index).float()"),
            "sampler-prediction-after-guidance": (
                "previous_x0.copy_(last.detach())",
                "previous_x0.copy_(predicted[:, -1:].detach())",
            ),
            "sampler-stepped-after-guidance": (
                "kept.stepped_latents[index].copy_(last.detach())",
                "kept.stepped_latents[index].copy_(latents[:, -1:].detach())",
            ),
            "published-noise-of-step": ("noise(count).float()", "noise(1).float()"),
            "published-sigma-of-step": (
                "guide(latents, chain.scheduler.sigma(index))",
                "guide(latents, chain.scheduler.sigma(steps[-1]))",
            ),
            "published-network-time": (
                "chain.network_times[index]",
                "chain.network_times[count - 1]",
            ),
            "published-carries-first": (
                "latents[:, latents.shape[1] - num_carried :]",
                "latents[:, :num_carried]",
            ),
            "published-history-unused": (
                "if known_states is not None:",
                "if known_states is None:",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/media/writing/verify.py",
        "tests/media/writing/test_verify.py",
        {
            "verify-fewer-frames-only": (
                "if found.num_frames != times.num_frames:",
                "if found.num_frames < times.num_frames:",
            ),
            "verify-delay-tolerance": (
                "abs(found.mean_delay - times.mean_delay) > tick",
                "abs(found.mean_delay - times.mean_delay) > 1000 * tick",
            ),
            "verify-delay-one-sided": (
                "if abs(found.mean_delay - times.mean_delay)",
                "if (found.mean_delay - times.mean_delay)",
            ),
            "verify-length-tolerance": ("2 * expected.step + tick", "20 * expected.step + tick"),
            "verify-any-bytes": ("num_bytes == self.num_bytes", "num_bytes > 0"),
            "verify-any-subtitle": (
                "num_packets >= self.num_packets",
                "num_packets > 0",
            ),
            "verify-holes": ("num_damaged += picture.is_corrupt", "num_damaged += 0"),
            "verify-lost-frames": (
                "if num_frames != expected.times.num_frames:",
                "if num_frames > expected.times.num_frames:",
            ),
            "verify-raw-size": ("if found == num_bytes", "if found >= num_bytes"),
        },
    ),
    *_mutations_of(
        "vsr_cli/media/reading/concealment.py",
        "tests/media/reading/test_concealment.py",
        {
            "conceal-corrupt-key-frame": (
                "picture.key_frame and not picture.is_corrupt:",
                "picture.key_frame:",
            ),
            "conceal-never-ends": (
                "if picture is not None and picture.key_frame",
                "if picture is None",
            ),
            "conceal-undamaged": ("if time == end or not self._is_damaged or", "if time == end or"),
            "conceal-order": (
                "heapq.heappush(self._expected, time)",
                "self._expected.append(time)",
            ),
            "conceal-count": (
                "self._statistics.num_repeated += 1",
                "self._statistics.num_repeated = 1",
            ),
            "conceal-while-skipping": (
                'self._policy in ("repeat", "fill")',
                'self._policy != "stop"',
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/media/writing/cfr.py",
        "tests/media/writing/test_cfr.py",
        {
            "cfr-tie-to-even": ("Fraction(ceil(time - Fraction(1, 2)))", "Fraction(round(time))"),
            "cfr-origin": (
                "(frame.pts * frame.time_base - info.origin)",
                "(frame.pts * frame.time_base)",
            ),
            "cfr-short-last-frame": (
                "max(1, round(held.duration * held.time_base * plan.rate))",
                "round(held.duration * held.time_base * plan.rate)",
            ),
            "cfr-keeps-farther": ("abs(time - nearest) < error", "abs(time - nearest) > error"),
        },
    ),
    *_mutations_of(
        "vsr_cli/media/timestamps.py",
        "tests/media/test_timestamps.py tests/media/test_coarse_clocks.py",
        {
            "timestamps-repeat": ("pts <= self._last", "pts < self._last"),
            "timestamps-nonsense-duration": (
                "2 * duration < self._step",
                "duration < self._step // 8",
            ),
            "timestamps-drop-tenth": ("passed - passed // 10", "passed"),
            "timestamps-midnight": ("hours % 24", "hours"),
        },
    ),
    *_mutations_of(
        "vsr_cli/media/reading/trim.py",
        "tests/media/reading/test_trim.py tests/media/reading/test_trim_counts.py",
        {
            "trim-duration-from-zero": (
                "stop = (start or Fraction(0)) + config.duration",
                "stop = config.duration",
            ),
            "trim-nth-inclusive": ("if time >= first:", "if time > first:"),
            "trim-nth-reorder": ("if len(later) > count + reorder:", "if len(later) > count:"),
            "trim-count-truncated": (
                "ceil((stop - start) * info.rate)",
                "int((stop - start) * info.rate)",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/quality/metrics.py",
        "tests/quality/test_metrics.py",
        {
            "ssim-contrast-constant": ("0.01**2, 0.03**2", "0.01**2, 0.1**2"),
            "ssim-window-width": ("(2 * 1.5**2)", "(2 * 2.0**2)"),
            "tlpips-signs-cancel": ("100 * change.abs().mean()", "100 * change.mean().abs()"),
            "psnr-cap": ("error.clamp(min=1e-10)", "error.clamp(min=1e-9)"),
            "warping-error-everywhere": (
                "visible_forward.sum().clamp(min=1)",
                "visible_forward.numel()",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/clips.py",
        "tests/pipeline/test_clips.py",
        {
            "clips-stale-at-the-end": (
                "    if len(held) > shared:\n        yield",
                "    if held:\n        yield",
            ),
            "clips-stale-at-a-cut": (
                "            if len(held) > shared:\n                yield",
                "            if held:\n                yield",
            ),
            "clips-share-before-the-start": (
                "return min(first - origin, overlap)",
                "return overlap",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/resume/output.py",
        "tests/pipeline/resume/test_output.py",
        {
            "output-chunk-unbounded": (
                "min(config.chunk_length, most)",
                "config.chunk_length",
            ),
            "output-checkpoint-pause": ("pause = 20 * (", "pause = 0 * ("),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/resume/manifest.py",
        "tests/pipeline/resume/test_manifest.py",
        {
            "manifest-other-release": (
                '_release(values.pop("vsr")) != _release(__version__)',
                'not values.pop("vsr")',
            ),
            "manifest-seed-ignored": (
                '"output.attachments", "output.metadata",',
                '"output.attachments", "output.metadata", "sampler.seed",',
            ),
            "manifest-unchecked": ("checksum != _checksum(values):", "not values:"),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/resume/job.py",
        "tests/pipeline/resume/test_own.py tests/pipeline/resume/test_output.py",
        {
            "job-forgets-its-manifest": (
                "not in (*names, LOCK, self.manifest_path.name)",
                "not in (*names, LOCK)",
            ),
            "job-digests-unchecked": ("if found != digest:", 'if found == "missing":'),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/resume/folder.py",
        "tests/pipeline/resume/test_own.py",
        {
            "job-follows-links": ("if stat.S_ISLNK(found.st_mode):", "if False:"),
            "job-takes-any-folder": (
                "any(path.name in (LOCK, MANIFEST) for path in paths)",
                "any(path.name for path in paths)",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/digest.py",
        "tests/test_digest.py",
        {
            "digest-without-the-end": ("* index // (NUM_SAMPLES - 1)", "* index // NUM_SAMPLES"),
            "digest-of-the-start": ("if size <= MOST_READ:", "if size <= 2 * MOST_READ:"),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/resume/journal.py",
        "tests/pipeline/resume/test_output.py tests/pipeline/resume/test_journal.py",
        {
            "journal-dropped": ("self._file.truncate(size)", "self._file.truncate(0)"),
            "journal-short": (").st_size < size", ").st_size < 0"),
        },
    ),
    *_mutations_of(
        "vsr_cli/media/writing/encoder_plan.py",
        "tests/pipeline/resume/test_journal.py",
        {"frame-eight-bits": ("samples * (1 if layout.depth == 8 else 2)", "samples")},
    ),
    *_mutations_of(
        "vsr_cli/pipeline/restorers/small/regions.py",
        "tests/pipeline/restorers/small/test_regions.py",
        {"cores-overlap": ("(before.stop + after.start) // 2", "before.stop")},
    ),
    *_mutations_of(
        "vsr_cli/pipeline/restorers/small/states.py",
        "tests/pipeline/restorers/small/test_regions.py",
        {
            "regions-forget": ("        self._has_old = True\n", "        self._has_old = False\n"),
            "regions-in-one-place": (
                "self._old, self._new = self._new, self._old",
                "self._old = self._new",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/memory.py",
        "tests/pipeline/test_memory.py",
        {
            "memory-counted-again": ("if name not in counted:", "if True:"),
            "memory-inner-group": ("for group in (own, *own.parents):", "for group in (own,):"),
            "memory-caches-taken": (
                "int((group / used).read_text()) + cached",
                "int((group / used).read_text())",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/resume/state.py",
        "tests/pipeline/resume/test_state.py",
        {
            "state-order-of-memory": ("if name in last else x", "if name in () else x"),
            "state-lost-order": (
                "last = [name for name, x in tensors.items() if _has_channels_last(x)]",
                "last = list[str]()",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/repair/rate.py",
        "tests/pipeline/repair/test_rate.py",
        {
            "rate-late-frames": ("* self._rate - _NEAR)", "* self._rate)"),
            "rate-moves-frames": ("passed * self._rate <= _NEAR", "passed * self._rate < 0"),
            "rate-crosses-cuts": (
                "if self._scene_cut and is_cut(",
                "if not self._scene_cut and is_cut(",
            ),
            "rate-forgets-its-start": ("start = Fraction(numerator, denominator)", "pass"),
            "rate-last-frame-of-a-step": ("if following is None and is_last:", "if False:"),
            "rate-equal": ("if config.fps <= info.rate:", "if config.fps < info.rate:"),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/repair/pair.py",
        "tests/pipeline/repair/test_fill.py tests/pipeline/repair/test_rate.py",
        {"pair-explains-anything": ("_MOST_DISAGREEMENT = 0.45", "_MOST_DISAGREEMENT = 4.5")},
    ),
    *_mutations_of(
        "vsr_cli/pipeline/repair/fill.py",
        "tests/pipeline/repair/test_fill.py",
        {
            "fill-crosses-cuts": (
                "if self._scene_cut and is_cut(",
                "if not self._scene_cut and is_cut(",
            ),
            "fill-times": (
                "float((time - start) / (stop - start))",
                "float((stop - time) / (stop - start))",
            ),
            "fill-counts-anew": ("self.counts = Counter(dict(counts))", "self.counts = Counter()"),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/repair/gaps.py",
        "tests/pipeline/repair/test_gaps.py",
        {
            "gaps-long": ("if len(gap) > self.most:", "if len(gap) > self.most + 1:"),
            "gaps-end-in-black": ("return are_lit and", "return"),
            "gaps-pattern": (") >= 3", ") >= 30"),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/repair/dirt.py",
        "tests/pipeline/repair/test_dirt.py",
        {
            "dirt-left-unsaid": ("self.num_left += is_left", "self.num_left += 0"),
            "dirt-any-share": ("if not 0 < share <= self._config.most:", "if not share:"),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/repair/erase.py",
        "tests/pipeline/repair/test_erase.py",
        {
            "erase-remembers-across-cuts": (
                "memory, before = Memory(), None\n                self._views",
                "memory, before = memory, before\n                self._views",
            ),
            "erase-reads-ahead": (
                "if len(held) == self._num_held:",
                "if len(held) == 2 * self._num_held:",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/pipeline/repair/windows.py",
        "tests/pipeline/repair/test_windows.py",
        {"parts-without-margin": ("reach = -(-margin // CELL)", "reach = 0")},
    ),
    *_mutations_of(
        "vsr_cli/pipeline/repair/stage.py",
        "tests/pipeline/repair/test_stage.py",
        {
            "stage-too-late": ("if entry.given <= index]", "if entry.given <= index + 1]"),
            "stage-forgets-nothing": ("self._entries.popleft()", "break"),
        },
    ),
    *_mutations_of(
        "vsr_cli/ops/interpolate.py",
        "tests/ops/test_interpolate.py",
        {
            "between-other-way": ("Between(-motion * time,", "Between(motion * time,"),
        },
    ),
    *_mutations_of(
        "vsr_cli/ops/fill.py",
        "tests/ops/test_fill.py",
        {
            "fill-unknown-counts": ("levels = [(x * known, known)]", "levels = [(x, known)]"),
            "fill-no-sweeps": ("_NUM_SWEEPS = 40", "_NUM_SWEEPS = 0"),
        },
    ),
    *_mutations_of(
        "vsr_cli/ops/propagate.py",
        "tests/ops/test_propagate.py",
        {
            "propagate-believes-all": ("(error < borne)", "(error < 9)"),
            "propagate-light": ("lighter = values + spread(", "lighter = values + 0 * spread("),
            "propagate-motion-into-holes": (
                "torch.maximum(here, lands_there.float())",
                "here",
            ),
            "propagate-sum": ("cost = cost + error", "cost = error"),
            "propagate-doubt": ("hole * (1 - best)", "hole * (0 * best)"),
            "propagate-unsure": (
                "torch.where(any_sure > 0, side.is_sure, side.had)",
                "side.had",
            ),
        },
    ),
    *_mutations_of(
        "vsr_cli/ops/dirt.py",
        "tests/ops/test_dirt.py",
        {
            "dirt-single-pixels": ("_FEWEST = 3 / 9", "_FEWEST = 1 / 9"),
            "dirt-neighbours-differ": ("(spike * agree / least)", "(spike / least)"),
            "dirt-things-anywhere": ("& (changed > limit)", "& (changed >= 0)"),
            "dirt-things-of-one-side": ("for frame in frames]", "for frame in frames[:1]]"),
            "dirt-things-far-away": (
                "slice(max(part.start - reach, 0), part.stop + reach)",
                "slice(0, None)",
            ),
            "dirt-things-all": ("areas[labels == label] = 0", "areas[:] = 0"),
        },
    ),
    *_mutations_of(
        "vsr_cli/media/masks.py",
        "tests/media/test_masks.py",
        {
            "masks-time-of-boxes": (
                "box.start <= self._time(frame) < (box.stop or 0)",
                "box.start <= self._time(frame) <= (box.stop or 0)",
            ),
            "masks-turned": ("np.rot90(mask, -turns)", "np.rot90(mask, turns)"),
            "masks-of-everything": ("_MOST = 0.6", "_MOST = 1.0"),
        },
    ),
]
