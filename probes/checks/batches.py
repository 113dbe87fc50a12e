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
    """Inputs as the model takes them (a tensor, a tuple of arguments, a dict of keywords) and the loss's targets.

    Attributes:
        whole: the examples cannot be taken apart.
        dim: the dimension that runs over the examples: 1 for sequences that go time first. Their targets may have one
            value an example all the same.
    """

    inputs: Any
    targets: Any
    whole: bool = False
    dim: int = 0

    @property
    def size(self) -> int | None:
        """Examples, when every tensor has as many along its `axis` and the batch may be cut; else None."""
        if self.whole or isinstance(self.inputs, PackedSequence):
            return None
        lengths = {
            tensor.shape[self.axis(tensor)] if tensor.dim() else None
            for tree in (self.inputs, self.targets)
            for tensor in tensors(tree)
        }
        return lengths.pop() if len(lengths) == 1 else None

    def axis(self, tensor: Tensor) -> int:
        """The dimension of one of the batch's tensors that runs over the examples."""
        if self.dim == 0 or tensor.dim() < 2:
            return 0
        examples = next((t.shape[1] for t in tensors(self.inputs) if t.dim() > 1), None)
        return 1 if tensor.shape[1] == examples else 0

    def select(self, tensor: Tensor, index: Tensor | slice) -> Tensor:
        """The examples at `index` of one of the batch's tensors."""
        return tensor[(slice(None),) * self.axis(tensor) + (index,)]

    def rows(self, tensor: Tensor) -> Tensor:
        """One of the batch's tensors as [examples, everything else]."""
        return tensor.movedim(self.axis(tensor), 0).reshape(tensor.shape[self.axis(tensor)], -1)

    def take(self, index: Tensor | slice) -> Batch:
        """The examples at `index`; needs a `size`."""
        return replace(
            self,
            inputs=map_tensors(self.inputs, lambda t: self.select(t, index)),
            targets=map_tensors(self.targets, lambda t: self.select(t, index)),
        )

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
        first = batches[0]
        inputs = _cat([b.inputs for b in batches], first)
        return replace(first, inputs=inputs, targets=_cat([b.targets for b in batches], first))
    except (RuntimeError, TypeError, ValueError, KeyError):
        return None  # sequences padded per batch, for one: the caller falls back to single batches


def _cat(trees: list[Any], batch: Batch) -> Any:
    first = trees[0]
    if isinstance(first, Tensor):
        return torch.cat(trees, batch.axis(first))
    if isinstance(first, Mapping):
        return {key: _cat([tree[key] for tree in trees], batch) for key in first}
    if isinstance(first, (list, tuple)):
        parts = [_cat(list(items), batch) for items in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return first


def batch_dimension(data: Any, batches: list[Batch]) -> int:
    """The dimension that runs over the examples: 0, or 1 where the batches can only be time first.

    That is so when all inputs of two and more dimensions agree in the second and not the first, and the targets have
    that many rows, or the loader that batch size. Where inputs and targets could be read either way, they are read as
    usual, examples first.
    """
    first = batches[0]
    if isinstance(first.inputs, PackedSequence):
        return 0
    deep = [t for t in tensors(first.inputs) if t.dim() > 1]
    seconds = {t.shape[1] for t in deep}
    if len(seconds) != 1 or any(t.shape[0] in seconds for t in deep):
        return 0
    targets = tensors(first.targets)
    if targets and all(t.dim() > 0 and t.shape[0] in seconds for t in targets):
        return 1
    size = getattr(data, "batch_size", None)
    second = all(t.dim() > 1 and t.shape[1] in seconds for t in targets)
    return 1 if isinstance(data, DataLoader) and size in seconds and second else 0


def read_batches(
    data: Any,
    *,
    unpack: Unpack | None = None,
    max_batches: int = 8,
    max_examples: int = 2048,
    deadline: Deadline | None = None,
    beyond: Callable[[int, Batch], bool] | None = None,
) -> list[Batch]:
    """Read at most `max_batches` batches (at least one) and close the loader's workers.

    An iterator (a generator, say) is advanced by exactly the batches read; anything that can be iterated anew
    is not advanced at all. A DataLoader is read through a shallow copy, so that its persistent workers stay
    its own. Of data with a length `beyond` is shown the further batches, by number, until it returns False.

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
            batch = _next(iterator, data, len(batches), unpack)
            if batch is None:
                break
            batches.append(batch)
            seen += batch.size or 1
            if deadline is not None and deadline.expired:
                break
        number = len(batches)
        while beyond is not None and iterator is not data and _has_length(data):
            batch = _next(iterator, data, number, unpack)
            if batch is None or not beyond(number, batch):
                break
            number += 1
    except RuntimeError as error:  # the end of a worker is raised from a signal handler: anywhere
        if not _worker_died(str(error)):
            raise
        raise _reading_error(error, len(batches), data) from error
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


def _next(iterator: Iterator[Any], data: Any, number: int, unpack: Unpack | None) -> Batch | None:
    try:
        item = next(iterator)
    except StopIteration:
        return None
    except CheckInputError:
        raise
    except Exception as error:
        raise _reading_error(error, number, data) from error
    return _as_batch(item, unpack, f"batch {number} of data ({type(data).__name__})")


def _reading_error(error: Exception, number: int, data: Any) -> CheckInputError:
    text = str(error).strip().splitlines()  # an error in a worker comes with the worker's traceback
    return CheckInputError(
        f"reading batch {number} of data ({type(data).__name__}) raised {type(error).__name__}: "
        f"{_telling(text)}; {_reading_remedy(error)}"
    )


def _worker_died(text: str) -> bool:
    return "exited unexpectedly" in text or "is killed by signal" in text


def _reading_remedy(error: Exception) -> str:
    # What a dead worker had sent before can no longer be fetched either: its sockets are closed.
    if _worker_died(str(error)) or isinstance(error, (ConnectionError, EOFError)):
        return "a worker process died: with num_workers=0 its error shows, unless it was killed for want of memory"
    return "iterate over it once yourself to see where"


def _telling(lines: list[str]) -> str:
    """The line of an error that tells most: the first, and with a traceback in it the last too."""
    if not lines:
        return "no message"
    return lines[0] if len(lines) == 1 or "Traceback" not in " ".join(lines) else f"{lines[0]} {lines[-1]}"


def _has_length(data: Any) -> bool:
    try:
        return len(data) > 0
    except (TypeError, NotImplementedError):  # an IterableDataset may be endless
        return False


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
        try:
            shutdown()
        except RuntimeError as error:  # see above; the workers are gone all the same
            if not _worker_died(str(error)):
                raise


def _as_batch(item: Any, unpack: Unpack | None, where: str) -> Batch:
    if unpack is not None:
        try:
            item = unpack(item)
        except Exception as error:
            raise CheckInputError(f"unpack raised {type(error).__name__} on {where}: {error}") from error
        where = f"what unpack made of {where}"
    if isinstance(item, Mapping):
        raise CheckInputError(
            f"{where} is {shapes(item)}, expected (inputs, targets): {UNPACK_HINT}, e.g. "
            f"unpack=lambda batch: (batch, batch[{_target_key(item)!r}]) for a model that takes keywords"
        )
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


def _target_key(item: Mapping[Any, Any]) -> Any:
    likely = [key for key in item if str(key).lower() in ("labels", "label", "targets", "target", "y")]
    return (likely or list(item) or ["labels"])[-1]


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
