"""Train and eval mode, and regularisation switched off."""

from __future__ import annotations

from torch import nn


def is_dropout(module: nn.Module) -> bool:
    """Modules that drop at random in train mode: torch's own, and those of other libraries by their usual
    names.
    """
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return True
    name = type(module).__name__.lower()
    return not list(module.children()) and any(
        word in name for word in ("dropout", "droppath", "drop_path", "dropblock", "stochasticdepth")
    )


def is_batch_norm(module: nn.Module) -> bool:
    """Modules whose output of one example depends on the rest of the batch in train mode, by design."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def dropout_modules(model: nn.Module) -> list[str]:
    """Names of modules that drop at random in train mode (dropout inside recurrent and attention modules
    too).
    """
    return [
        name or type(module).__name__
        for name, module in model.named_modules()
        if (is_dropout(module) and getattr(module, "p", 1) != 0) or _inner_dropout(module)
    ]


def _inner_dropout(module: nn.Module) -> bool:
    if isinstance(module, nn.RNNBase):
        return module.dropout > 0 and module.num_layers > 1
    return isinstance(module, nn.MultiheadAttention) and module.dropout > 0


def train_without_dropout(model: nn.Module) -> None:
    """Train mode (batch normalisation uses the batch) with every dropout switched off."""
    model.train()
    for module in model.modules():
        if is_dropout(module):
            module.eval()
        elif _inner_dropout(module):
            setattr(module, "dropout", 0.0)  # noqa: B010 - a plain attribute, which nn.Module types as a tensor
