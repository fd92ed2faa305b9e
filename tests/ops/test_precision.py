from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vsr_cli.ops import precision
from vsr_cli.ops.precision import has_int8, is_faster_in_bfloat16, is_faster_in_int8


@pytest.fixture(autouse=True)
def _ask_anew() -> Iterator[None]:
    answers = (is_faster_in_bfloat16, has_int8, is_faster_in_int8)
    for answer in answers:
        answer.cache_clear()
    yield
    for answer in answers:
        answer.cache_clear()


@pytest.mark.parametrize("has_tiles", [True, False])
@pytest.mark.parametrize("has_vnni", [True, False])
@pytest.mark.parametrize("agrees", [True, False])
def test_8_bit_integers_are_faster_where_there_are_no_tiles(
    monkeypatch: pytest.MonkeyPatch, has_tiles: bool, has_vnni: bool, agrees: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_tiles)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: has_vnni)
    monkeypatch.setattr(precision, "agrees_with_floats", lambda: agrees)
    assert has_int8() is (has_vnni and agrees)
    assert is_faster_in_int8() is (has_vnni and agrees and not has_tiles)


@pytest.mark.parametrize(
    ("has_tiles", "has_instructions", "vendor", "is_faster"),
    [
        (True, True, "GenuineIntel", True),
        (False, True, "GenuineIntel", False),
        (False, True, "AuthenticAMD", True),
        (False, False, "AuthenticAMD", False),
    ],
)
def test_the_processor_alone_decides(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_tiles: bool,
    has_instructions: bool,
    vendor: str,
    is_faster: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_instructions)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: some\n")
    monkeypatch.setattr(precision, "CPUINFO", cpuinfo)
    assert is_faster_in_bfloat16() is is_faster
    assert is_faster_in_bfloat16() is is_faster


def test_without_a_list_of_processors_the_system_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr("platform.processor", lambda: "Intel64 Family 6, GenuineIntel")
    assert not is_faster_in_bfloat16()
