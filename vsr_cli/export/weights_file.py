"""The weights of all graphs in one file, which each of them names as its own."""

from pathlib import Path
from typing import TYPE_CHECKING

from vsr_cli.digest import sha256_of_bytes

if TYPE_CHECKING:
    from onnx import ModelProto

WEIGHTS_FILE = "weights.bin"

_LEAST = 1024  # bytes of a tensor that lies in it
_ALIGNMENT = 4096  # bytes: it may be mapped
_EXTERNAL = 1  # `TensorProto.EXTERNAL`


class WeightsFile:
    """The tensors of all graphs in one file, each content once."""

    def __init__(self, folder: Path) -> None:
        """Begin the file, in the folder of the graphs."""
        self._path = folder / WEIGHTS_FILE
        self._places: dict[str, tuple[int, int]] = {}  # offset and length by digest
        self._path.write_bytes(b"")

    def take(self, model: "ModelProto") -> None:
        """Move the large tensors of a model into the file."""
        for tensor in model.graph.initializer:
            content = bytes(tensor.raw_data)
            if len(content) < _LEAST:
                continue
            offset, length = self._place(content)
            tensor.ClearField("raw_data")
            tensor.data_location = _EXTERNAL
            del tensor.external_data[:]
            entries = {"location": WEIGHTS_FILE, "offset": offset, "length": length}
            for key, value in entries.items():
                entry = tensor.external_data.add()
                entry.key, entry.value = key, str(value)

    def _place(self, content: bytes) -> tuple[int, int]:
        digest = sha256_of_bytes(content)
        if digest not in self._places:
            with self._path.open("ab") as file:
                file.write(b"\0" * (-file.tell() % _ALIGNMENT))
                self._places[digest] = file.tell(), len(content)
                file.write(content)
        return self._places[digest]
