"""From whatever the user's data is to a few batches of (inputs, targets) held in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader

from probes.checks.clock import Deadline
from probes.checks.errors import CheckInputError
from probes.checks.trees import map_tensors, shapes, tensors, to_double

Unpack = Callable[[Any], tuple[Any, Any]]

UNPACK_HINT = "pass unpack=, a function from what the loader yields to (inputs, targets)"


@dataclass(frozen=True)
class Batch:
    """Inputs as the model takes them (a tensor, a tuple of arguments, a dict of keywords) and the loss's
    targets.
    """

    inputs: Any
    targets: Any
    whole: bool = False

    @property
    def size(self) -> int | None:
        """Examples, when every tensor has the same first dimension and the batch may be cut; else None."""
        if self.whole or isinstance(self.inputs, PackedSequence):
            return None
        lengths = {
            tensor.shape[0] if tensor.dim() else None
            for tree in (self.inputs, self.targets)
            for tensor in tensors(tree)
        }
        return lengths.pop() if len(lengths) == 1 else None

    def take(self, index: Tensor | slice) -> Batch:
        """The examples at `index`; needs a `size`."""
        return Batch(map_tensors(self.inputs, lambda t: t[index]), map_tensors(self.targets, lambda t: t[index]))

    def first(self, count: int) -> Batch:
        """The first `count` examples, or the whole batch where examples cannot be told apart."""
        return self if self.size is None or self.size <= count else self.take(slice(0, count))

    def to(self, device: torch.device) -> Batch:
        return replace(
            self,
            inputs=map_tensors(self.inputs, lambda t: t.to(device)),
            targets=map_tensors(self.targets, lambda t: t.to(device)),
        )

    def double(self) -> Batch:
        return replace(self, inputs=to_double(self.inputs), targets=to_double(self.targets))

    def describe(self) -> str:
        return f"inputs {shapes(self.inputs)}, targets {shapes(self.targets)}"


def join(batches: list[Batch]) -> Batch | None:
    """All examples in one batch, or None where they cannot be concatenated (ragged shapes)."""
    if len(batches) == 1:
        return batches[0]
    if any(batch.size is None for batch in batches):
        return None
    try:
        return Batch(_cat([b.inputs for b in batches]), _cat([b.targets for b in batches]))
    except (RuntimeError, TypeError, ValueError, KeyError):
        return None  # sequences padded per batch, for one: the caller falls back to single batches


def _cat(trees: list[Any]) -> Any:
    first = trees[0]
    if isinstance(first, Tensor):
        return torch.cat(trees)
    if isinstance(first, Mapping):
        return {key: _cat([tree[key] for tree in trees]) for key in first}
    if isinstance(first, (list, tuple)):
        parts = [_cat(list(items)) for items in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return first


def read_batches(
    data: Any,
    *,
    unpack: Unpack | None = None,
    max_batches: int = 8,
    max_examples: int = 2048,
    deadline: Deadline | None = None,
) -> list[Batch]:
    """Read at most `max_batches` batches (at least one) and close the loader's workers.

    An iterator (a generator, say) is advanced by exactly the batches read; anything that can be iterated anew
    is not advanced at all. A DataLoader is read through a shallow copy, so that its persistent workers stay
    its own.

    Raises:
        CheckInputError: there is no data, or a batch is not (inputs, targets).
    """
    if _is_one_batch(data) and unpack is None:
        only = _as_batch(data, None, "data")
        _require_examples([only], data)
        return [only]
    iterator = _open(data)
    batches: list[Batch] = []
    seen = 0
    try:
        while len(batches) < max_batches and seen < max_examples:
            try:
                item = next(iterator)
            except StopIteration:
                break
            except CheckInputError:
                raise
            except Exception as error:
                raise CheckInputError(
                    f"reading batch {len(batches)} of data ({type(data).__name__}) raised "
                    f"{type(error).__name__}: {error}; iterate over it once yourself to see where"
                ) from error
            batch = _as_batch(item, unpack, f"batch {len(batches)} of data ({type(data).__name__})")
            batches.append(batch)
            seen += batch.size or 1
            if deadline is not None and deadline.expired:
                break
    finally:
        _close(iterator, data)
    if not batches:
        raise CheckInputError(
            f"data ({type(data).__name__}) yields no batch: check the data set's length, the split, and "
            f"drop_last "
            "with a batch size larger than the data set"
        )
    _require_examples(batches, data)
    return batches


def _require_examples(batches: list[Batch], data: Any) -> None:
    if all(_first_size(batch) == 0 for batch in batches):
        raise CheckInputError(f"data ({type(data).__name__}) yields batches without examples: {batches[0].describe()}")


def _first_size(batch: Batch) -> int | None:
    found = tensors(batch.inputs)
    return found[0].shape[0] if found and found[0].dim() else None


def _is_one_batch(data: Any) -> bool:
    """A pair counts as one batch; a *list* of pairs is a list of batches (a DataLoader's own batch is a list
    [x, y]).
    """
    if isinstance(data, tuple) and len(data) == 2:
        return True
    return isinstance(data, list) and len(data) == 2 and isinstance(data[0], (Tensor, Mapping, np.ndarray))


def _open(data: Any) -> Iterator[Any]:
    if isinstance(data, DataLoader):
        own = copy.copy(data)
        own._iterator = None
        return iter(own)
    if isinstance(data, (Tensor, np.ndarray, Mapping, str, bytes)) or not isinstance(data, Iterable):
        raise CheckInputError(
            f"data is a {type(data).__name__}: give a DataLoader, an iterable of (inputs, targets), or one such pair"
        )
    try:
        return iter(data)
    except TypeError as error:
        raise CheckInputError(f"data ({type(data).__name__}) cannot be iterated: {error}") from error


def _close(iterator: Iterator[Any], data: Any) -> None:
    shutdown = getattr(iterator, "_shutdown_workers", None)
    if isinstance(data, DataLoader) and callable(shutdown):
        shutdown()


def _as_batch(item: Any, unpack: Unpack | None, where: str) -> Batch:
    if unpack is not None:
        try:
            item = unpack(item)
        except Exception as error:
            raise CheckInputError(f"unpack raised {type(error).__name__} on {where}: {error}") from error
        where = f"what unpack made of {where}"
    if not isinstance(item, (tuple, list)) or (hasattr(item, "_fields") and len(item) != 2):
        raise CheckInputError(f"{where} is {shapes(item)}, expected (inputs, targets): {UNPACK_HINT}")
    if len(item) != 2:
        raise CheckInputError(
            f"{where} holds {len(item)} things {shapes(item)}, expected 2 (inputs, targets): {UNPACK_HINT}, "
            f"e.g. " + _unpack_example(len(item))
        )
    inputs, targets = (_to_tensors(part) for part in item)
    if not tensors(inputs):
        raise CheckInputError(f"the inputs of {where} hold no tensor ({shapes(inputs)}): {UNPACK_HINT}")
    return Batch(inputs, targets)


def _unpack_example(length: int) -> str:
    if length == 1:
        return "unpack=lambda batch: (batch[0], batch[0]) for an autoencoder"
    return "unpack=lambda batch: ((" + ", ".join(f"batch[{i}]" for i in range(length - 1)) + f"), batch[{length - 1}])"


def _to_tensors(tree: Any) -> Any:
    if isinstance(tree, np.ndarray) and tree.dtype != object:
        return torch.as_tensor(tree)
    if isinstance(tree, Mapping):
        return {key: _to_tensors(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)) and not hasattr(tree, "_fields"):
        return type(tree)(_to_tensors(value) for value in tree)
    return tree
