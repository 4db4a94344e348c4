"""Dataclasses of tensors, handled as one value."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def combined(parts: Sequence[T], merge: Callable[[list[Tensor]], Tensor]) -> T:
    """One dataclass made of several alike.

    Args:
        parts: of one type; their fields are tensors, or dataclasses of tensors.
        merge: makes one tensor of the parts' own.
    """

    def value(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return combined(values, merge) if is_dataclass(values[0]) else merge(values)

    first = parts[0]
    return type(first)(**{field.name: value(field.name) for field in fields(first)})


def mapped(one: T, change: Callable[[Tensor], Tensor]) -> T:
    """The same with each tensor changed."""
    return combined([one], lambda tensors: change(tensors[0]))


def moved(one: T, device: torch.device) -> T:
    """The same on a device."""
    return mapped(one, lambda tensor: tensor.to(device))


def constant(values: tuple[Any, ...], like: Tensor) -> Tensor:
    """Numbers as a tensor of the type and on the device of another, made once for each.

    What is copied to a GPU at every call waits for it, and cannot be captured in a CUDA graph.

    Args:
        values: numbers, in tuples of tuples for more than one dimension.
        like: only its type and device matter.
    """
    return _made(values, like.device, like.dtype)


@cache
def _made(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # or no gradient could pass through it later
        return torch.tensor(values, dtype=dtype, device=device)
