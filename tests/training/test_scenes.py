"""Cameras, layers and the flow they make."""

import random

import pytest
import torch
from torch import Tensor

from vsr_cli.ops.warp import backward_warp
from vsr_cli.training import scenes
from vsr_cli.training.camera import (
    Camera,
    camera_flow,
    look,
    random_camera,
    shrink_flow,
    stays_inside,
)
from vsr_cli.training.scenes import Blob, Layer, Scene, compose, render_scene
from vsr_cli.training.textures import draw_picture

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "_POOL", 6)
    monkeypatch.setattr(scenes, "_PICTURE", 96)


def panning(*places: tuple[float, float]) -> Camera:
    """A camera that only pans, to these places (x, y)."""
    return Camera(matrix=torch.eye(2).expand(len(places), 2, 2), place=torch.tensor(places))


def smooth_picture(size: int = 64) -> Tensor:
    x, y = torch.arange(size) / 6, torch.arange(size)[:, None] / 5
    return torch.stack([torch.sin(x + y + phase) * 0.4 + 0.5 for phase in range(3)])


def warp_gap(scene: Scene) -> Tensor:
    """|warp(x[t+1], F[t]) - x[t]| and the same backward, where visible."""
    x = scene.frames
    forward = backward_warp(x[1:], scene.flow_forward) - x[:-1]
    backward = backward_warp(x[:-1], scene.flow_backward) - x[1:]
    return torch.cat(
        [(forward * scene.visible_forward).abs(), (backward * scene.visible_backward).abs()]
    )


def test_a_pan_to_the_right_moves_the_picture_to_the_left() -> None:
    forward, backward = camera_flow(panning((0, 0), (3, 1)), (4, 6))
    torch.testing.assert_close(forward[0, :, 2, 2], torch.tensor([-3.0, -1.0]))
    torch.testing.assert_close(backward[0, :, 2, 2], torch.tensor([3.0, 1.0]))


def test_a_zoom_moves_pixels_away_from_the_centre() -> None:
    matrix = torch.stack([torch.eye(2), torch.eye(2) / 2])  # the second frame sees half as much
    camera = Camera(matrix=matrix, place=torch.zeros(2, 2))
    forward, _ = camera_flow(camera, (5, 5))
    torch.testing.assert_close(forward[0, :, 2, 2], torch.zeros(2))
    torch.testing.assert_close(forward[0, :, 1, 4], torch.tensor([2.0, -1.0]))


def test_a_still_camera_sees_the_middle_of_the_picture() -> None:
    picture = torch.rand(3, 12, 14)
    seen = look(picture, panning((0, 0)), (6, 8))
    torch.testing.assert_close(seen[0], picture[:, 3:9, 3:11], atol=1e-5, rtol=0)


def test_random_cameras_differ_and_stay_near_their_limits() -> None:
    cameras = [random_camera(random.Random(seed), 5, speed=4) for seed in range(8)]
    steps = torch.stack([camera.place.diff(dim=0).norm(dim=1) for camera in cameras])
    assert steps.max() < 8
    assert steps.mean(dim=1).unique().numel() == 8


def test_a_camera_that_goes_by_whole_pixels_sees_what_is_in_the_picture() -> None:
    picture = torch.rand(3, 96, 96)
    offsets = set()
    for seed in range(4):
        camera = random_camera(random.Random(seed), 4, speed=8).in_whole_pixels()
        for frame, (x, y) in zip(look(picture, camera, (32, 32)), camera.place, strict=True):
            left, top = 32 + int(x), 32 + int(y)
            there = picture[:, top : top + 32, left : left + 32]
            torch.testing.assert_close(frame, there, atol=1e-4, rtol=0)
            offsets.add((left, top))
    assert len(offsets) > 8


def test_whole_pixel_motion_is_reproduced_exactly() -> None:
    picture = torch.rand(3, 64, 64)
    layer = Layer(picture=picture, camera=panning((0, 0), (2, -1), (5, 0)), holes=None)
    scene = compose([layer], (24, 24))
    assert warp_gap(scene).max() < 1e-4
    assert scene.visible_forward.mean() > 0.7


def test_sub_pixel_motion_of_smooth_layers_is_reproduced_where_visible() -> None:
    window = Blob(x=0, y=0, turn=0.3, width=9, height=6, is_box=True)
    back = Layer(picture=smooth_picture(), camera=panning((0, 0), (0.4, 0.3), (1, 0)), holes=None)
    front = Layer(
        picture=smooth_picture().flip(0) * 0.5,
        camera=panning((0, 0), (-2.3, 0), (-5.1, 0.7)),
        holes=(window,),
    )
    scene = compose([back, front], (40, 48))
    assert warp_gap(scene).max() < 0.03  # a wrong motion costs ten times as much
    assert 0.6 < scene.visible_forward.mean() < 0.97


def test_what_gets_hidden_is_not_visible() -> None:
    blob = Blob(x=0, y=0, turn=0, width=6, height=6, is_box=True)
    back = Layer(picture=torch.zeros(3, 64, 64), camera=panning((0, 0), (0, 0)), holes=None)
    front = Layer(picture=torch.ones(3, 64, 64), camera=panning((0, 0), (-8, 0)), holes=(blob,))
    scene = compose([back, front], (32, 48))
    # The box covers columns 18 to 29 and moves right by 8: it hides 30 to 37, uncovers 18 to 25.
    assert (scene.visible_forward[0, 0, 16, 30:37] == 0).all()
    assert (scene.visible_backward[0, 0, 16, 19:26] == 0).all()
    assert scene.visible_forward[0, 0, 16, 40:47].all()
    torch.testing.assert_close(scene.flow_forward[0, :, 16, 24], torch.tensor([8.0, 0.0]))
    torch.testing.assert_close(scene.flow_forward[0, :, 16, 4], torch.zeros(2))


def test_random_scenes_follow_their_flow_closely_on_average() -> None:
    for seed in range(8):
        scene = render_scene(seed, 3, (48, 48), device=CPU)
        assert scene.frames.shape == (3, 3, 48, 48)
        assert scene.frames.abs().max() <= 1
        visible = torch.cat([scene.visible_forward, scene.visible_backward]).sum()
        assert warp_gap(scene).sum() / visible / 3 < 0.06  # textures are as fine as pixels


def test_the_same_seed_draws_the_same_scene_and_another_another() -> None:
    first, again, other = (render_scene(seed, 2, (32, 32), device=CPU) for seed in (1, 1, 2))
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.flow_forward, again.flow_forward)
    assert not torch.equal(first.frames, other.frames)


@pytest.mark.slow
def test_scenes_are_made_where_they_are_wanted_and_never_read_back() -> None:
    # Reading a value of a tensor on `meta` is an error: nothing here makes a GPU wait.
    for seed in range(4):
        scene = render_scene(seed, 3, (32, 48), device=torch.device("meta"))
        assert scene.frames.device.type == scene.visible_forward.device.type == "meta"
        assert scene.frames.shape == (3, 3, 32, 48)


@pytest.mark.gpu
def test_a_gpu_makes_the_same_scenes_as_the_cpu() -> None:
    for seed in range(8):
        scene, expected = (
            render_scene(seed, 3, (32, 48), device=torch.device(kind)) for kind in ("cuda", "cpu")
        )
        assert (scene.frames.cpu() - expected.frames).abs().mean() < 1e-2
        torch.testing.assert_close(
            scene.flow_forward.cpu(), expected.flow_forward, atol=0.1, rtol=0.01
        )


def test_a_scene_of_one_frame_has_no_flow() -> None:
    scene = render_scene(0, 1, (32, 48), device=CPU)
    assert scene.frames.shape == (1, 3, 32, 48)
    assert scene.flow_forward.shape == (0, 2, 32, 48)


def test_holes_at_the_back_are_refused() -> None:
    blob = Blob(x=0, y=0, turn=0, width=6, height=6, is_box=False)
    layer = Layer(picture=torch.zeros(3, 8, 8), camera=panning((0, 0)), holes=(blob,))
    with pytest.raises(ValueError, match="no holes in the first"):
        compose([layer], (8, 8))


def test_flow_on_the_grid_of_lr_is_that_of_its_pixels_in_lr_pixels() -> None:
    camera = Camera(
        matrix=torch.stack([torch.eye(2), torch.eye(2) * 0.98]),
        place=torch.tensor([[0.0, 0.0], [2.0, 1.0]]),
    )
    large, _ = camera_flow(camera, (32, 48))
    quarter = Camera(matrix=camera.matrix, place=camera.place / 4)
    expected, _ = camera_flow(quarter, (8, 12))
    flow, visible = shrink_flow(large, torch.ones(1, 1, 32, 48))
    torch.testing.assert_close(flow, expected, atol=1e-5, rtol=0)
    assert visible.all()


def test_pixels_of_lr_that_mix_motions_or_hold_something_hidden_are_not_visible() -> None:
    flow = torch.zeros(1, 2, 4, 12)
    flow[..., 6:] = 3  # within the second pixel of LR
    visible = torch.ones(1, 1, 4, 12)
    visible[0, 0, 1, 9] = 0
    _, seen = shrink_flow(flow, visible)
    assert seen.flatten().tolist() == [1, 0, 0]


def test_a_flow_out_of_the_frame_is_noticed() -> None:
    flow = torch.zeros(1, 2, 3, 5)
    flow[0, 0] = 2
    assert stays_inside(flow)[0, 0, 0].tolist() == [1, 1, 1, 0, 0]


def test_pictures_are_in_range_seeded_and_not_flat() -> None:
    pictures = [draw_picture(seed, 48, CPU) for seed in range(12)]
    for picture in pictures:
        assert picture.shape == (3, 48, 48)
        assert 0 <= picture.min() <= picture.max() <= 1
        assert picture.isfinite().all()
    assert sum(picture.std() > 0.02 for picture in pictures) >= 10
    assert torch.equal(pictures[3], draw_picture(3, 48, CPU))
