"""The stages that need the sampler: few-step student and sequence decoder."""

import random
from itertools import pairwise

import torch
from torch import Tensor, nn

from vsr_cli.config import NUM_TRAIN_TIMESTEPS, Chain
from vsr_cli.diffusion.motion import Motion, guide_bounded
from vsr_cli.diffusion.sampler import guidance_rounds
from vsr_cli.diffusion.schedule import AncestralScheduler, make_scheduler
from vsr_cli.models.flow import DisFlow
from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.model import Condition, SmallModel, reduce_to_body
from vsr_cli.training import losses as L
from vsr_cli.training.adversary import DiscriminatorTrainer
from vsr_cli.training.dataset import Sample
from vsr_cli.training.recipes import (
    ADVERSARIAL_WEIGHT,
    NOISE_ON_TRUE,
    SPECTRUM_WEIGHT,
    DenoiserRecipe,
    DenoisingLoss,
    encode_batch,
    perceptual,
    random_fidelity,
)

TEACHER_STEPS = 16
PERCEPTUAL_WEIGHT = 0.2
GRID_WEIGHT, LATTICE_WEIGHT, HALO_WEIGHT, BOX_WEIGHT, CHROMA_WEIGHT = 4.0, 16.0, 2.0, 1.0, 2.0
SAMPLED_RECON_WEIGHT = 0.5  # of that of exact latents; with none, specks of single pixels grow
LONG_CHAIN_SHARE = 0.25
NOISE_SCALES = 0.6, 1.0  # of the sampler's steps, see `AncestralScheduler`
SAMPLED_SHARE, TRUE_SHARE = 0.5, 0.3  # of the decoder's samples; the rest are zero
PAST_SHARE = 1 / 8  # of the steps that begin with an old memory: walking there is not cheap
DENOISER_RATE, DENOISING_WEIGHT = 3.0, 0.3  # in stage D; frames have a say beside its own loss
LONGEST_PAST = 24  # frames before a sample


class StudentRecipe(DenoiserRecipe):
    """Stage C: in a few steps, to where the teacher's chain of many steps ends.

    The student's own chain is rolled out without gradients to one of its steps. From the state it
    reaches the teacher goes on without noise (DDIM, arXiv 2010.02502, eq. 12), in steps as short as
    those of a whole chain of `TEACHER_STEPS`; the student must predict the latents where that
    ends, in one step. Its denoising loss goes on, so that it still serves chains of many steps.
    """

    def __init__(self, teacher: SmallModel, steps: int) -> None:
        super().__init__()
        self.teacher = teacher.eval().requires_grad_(False)
        self.steps = steps

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        target, condition = encode_batch(model, batch)
        scheduler = jittered_scheduler(self.steps)
        with torch.no_grad():
            noisy, t = rollout(model, condition, scheduler, target.shape)
            self.teacher.to(target.device)
            known = self.teacher.condition(batch.lr, batch.scale)
            end = follow(self.teacher, known, noisy, t)
        error = predict_x0(model, condition, scheduler, noisy, t, None) - end
        v, _ = self.loss(model, target, condition)
        return {"v": v, "endpoint": error.abs().mean() + error.square().mean()}


class DecoderRecipe:
    """Stage D: the decoder with its memory, on latents of every origin, and the denoiser.

    Some are drawn by the sampler, guided as at run time. Where they are right only in kind, pixel
    losses would teach the decoder to ignore them: those are judged by features, by means of 4x4
    pixels, and by pixels with half the weight. Some are the truth's own with noise, some are zero,
    so that the decoder alone stays a restoration network; they have every loss. The adversary,
    change, what keeps to a grid, halos, and colour count for all. How many steps the sampler takes
    and how much noise it adds is drawn, so that both can be chosen later.

    Losses of sampled frames reach the denoiser through the last step of its chain, beside its own
    loss, without which it would soon be no denoiser.

    One batch in eight begins with a memory, which without gradients grew as old as it does in
    long videos: what adds up slowly is thus seen.

    L = L_recon + 0.5 L_diff + 0.5 L_swc + w L_GAN (arXiv 2312.00853, eq. 4 to 6).
    """

    def __init__(
        self, vgg: L.VggFeatures | None, steps: int, adversary: DiscriminatorTrainer
    ) -> None:
        self.vgg = vgg
        self.steps = steps
        self.flow = DisFlow()
        self.adversary: DiscriminatorTrainer | None = adversary
        self.denoising = DenoisingLoss()

    @property
    def observed(self) -> dict[str, Tensor]:
        """See `DenoisingLoss`."""
        return self.denoising.observed

    def watch(self, averaged: SmallModel) -> None:
        return None

    def trained(self, model: SmallModel) -> list[nn.Module]:
        return [model.decoder, model.condition_encoder, model.denoiser]

    def rates(self) -> list[float]:
        return [1.0, DENOISER_RATE, DENOISER_RATE]

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        hr, lr = batch.hr, batch.lr
        target, condition = encode_batch(model, batch)
        motion = estimate(self.flow, reduce_to_body(lr, batch.scale))
        kinds = random_kinds(hr.shape[0], hr.device)
        seen = self._latents(model, target, condition, motion, kinds)
        past = random_past(lr.shape[1])
        warps = find_warps(motion, [*past, *range(lr.shape[1])])
        fidelity = random_fidelity(kinds == ZERO)
        memory_features = None
        if past:
            with torch.no_grad():
                _, memory_features = model.decode(
                    seen[:, past],
                    lr[:, past],
                    condition.lr_features[:, past],
                    fidelity=fidelity,
                    memory_features=None,
                    warps=warps[: len(past)],
                )
        frames, _ = model.decode(
            seen,
            lr,
            condition.lr_features,
            fidelity=fidelity,
            memory_features=memory_features,
            warps=warps[len(past) :],
        )
        terms = self._terms(frames, hr, kinds)
        v, _ = self.denoising(model, target, condition)
        terms["v"] = DENOISING_WEIGHT * v
        return terms

    def _latents(
        self,
        model: SmallModel,
        target: Tensor,
        condition: Condition,
        motion: Motion | None,
        kinds: Tensor,
    ) -> Tensor:
        """Latents (B, T, L, h, w) of the origins that were drawn."""
        low, high = NOISE_ON_TRUE
        shape = (len(target), 1, 1, 1, 1)
        deviation = low + (high - low) * torch.rand(shape, device=target.device)
        true = target + deviation * torch.randn_like(target)
        drawn = torch.zeros_like(target)
        if (kinds == SAMPLED).any():
            steps = random_steps(self.steps)
            noise_scale = float(torch.empty(()).uniform_(*NOISE_SCALES))
            scheduler = jittered_scheduler(steps, noise_scale=noise_scale)
            drawn = draw_latents(model, condition, scheduler, target.shape, motion)
        kinds = kinds[:, None, None, None, None]
        return torch.where(kinds == TRUE, true, drawn * (kinds == SAMPLED))

    def _terms(self, frames: Tensor, hr: Tensor, kinds: Tensor) -> dict[str, Tensor]:
        """All losses of frames, each over the origins it is meant for, by their share."""
        motion = estimate(self.flow, hr) if hr.shape[1] > 1 else None
        exact = kinds != SAMPLED
        terms = {
            "grid": GRID_WEIGHT * L.grid_loss(frames, hr),
            "lattice": LATTICE_WEIGHT * L.lattice_loss(frames, hr),
            "chroma": CHROMA_WEIGHT * L.chroma_loss(frames, hr),
            "halo": HALO_WEIGHT * L.halo_loss(frames, hr),
            "spectrum": SPECTRUM_WEIGHT * L.spectrum_loss(frames, hr),
        }
        if motion is not None:
            terms["difference"] = 0.5 * L.difference_loss(frames, hr)
            terms["structure"] = 0.5 * L.structure_warp_loss(
                frames,
                hr,
                motion.flow_forward,
                motion.flow_backward,
                motion.visible_forward,
                motion.visible_backward,
            )
        if exact.any():
            share, own, true = exact.float().mean(), frames[exact], hr[exact]
            terms["recon"] = share * L.charbonnier(own, true)
            terms["gradient"] = 0.25 * share * L.gradient_loss(own, true)
            if self.vgg is not None:
                distance = perceptual(self.vgg, own, true)
                terms["perceptual"] = PERCEPTUAL_WEIGHT * share * distance
        if not exact.all():
            share, own, true = 1 - exact.float().mean(), frames[~exact], hr[~exact]
            terms["box"] = BOX_WEIGHT * share * L.box_loss(own, true)
            terms["recon_sampled"] = SAMPLED_RECON_WEIGHT * share * L.charbonnier(own, true)
            if self.vgg is not None:
                distance = perceptual(self.vgg, own, true, is_deep=True)
                terms["deep"] = PERCEPTUAL_WEIGHT * share * distance
        if self.adversary is not None:
            terms["adversarial"] = ADVERSARIAL_WEIGHT * self.adversary.loss(frames, hr, motion)
        return terms


SAMPLED, TRUE, ZERO = 0, 1, 2  # origins of latents


# What decides how long an iteration takes is drawn by `random`, see `TrainConfig.seed`.


def random_kinds(count: int, device: torch.device) -> Tensor:
    """An origin for each of so many samples, (count,) int64."""
    shares = SAMPLED_SHARE, TRUE_SHARE, 1 - SAMPLED_SHARE - TRUE_SHARE
    return torch.tensor(random.choices((SAMPLED, TRUE, ZERO), shares, k=count), device=device)


def random_steps(most: int) -> int:
    """Of a chain: 2 to `most` (>= 2), or in one case of four three times `most`.

    The last of few steps is taken at a high time, so that frames teach the denoiser at all of them.
    """
    return 3 * most if random.random() < LONG_CHAIN_SHARE else random.randint(2, most)


def random_past(num_frames: int) -> list[int]:
    """Frames that came before a clip's frame 0: mostly none, else 1 to LONGEST_PAST.

    The clip itself is walked, to and fro, which gives a memory as old as those of long videos
    from samples of a few frames.
    """
    if num_frames == 1 or random.random() >= PAST_SHARE:
        return []
    last = num_frames - 1
    count = random.randint(1, LONGEST_PAST)
    return [last - abs(k % (2 * last) - last) for k in range(count, 0, -1)]


def find_warps(motion: Motion, path: list[int]) -> list[MemoryWarp | None]:
    """The way back along a walk through a clip, from each frame to its neighbour before it."""
    warps: list[MemoryWarp | None] = [None]
    for before, now in pairwise(path):
        if now > before:
            flow, visible = motion.flow_backward[:, before], motion.visible_backward[:, before]
        else:
            flow, visible = motion.flow_forward[:, now], motion.visible_forward[:, now]
        warps.append(MemoryWarp(flow, visible))
    return warps


def jittered_scheduler(steps: int, *, noise_scale: float = 1.0) -> AncestralScheduler:
    """A chain of `steps` steps from pure noise, each later time drawn within its share."""
    scheduler = make_scheduler(steps, Chain(noise_scale=noise_scale))
    share = NUM_TRAIN_TIMESTEPS / steps
    times = [NUM_TRAIN_TIMESTEPS - 1]
    for step in range(1, steps):
        last = times[0] - step * share
        times.append(round(last - share * (float(torch.rand(())) - 0.5)))
    scheduler.set_timesteps(times)
    return scheduler


def rollout(
    model: SmallModel, condition: Condition, scheduler: AncestralScheduler, shape: torch.Size
) -> tuple[Tensor, int]:
    """A state x_t of the model's own chain, (B, T, L, h, w), and its time: any of its steps."""
    times = scheduler.timesteps.tolist()
    stop = int(torch.randint(0, len(times), ()))
    noisy = torch.randn(shape, device=condition.lr_features.device)
    for t in times[:stop]:
        x0 = predict_x0(model, condition, scheduler, noisy, t, None)
        noisy = scheduler.step(x0, t, noisy, torch.randn_like(noisy))
    return noisy, times[stop]


def follow(model: SmallModel, condition: Condition, noisy_latents: Tensor, start: int) -> Tensor:
    """Where a chain without noise ends that goes on from x_t, t = `start`, (B, T, L, h, w).

    x_s = sqrt(A_s) x0 + sqrt(1 - A_s) (x_t - sqrt(A_t) x0) / sqrt(1 - A_t) (arXiv 2010.02502,
    eq. 12 with sigma = 0).
    """
    scheduler = make_scheduler(TEACHER_STEPS)
    times = [start, *(t for t in scheduler.timesteps.tolist() if t < start)]
    for t, after in pairwise(times):
        x0 = predict_x0(model, condition, scheduler, noisy_latents, t, None)
        alpha, alpha_after = scheduler.alphas_cumprod[t], scheduler.alphas_cumprod[after]
        noise = (noisy_latents - alpha.sqrt() * x0) / (1 - alpha).sqrt()
        noisy_latents = alpha_after.sqrt() * x0 + (1 - alpha_after).sqrt() * noise
    return predict_x0(model, condition, scheduler, noisy_latents, times[-1], None)


def draw_latents(
    model: SmallModel,
    condition: Condition,
    scheduler: AncestralScheduler,
    shape: torch.Size,
    motion: Motion | None,
) -> Tensor:
    """Latents (B, T, L, h, w) at the end of the model's own chain, guided along the motion.

    Only the last step has gradients. `motion` is on the body's grid; None switches guidance off,
    as it is for single frames.
    """
    on_latents = motion.resized((shape[-2], shape[-1])) if motion else None
    noisy = torch.randn(shape, device=condition.lr_features.device)
    *times, last = scheduler.timesteps.tolist()
    with torch.no_grad():
        for t in times:
            x0 = predict_x0(model, condition, scheduler, noisy, t, on_latents)
            noisy = scheduler.step(x0, t, noisy, torch.randn_like(noisy))
    return predict_x0(model, condition, scheduler, noisy, last, on_latents)


def predict_x0(
    model: SmallModel,
    condition: Condition,
    scheduler: AncestralScheduler,
    noisy_latents: Tensor,
    t: int,
    motion: Motion | None,
) -> Tensor:
    """x0 = sqrt(A) x_t - sqrt(1 - A) v, (B, T, L, h, w), pulled along the motion of the latents."""
    alpha = scheduler.alphas_cumprod[t].to(noisy_latents.device)
    log_snr = alpha.clamp_min(1e-9).logit().expand(noisy_latents.shape[0])
    v, _ = model.denoise(noisy_latents, log_snr, condition, None)
    x0 = alpha.sqrt() * noisy_latents - (1 - alpha).sqrt() * v.float()
    if motion is not None:
        with torch.no_grad():  # pulls are given, not learnt: gradients pass them as they are
            guided = x0
            for _ in range(guidance_rounds(len(scheduler.timesteps))):
                guided = guide_bounded(guided, motion, strength=1.0)
        x0 = x0 + (guided - x0.detach())
    return x0


@torch.no_grad()
def estimate(flow: DisFlow, frames: Tensor) -> Motion:
    """DIS flow and visibility on the frames' own grid."""
    return Motion.from_flow(*flow(frames))
