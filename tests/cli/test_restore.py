from typer.testing import CliRunner

from tests.cli.fakes import FakePipeline
from vsr_cli.cli.app import app
from vsr_cli.repair_config import DirtConfig, FillConfig


def test_it_keeps_the_size_and_fills_lost_frames(pipeline: FakePipeline) -> None:
    result = CliRunner().invoke(
        app, ["restore", "in.mp4", "out.mp4", "--dirt", "--strength", "0.5"]
    )
    assert result.exit_code == 0
    [(_, _, config)] = pipeline.jobs
    assert (float(config.scale), config.strength, config.has_model) == (1.0, 0.5, True)
    assert config.fill == FillConfig(find=("damaged",))
    assert config.dirt == DirtConfig()


def test_its_defaults_give_way(pipeline: FakePipeline) -> None:
    options = ["--scale", "2", "--on-decode-error", "repeat"]
    assert CliRunner().invoke(app, ["restore", "in.mp4", "out.mp4", *options]).exit_code == 0
    [(_, _, config)] = pipeline.jobs
    assert (float(config.scale), config.fill, config.input.on_decode_error) == (2.0, None, "repeat")
