from pathlib import Path

import pytest

from vsr_cli.config import GivenLatents, SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.evaluation.variants import Entry, parse_latents, parse_variant


def test_what_is_not_given_is_that_of_the_base(tmp_path: Path) -> None:
    weights = tmp_path / "raft.pth"
    weights.write_text("")
    base = Entry(config=UpscaleConfig(fidelity=0.5, sampler=SamplerConfig(steps=4, seed=3)))
    name, entry = parse_variant("a b:steps=8,motion_scale=0,guidance=paper", base)
    assert name == "a b"
    sampler = SamplerConfig(steps=8, seed=3, motion_scale=0, guidance="paper")
    assert entry == Entry(config=UpscaleConfig(fidelity=0.5, sampler=sampler))
    _, entry = parse_variant(
        f"x:fidelity=0.25,supersample=on,color=none,memory=still,flow_weights={weights}", base
    )
    assert entry.config == UpscaleConfig(
        fidelity=0.25,
        supersample=True,
        color="none",
        memory="still",
        flow="raft",
        flow_weights=weights,
        sampler=base.config.sampler,
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
        ("x:supersample=2", "`2` is not known", "use on, off"),
        ("x:memory=long", "`long` is not known", "use warped, still, off"),
        ("x:latents=some", "`some` is not known", "use zero, true, noisy:S"),
        ("x:latents=noisy:much", "`much` is no number", "write the noise like"),
        ("x:latents=noisy:-1", "is out of range", "use 0 or more"),
        ("x:latents=zero,steps=2", "`steps` is the sampler's", "leave it out"),
        ("x:flow_weights=none.pth", "there is no file `none.pth`", "give RAFT weights"),
    ],
)
def test_what_is_no_variant_is_refused_with_a_hint(text: str, what: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_variant(text, Entry(config=UpscaleConfig()))
    assert f"--variant {text}" in str(caught.value)
    assert what in str(caught.value)
    assert caught.value.hint is not None
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["zero", "true", "noisy:0.4"])
def test_latents_are_named_as_they_are_written(text: str) -> None:
    found = parse_latents(text)
    assert found is not None
    assert found.name == text


def test_latents_of_a_variant_take_the_place_of_the_samplers_and_back() -> None:
    base = Entry(config=UpscaleConfig())
    _, entry = parse_variant("floor:latents=zero", base)
    assert entry == Entry(config=UpscaleConfig(), latents=GivenLatents(is_true=False))
    _, entry = parse_variant("x:latents=sampled,steps=3", entry)
    assert entry == Entry(config=UpscaleConfig(sampler=SamplerConfig(steps=3)))
