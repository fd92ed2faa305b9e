from pathlib import Path

import pytest

from vsr_cli.cli.variants import parse_variant
from vsr_cli.config import SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError


def test_what_is_not_given_is_that_of_the_base(tmp_path: Path) -> None:
    weights = tmp_path / "raft.pth"
    weights.write_text("")
    base = UpscaleConfig(fidelity=0.5, sampler=SamplerConfig(steps=4, seed=3))
    name, config = parse_variant("a b:steps=8,motion_scale=0,guidance=paper", base)
    assert name == "a b"
    sampler = SamplerConfig(steps=8, seed=3, motion_scale=0, guidance="paper")
    assert config == UpscaleConfig(fidelity=0.5, sampler=sampler)
    _, config = parse_variant(
        f"x:fidelity=0.25,color=none,memory=still,flow_weights={weights}", base
    )
    assert config == UpscaleConfig(
        fidelity=0.25,
        color="none",
        memory="still",
        flow="raft",
        flow_weights=weights,
        sampler=base.sampler,
    )


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("name", "is not NAME:KEY=VALUE", "write it like"),
        (":steps=4", "is not NAME:KEY=VALUE", "write it like"),
        ("x:", "is not NAME:KEY=VALUE", "write it like"),
        ("x:speed=4", "there is no setting `speed`", "use steps, motion_scale, guidance"),
        ("x:steps=many", "`many` is no number", "write steps=NUMBER"),
        ("x:steps", "`` is no number", "write steps=NUMBER"),
        ("x:steps=0", "`--steps 0` is out of range", "use 1 to 1000"),
        ("x:motion_scale=nan", "is out of range", "use 0 (off) to 10"),
        ("x:fidelity=2", "is out of range", "use 0 to 1"),
        ("x:guidance=strong", "`strong` is not known", "use bounded, paper"),
        ("x:color=red", "`red` is not known", "use wavelet, adain, none"),
        ("x:memory=long", "`long` is not known", "use warped, still, off"),
        ("x:flow_weights=none.pth", "there is no file `none.pth`", "give RAFT weights"),
    ],
)
def test_what_is_no_variant_is_refused_with_a_hint(text: str, what: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_variant(text, UpscaleConfig())
    assert f"--variant {text}" in str(caught.value)
    assert what in str(caught.value)
    assert caught.value.hint is not None
    assert hint in caught.value.hint
