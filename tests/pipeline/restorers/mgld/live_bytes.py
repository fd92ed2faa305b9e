"""Counts the bytes of tensors that are alive at once, without computing or allocating any."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Counter(TorchDispatchMode):
    """Follows storages from the operation that made them to the end of their last tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._tensors: dict[int, int] = {}  # alive on each storage

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        outputs = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                self._follow(tensor)
        return outputs

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._tensors:
            self._tensors[key] = 0
            self.live += size
            self.peak = max(self.peak, self.live)
        self._tensors[key] += 1
        weakref.finalize(tensor, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._tensors[key] -= 1
        if not self._tensors[key]:
            del self._tensors[key]
            self.live -= size


class PeakBytes(AbstractContextManager["PeakBytes"]):
    """Tensors made inside have no values; `peak` is what they took at the worst moment."""

    def __init__(self) -> None:
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._counter = _Counter()

    def __enter__(self) -> "PeakBytes":
        self._fake.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._fake.__exit__(kind, error, trace)

    def of(self, call: Callable[[], object]) -> int:
        """The peak while `call` runs, what it returns included, its inputs not."""
        self._counter = _Counter()
        with torch.no_grad(), self._counter:
            result = call()
        del result
        return self._counter.peak
