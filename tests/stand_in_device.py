"""A device that every machine has: real values, and no operation that mixes it with the CPU.

What runs on it runs on a GPU as far as devices go: it too refuses operands of two devices, but for
numbers without dimensions, and has no numpy. What it computes are the CPU's values, so results can
be compared. It is stricter in one thing: indices must lie where what they index does.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

STAND_IN = torch.device("meta")
"""Known to torch without hardware; a backbone's own parameters, which nobody reads, are there."""

_CPU = torch.device("cpu")
_BETWEEN_DEVICES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class _There(Tensor):
    """A tensor on the stand-in, its values kept on the CPU."""

    on_cpu: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "_There":
        # One made in inference mode could not be a view of one that was not.
        with torch.inference_mode(False):
            made: _There = Tensor._make_wrapper_subclass(
                cls,
                values.size(),
                strides=values.stride(),
                storage_offset=values.storage_offset(),
                dtype=values.dtype,
                device=STAND_IN,
            )
        made.on_cpu = values
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, *_: object) -> NoReturn:
        raise RuntimeError(f"{operation}: the stand-in device is not there any more")

    def numpy(self, *, force: bool = False) -> NoReturn:
        raise TypeError(f"a tensor on another device has no numpy (force={force})")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    # Where torch makes a tensor of Python's numbers itself, one on "meta" would have no values.

    def new_tensor(self, data: Sequence[float]) -> Tensor:  # type: ignore[override]
        return torch.tensor(data, dtype=self.dtype).to(STAND_IN)

    def __getitem__(self, key: Any) -> Tensor:
        places = torch.tensor(key, dtype=torch.int64).to(STAND_IN) if type(key) is list else key
        return super().__getitem__(places)


class StandIn(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    """Keeps the devices apart while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.moved: list[Tensor] = []
        """What was copied there from the CPU."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, named)) if isinstance(leaf, Tensor)]
        there = {id(one.on_cpu): one for one in tensors if isinstance(one, _There)}
        here = [one for one in tensors if one.device == _CPU]
        if there and func not in _BETWEEN_DEVICES:
            if any(one.is_meta and not isinstance(one, _There) for one in tensors):
                raise RuntimeError(f"{func}: a tensor without values")
            changes_here = func._schema.is_mutable and args and any(args[0] is one for one in here)
            if changes_here or any(one.dim() for one in here):
                raise RuntimeError(f"{func}: expected all tensors on one device")
        goes_there = bool(there)
        if named.get("device") is not None:
            goes_there = named["device"] == STAND_IN
            named["device"] = _CPU
            if goes_there and func is torch.ops.aten._to_copy.default and here:
                self.moved += here

        def unwrapped(value: Any) -> Any:
            return value.on_cpu if isinstance(value, _There) else value

        def wrapped(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            # What was changed in place is still the same tensor.
            return there[id(value)] if id(value) in there else _There(value)

        result = func(*tree_map(unwrapped, args), **tree_map(unwrapped, named))
        return tree_map(wrapped, result) if goes_there else result


@contextmanager
def stand_in_device() -> Iterator[StandIn]:
    """Within it, `STAND_IN` is a device like any other."""
    with StandIn() as mode:
        yield mode
