"""Published models that `vsr weights download` knows: where their files lie, and what they are."""

from collections.abc import Mapping
from dataclasses import dataclass

from vsr_cli.errors import WeightsError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file on Hugging Face.

    repository: owner and name.
    revision: commit, tag or branch; what the file is to be is told by `sha256`.
    num_bytes: roughly, to know in advance whether there is room.
    sha256: None where nobody has told.
    """

    repository: str
    name: str
    num_bytes: int
    sha256: str | None = None
    revision: str = "main"


@dataclass(frozen=True, kw_only=True)
class HubModel:
    """The files of a model, and on what terms they are given.

    checkpoints: of its networks.
    text: of its prompt, where that is a file of its own.
    imported_bytes: of what is made of them, roughly.
    """

    checkpoints: tuple[HubFile, ...]
    text: HubFile | None
    imported_bytes: int
    license: str

    @property
    def files(self) -> tuple[HubFile, ...]:
        """All of them."""
        return (*self.checkpoints, *((self.text,) if self.text else ()))


_NUMZ, _BYTEDANCE, _MGLD = (
    "numz/SeedVR2_comfyUI",
    "ByteDance-Seed/SeedVR2-3B",
    "ianyeung/MGLD-VSR",
)
MODELS: Mapping[str, HubModel] = {
    "seedvr2": HubModel(
        checkpoints=(
            HubFile(
                repository=_NUMZ,
                name="seedvr2_ema_3b_fp16.safetensors",
                num_bytes=6_783_000_000,
                sha256="2fd0e03a3dad24e07086750360727ca437de4ecd456f769856e960ae93e2b304",
            ),
            HubFile(
                repository=_NUMZ,
                name="ema_vae_fp16.safetensors",
                num_bytes=501_300_000,
                sha256="20678548f420d98d26f11442d3528f8b8c94e57ee046ef93dbb7633da8612ca1",
            ),
        ),
        text=HubFile(
            repository=_BYTEDANCE,
            name="pos_emb.pt",
            num_bytes=595_100,
            sha256="fa07a14844314772266b66c3b95deb0027696d8fe7065721263db5176f45d799",
        ),
        imported_bytes=7_285_000_000,
        license="Apache License 2.0 (https://www.apache.org/licenses/LICENSE-2.0)",
    ),
    "mgld": HubModel(
        checkpoints=(
            HubFile(repository=_MGLD, name="mgldvsr_unet.ckpt", num_bytes=6_680_000_000),
            HubFile(repository=_MGLD, name="video_vae_cfw.ckpt", num_bytes=803_000_000),
        ),
        text=None,
        imported_bytes=2_300_000_000,
        license=(
            "S-Lab License 1.0 for the code, for non-commercial use; the weights derive from "
            "Stable Diffusion 2.1 (CreativeML Open RAIL++-M, which restricts use) and OpenCLIP "
            "(MIT)"
        ),
    ),
}


def find_model(name: str) -> HubModel:
    """A model of this list.

    Raises:
        WeightsError: there is none of that name.
    """
    if name in MODELS:
        return MODELS[name]
    raise WeightsError(
        f"no model `{name}` can be downloaded",
        why="known are " + ", ".join(MODELS),
        hint=did_you_mean(name, MODELS, "see `vsr weights import` for files that you have"),
    )
