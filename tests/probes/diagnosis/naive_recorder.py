"""A slow, obvious recorder of what the probes measure, for judging trainings without a run directory.

Everything is computed anew from autograd's own results, tensor by tensor, so that diagnosis can be tested
apart from the instruments.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import nn

from probes.diagnosis.view import RunView

ACTIVATIONS = {
    nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.GELU: "gelu", nn.LeakyReLU: "leaky_relu",
    nn.SiLU: "silu", nn.ELU: "elu", nn.Softmax: "softmax", nn.LogSoftmax: "log_softmax",
}  # fmt: skip
BOUNDS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}


class NaiveRecorder:
    """Call `before_step`, then the optimizer, then `after_step`; forward passes in between are watched."""

    def __init__(self, model, optimizer, every=1):
        self.model, self.every, self.step = model, every, 0
        self.optimizers = optimizer if isinstance(optimizer, (list, tuple)) else [optimizer]
        self.parameters = dict(model.named_parameters())
        self.series = defaultdict(lambda: ([], []))
        self.frames = defaultdict(lambda: ([], []))
        self.order, self.outputs, self.output_grads, self.shapes = [], {}, {}, {}
        self.ever = {}
        self.first = next((p for p in model.parameters() if p.dim() >= 2), None)
        self.filters = [] if self.first is None else [(0, self.first.detach().clone().numpy())]
        for kind, row in self._weights().items():
            self.frames[kind][0].append(0)
            self.frames[kind][1].append(row)
        self.inputs, self.data = None, {}
        model.register_forward_pre_hook(lambda m, inputs: setattr(self, "inputs", inputs[0].detach()))
        self.scores = None
        model.register_forward_hook(lambda m, i, o: setattr(self, "scores", o.detach() if torch.is_tensor(o) else None))
        names = {module: name for name, module in model.named_modules()}
        for module in model.modules():
            if not list(module.children()) or isinstance(module, nn.MultiheadAttention):
                module.register_forward_hook(lambda m, _, out: self._saw(names[m], out))

    def _weights(self):
        """The kinds that describe the weights, without update or gradient."""
        tensors = [p.detach().double() for p in self.parameters.values()]
        return {
            "weight_norm": [w.norm().item() for w in tensors],
            "weight_std": [w.std(unbiased=False).item() for w in tensors],
            "weight_min": [w.min().item() for w in tensors],
            "weight_max": [w.max().item() for w in tensors],
            "weight_nonfinite": [(~w.isfinite()).sum().item() for w in tensors],
        }

    def _saw(self, name, out):
        while isinstance(out, (tuple, list)):
            out = out[0]
        if name not in self.order:
            self.order.append(name)
        self.shapes.setdefault(name, list(out.shape))
        if self.model.training and torch.is_grad_enabled():
            self.outputs[name] = out.detach()
            if out.requires_grad:
                out.register_hook(lambda grad: self.output_grads.__setitem__(name, grad.detach()))

    def _due(self):
        return self.step < 3 or self.step % self.every == 0

    def before_step(self):
        self.step += 1
        if self._due():
            self.before = {n: p.detach().clone() for n, p in self.parameters.items()}
            self.grads = {n: None if p.grad is None else p.grad.detach().clone() for n, p in self.parameters.items()}

    def after_step(self):
        for i, group in enumerate(g for o in self.optimizers for g in o.param_groups):
            name = "optimizer/lr" if sum(len(o.param_groups) for o in self.optimizers) == 1 else f"optimizer/lr/{i}"
            self.log(name, group["lr"])
        if not self._due():
            self.outputs.clear()
            self.output_grads.clear()
            return
        rows = defaultdict(list)
        for name, parameter in self.parameters.items():
            old, new, grad = self.before[name].double(), parameter.detach().double(), self.grads[name]
            rows["update_norm"].append((new - old).norm().item())
            size = old.norm().item()
            rows["update_ratio"].append((new - old).norm().item() / size if size else float("nan"))
            rows["grad_norm"].append(float("nan") if grad is None else grad.double().norm().item())
            rows["grad_zero_fraction"].append(float("nan") if grad is None else (grad == 0).double().mean().item())
            rows["measured"].append(grad is not None)
        for kind, row in (rows | self._weights()).items():
            self.frames[kind][0].append(self.step)
            self.frames[kind][1].append(row)
        if self.inputs.is_floating_point():
            channels = self.inputs.double().transpose(0, 1).flatten(1)
            for kind, row in (("mean", channels.mean(1)), ("std", channels.std(1, unbiased=False))):
                self.frames[f"input_{kind}"][0].append(self.step)
                self.frames[f"input_{kind}"][1].append(row.tolist())
        acts = {m: ACTIVATIONS.get(type(mod)) for m, mod in self.model.named_modules()}
        for name in self.order:
            out = self.outputs.get(name)
            cells = self._activation(name, out.double(), acts.get(name)) if out is not None else {}
            if name in self.output_grads:
                cells["activation_grad_std"] = self.output_grads[name].double().std(unbiased=False).item()
                cells["activation_grad_norm"] = self.output_grads[name].double().norm().item()
            for kind in (
                "activation_mean", "activation_std", "zero_fraction", "dead_fraction", "saturated_fraction",
                "activation_nonfinite", "batch_variation", "activation_grad_std", "activation_grad_norm",
            ):  # fmt: skip
                self.frames[kind][0].append(self.step) if name == self.order[0] else None
                if name == self.order[0]:
                    self.frames[kind][1].append([])
                self.frames[kind][1][-1].append(cells.get(kind))
        self.outputs.clear()
        self.output_grads.clear()

    def _activation(self, name, out, activation):
        flat = out.reshape(out.shape[0], -1) if out.dim() > 1 else out[:, None]
        cells = {
            "activation_mean": out.mean().item(),
            "activation_std": out.std(unbiased=False).item(),
            "zero_fraction": (out == 0).double().mean().item(),
            "activation_nonfinite": (~out.isfinite()).sum().item(),
        }
        spread = flat.std(unbiased=False).item()
        cells["batch_variation"] = flat.std(0, unbiased=False).pow(2).mean().sqrt().item() / spread if spread else 0.0
        if activation in ("relu", "gelu", "leaky_relu", "silu", "elu"):
            units = (
                out.transpose(0, 1).reshape(out.shape[1], -1) if out.dim() == 4 else out.reshape(-1, out.shape[-1]).T
            )
            alive = (units != 0).any(1)
            window = self.ever.setdefault(name, [])
            window.append(alive)
            del window[:-10]
            if activation == "relu":
                cells["dead_fraction"] = (~torch.stack(window).any(0)).double().mean().item()
        if activation in BOUNDS:
            low, high = BOUNDS[activation]
            middle, half = (low + high) / 2, (high - low) / 2
            cells["saturated_fraction"] = ((out - middle).abs() > 0.95 * half).double().mean().item()
        return cells

    def log(self, name, value):
        steps, values = self.series[name]
        if steps and steps[-1] == self.step:
            values[-1] = float(value)
        else:
            steps.append(self.step)
            values.append(float(value))

    loss_fn = None

    def manifest(self):
        homes = {id(p): (m, mod) for m, mod in self.model.named_modules() for p in mod.parameters(recurse=False)}
        ids = {id(p): n for n, p in self.parameters.items()}
        modules = dict(self.model.named_modules())
        return {
            "loss": {"class": type(self.loss_fn).__name__, "reduction": getattr(self.loss_fn, "reduction", None)},
            "data": self.data,
            "model": {
                "class": type(self.model).__name__,
                "input_shape": None if self.inputs is None else list(self.inputs.shape[1:]),
                "parameters": [
                    {"name": n, "module": homes[id(p)][0], "shape": list(p.shape), "trainable": p.requires_grad}
                    for n, p in self.parameters.items()
                ],
                "modules": [
                    {
                        "name": m, "type": type(modules[m]).__name__, "activation": ACTIVATIONS.get(type(modules[m])),
                        "output_shape": self.shapes.get(m),
                        "parameters": [ids[id(p)] for p in modules[m].parameters(recurse=False)],
                    }
                    for m in self.order
                ],
            },
            "optimizers": [
                {
                    "class": type(o).__name__,
                    "groups": [
                        {k: v for k, v in g.items() if isinstance(v, (int, float))}
                        | {"parameters": [ids.get(id(p), "?") for p in g["params"]]}
                        for g in o.param_groups
                    ],
                }
                for o in self.optimizers
            ],
        }  # fmt: skip

    def view(self, at_step=None):
        layers = {}
        parameters = list(self.parameters)
        measured = self.frames.pop("measured", None) or self._measured
        self._measured = measured
        for kind, (steps, rows) in self.frames.items():
            names = parameters if len(rows[0]) == len(parameters) and not self._module_kind(kind) else self.order
            if kind.startswith("input_"):
                layers[kind] = ([str(c) for c in range(len(rows[0]))], steps, np.array(rows))
                continue
            table = np.array(
                [[np.nan if v is None else v for v in row] + [np.nan] * (len(names) - len(row)) for row in rows]
            )
            layers[kind] = (names, steps, table)
        filters = [*self.filters, (self.step, self.first.detach().clone().numpy())] if self.filters else []
        view = RunView.of_arrays(dict(self.series), layers, manifest=self.manifest(), at_step=at_step, filters=filters)
        got = np.array(measured[1], dtype=bool)
        for kind, (_names, _, _table) in layers.items():
            whole = view._read_layers(kind)
            if kind in ("grad_norm", "grad_zero_fraction"):
                whole.measured[:] = got
            elif self._module_kind(kind):
                whole.measured[:] = np.array(
                    [[v is not None for v in row] + [False] * (len(_names) - len(row)) for row in self.frames[kind][1]]
                )
        return view

    @staticmethod
    def _module_kind(kind):
        return kind.startswith(("activation", "zero_fraction", "dead", "saturated", "batch_variation"))
