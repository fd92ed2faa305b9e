"""The stages that look at decoded frames: few-step student and sequence decoder."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from vsr_cli.diffusion.motion import Motion, guide
from vsr_cli.diffusion.sampler import guidance_rounds
from vsr_cli.diffusion.schedule import NUM_TRAIN_TIMESTEPS, AncestralScheduler, make_scheduler
from vsr_cli.models.flow import DisFlow
from vsr_cli.models.small.decoder import Recall
from vsr_cli.models.small.model import Condition, SmallModel
from vsr_cli.training import losses as L
from vsr_cli.training.adversary import Adversary
from vsr_cli.training.dataset import Sample
from vsr_cli.training.recipes import encode_batch, perceptual, random_fidelity

PERCEPTUAL_WEIGHT = 0.2
ADVERSARIAL_WEIGHT = 0.15  # six times that of arXiv 2312.00853: the perceptual term is strong too
LATENT_WEIGHT = 0.05
GRID_WEIGHT = 4.0
HALO_WEIGHT = 2.0
ADVERSARIAL_START = 0.1  # of the stage; a fresh discriminator has nothing to say
TRUE_SHARE, ZERO_SHARE = 0.25, 0.1  # of the decoder's samples
LONGEST_PAST = 24  # frames before a sample


class _FrameRecipe:
    """What the stages share that judge decoded frames."""

    def __init__(self, vgg: L.VggFeatures | None, steps: int, learning_rate: float) -> None:
        self.vgg = vgg
        self.steps = steps
        self.flow = DisFlow()
        self.adversary = Adversary(learning_rate)

    def terms(
        self, frames: Tensor, hr: Tensor, latents: Tensor, target: Tensor, progress: float
    ) -> dict[str, Tensor]:
        """All losses: of frames against `hr`, and of latents against those of the truth."""
        motion = estimate(self.flow, hr) if hr.shape[1] > 1 else None
        terms = frame_losses(frames, hr, motion, self.vgg)
        terms["latent"] = LATENT_WEIGHT * (latents - target).abs().mean()
        if progress > ADVERSARIAL_START:
            terms["adversarial"] = ADVERSARIAL_WEIGHT * self.adversary.loss(frames, hr, motion)
        return terms

    def finish(self, model: SmallModel, batches: Iterator[Sample]) -> None:
        return None


class StudentRecipe(_FrameRecipe):
    """Stage C: condition encoder and U-Net, on the states their own few-step chain visits.

    The chain is rolled out without gradients to a random step, whose predicted x0 is then
    decoded by the frozen decoder and judged as frames. Times are drawn anew within each step's
    share of the chain, so that the same network still serves chains of many steps.
    """

    def trained(self, model: SmallModel) -> list[nn.Module]:
        return [model.condition_encoder, model.denoiser]

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        target, condition = encode_batch(model, batch)
        motion = estimate(self.flow, batch.lr) if target.shape[1] > 1 else None
        scheduler = jittered_scheduler(self.steps)
        latents = predict(model, condition, scheduler, target.shape, motion)
        # Without memory along the flow, which only stage D teaches.
        frames, _ = model.decode(
            latents,
            batch.lr,
            condition.lr_features,
            fidelity=1.0,
            remembered=None,
            recalls=[None] * target.shape[1],
        )
        return self.terms(frames, batch.hr, latents, target, progress)


class DecoderRecipe(_FrameRecipe):
    """Stage D: the decoder with its memory, on latents drawn by the sampler, which goes on too.

    A quarter of the samples have the truth's own latents: sampled ones are right only in part,
    and a decoder that sees nothing else learns to ignore them. Some have none, which keeps the
    decoder alone a super-resolution network. One batch in four comes from a chain three times
    as long. Half of the batches begin with a memory, which without gradients grew as old as it
    does in long videos: what adds up slowly is thus seen, and has its price.

    L = L_recon + 0.5 L_diff + 0.5 L_swc + w L_GAN (arXiv 2312.00853, eq. 4 to 6). There the
    sampler is frozen; here it costs a tenth of the decoder, so it follows its decoder.
    """

    def trained(self, model: SmallModel) -> list[nn.Module]:
        return [model.decoder, model.condition_encoder, model.denoiser]

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        hr, lr = batch.hr, batch.lr
        target, condition = encode_batch(model, batch)
        scheduler = jittered_scheduler(self.steps * (3 if torch.rand(()) < 0.25 else 1))
        motion = estimate(self.flow, lr)
        latents = predict(model, condition, scheduler, target.shape, motion)
        kind = torch.rand(hr.shape[0], device=hr.device)
        zero = kind < ZERO_SHARE
        true = kind > 1 - TRUE_SHARE
        seen = torch.where(true[:, None, None, None, None], target, latents)
        seen = torch.where(zero[:, None, None, None, None], torch.zeros_like(seen), seen)
        fidelity = random_fidelity(zero)
        past = random_past(lr.shape[1])
        recalls = find_recalls(motion, [*past, *range(lr.shape[1])])
        remembered = None
        if past:
            with torch.no_grad():
                _, remembered = model.decode(
                    seen[:, past],
                    lr[:, past],
                    condition.lr_features[:, past],
                    fidelity=fidelity,
                    remembered=None,
                    recalls=recalls[: len(past)],
                )
        frames, _ = model.decode(
            seen,
            lr,
            condition.lr_features,
            fidelity=fidelity,
            remembered=remembered,
            recalls=recalls[len(past) :],
        )
        return self.terms(frames, hr, latents, target, progress)


def random_past(num_frames: int) -> list[int]:
    """Frames that came before a clip's frame 0: none for half of them, else 1 to LONGEST_PAST.

    The clip itself is walked, to and fro, which gives a memory as old as those of long videos
    from samples of a few frames.
    """
    if num_frames == 1 or torch.rand(()) < 0.5:
        return []
    last = num_frames - 1
    count = int(torch.randint(1, LONGEST_PAST + 1, ()))
    return [last - abs(k % (2 * last) - last) for k in range(count, 0, -1)]


def find_recalls(motion: Motion, path: list[int]) -> list[Recall | None]:
    """The way back along a walk through a clip, from each frame to its neighbour before it."""
    recalls: list[Recall | None] = [None]
    for before, now in pairwise(path):
        if now > before:
            flow, visible = motion.flow_backward[:, before], motion.visible_backward[:, before]
        else:
            flow, visible = motion.flow_forward[:, now], motion.visible_forward[:, now]
        recalls.append(Recall(flow, visible))
    return recalls


def frame_losses(
    frames: Tensor, hr: Tensor, true: Motion | None, vgg: L.VggFeatures | None
) -> dict[str, Tensor]:
    """Everything but the adversarial term of arXiv 2312.00853, eq. 4 to 6, weighted.

    `true` is the motion of `hr`, None for single frames.
    """
    terms = {
        "recon": L.charbonnier(frames, hr),
        "gradient": 0.25 * L.gradient_loss(frames, hr),
        "grid": GRID_WEIGHT * L.grid_loss(frames, hr),
        "halo": HALO_WEIGHT * L.halo_loss(frames, hr),
    }
    if true is not None:
        terms["difference"] = 0.5 * L.difference_loss(frames, hr)
        terms["structure"] = 0.5 * L.structure_warp_loss(
            frames,
            hr,
            true.flow_forward,
            true.flow_backward,
            true.visible_forward,
            true.visible_backward,
        )
    if vgg is not None:
        terms["perceptual"] = PERCEPTUAL_WEIGHT * perceptual(vgg, frames, hr)
    return terms


def jittered_scheduler(steps: int) -> AncestralScheduler:
    """A chain of `steps` steps from pure noise, each later time drawn within its share."""
    scheduler = make_scheduler(steps)
    share = NUM_TRAIN_TIMESTEPS / steps
    times = [NUM_TRAIN_TIMESTEPS - 1]
    for step in range(1, steps):
        last = times[0] - step * share
        times.append(round(last - share * (float(torch.rand(())) - 0.5)))
    scheduler.set_timesteps(timesteps=times)
    return scheduler


def predict(
    model: SmallModel,
    condition: Condition,
    scheduler: AncestralScheduler,
    shape: torch.Size,
    motion: Motion | None,
) -> Tensor:
    """Predicted x0 (B, T, L, h, w) of a state that the chain visits, guided, with gradients.

    `motion` is that of the LR frames; None switches guidance off, as it is for single frames.
    """
    on_latents = motion.resized((shape[-2], shape[-1])) if motion else None
    with torch.no_grad():
        noisy, t = visit(model, condition, scheduler, shape, on_latents)
    return predict_clean(model, condition, scheduler, noisy, t, on_latents)


def visit(
    model: SmallModel,
    condition: Condition,
    scheduler: AncestralScheduler,
    shape: torch.Size,
    motion: Motion | None,
) -> tuple[Tensor, int]:
    """A state x_t of the model's own chain, (B, T, L, h, w), and its time; the last one in half."""
    times = scheduler.timesteps.tolist()
    last = len(times) - 1
    stop = last if torch.rand(()) < 0.5 else int(torch.randint(0, len(times), ()))
    noisy = torch.randn(shape, device=condition.lr_features.device)
    for t in times[:stop]:
        x0 = predict_clean(model, condition, scheduler, noisy, t, motion)
        noisy = scheduler.advance(x0, t, noisy, torch.randn_like(noisy))
    return noisy, times[stop]


def predict_clean(
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
        for _ in range(guidance_rounds(len(scheduler.timesteps))):
            x0 = guide(x0, motion, strength=1.0)
    return x0


@torch.no_grad()
def estimate(flow: DisFlow, frames: Tensor) -> Motion:
    """DIS flow and visibility on the frames' own grid."""
    return Motion.from_flow(*flow(frames))
