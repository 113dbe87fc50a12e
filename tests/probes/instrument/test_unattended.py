"""Scripts that know nothing of babysit, run through `babysit run`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import probes

PREPARE = """
    import sys, torch
    from torch import nn
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    def batches(n):
        for _ in range(n):
            yield torch.randn(6, 4), torch.randn(6, 2)
    def loss_of(x, y):
        return nn.functional.mse_loss(model(x), y)
    def train(n=4):
        for x, y in batches(n):
            optimizer.zero_grad()
            loss = loss_of(x, y)
            loss.backward()
            optimizer.step()
            print("loss", loss.item())
"""
FINGERPRINT = """
    print("weights", [p.detach().flatten().tolist() for p in model.parameters()])
    print("next random number", torch.rand(()).item())
"""
SCRIPTS = {
    "plain": PREPARE + "    train()" + FINGERPRINT,
    "scaler": PREPARE + """
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for x, y in batches(4):
        optimizer.zero_grad()
        loss = loss_of(x, y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        print("loss", loss.item())
""" + FINGERPRINT,
    "accumulation": PREPARE + """
    for step in range(3):
        optimizer.zero_grad()
        losses = [loss_of(x, y) / 2 for x, y in batches(2)]
        for loss in losses:
            loss.backward()
        optimizer.step()
        print("loss", (sum(losses) / 2).item())
""" + FINGERPRINT,
    "gan": PREPARE + """
    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 1)
        def forward(self, x):
            return self.net(x)
    critic = Critic()
    other = torch.optim.Adam(critic.parameters(), lr=0.01)
    for x, y in batches(4):
        other.zero_grad()
        critic_loss = critic(model(x).detach()).mean() - critic(y).mean()
        critic_loss.backward()
        print("loss", critic_loss.item())
        other.step()
        optimizer.zero_grad()
        (-100 * critic(model(x)).mean()).backward()
        optimizer.step()
""" + FINGERPRINT,
    "anew": PREPARE + """
    for rate in (0.1, 0.05):
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        train(3)
""",
    "raises": PREPARE + """
    train(2)
    def failing():
        raise ValueError("bad   data")
    failing()
""",
    "exit 3": PREPARE + "    train(2)\n    sys.exit(3)\n",
    "exit 0": PREPARE + "    train(2)\n    sys.exit()\n",
    "exit text": PREPARE + "    train(2)\n    sys.exit('no more data')\n",
    "no training": PREPARE + "    print(model(torch.ones(1, 4)).shape)\n",
    "restored": PREPARE + """
    train(1)
    import atexit
    from torch.nn.modules import module
    from torch.optim import optimizer as optimizers
    from torch.amp import GradScaler
    def look():
        dicts = [module._global_forward_hooks, module._global_forward_pre_hooks, model._forward_hooks,
                 model._forward_pre_hooks, model[0]._forward_hooks, optimizer._optimizer_step_pre_hooks,
                 optimizer._optimizer_step_post_hooks, optimizers._global_optimizer_pre_hooks,
                 optimizers._global_optimizer_post_hooks]
        print("hooks left", sum(len(d) for d in dicts))
        print("backward", torch.Tensor.backward.__module__, hasattr(torch.Tensor.backward, "__wrapped__"))
        print("scale", hasattr(GradScaler.scale, "__wrapped__"), hasattr(GradScaler.step, "__wrapped__"))
        print("step", GradScaler.step.__qualname__)
    atexit.register(look)
""",
}  # fmt: skip


class Results:
    """What every script printed and recorded, with `babysit run` (two at a time) and on its own (in one process)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.scripts = {name: folder / f"{name.replace(' ', '_')}.py" for name in SCRIPTS}
        for name, text in SCRIPTS.items():
            self.scripts[name].write_text(textwrap.dedent(text))
        with ThreadPoolExecutor(2) as pool:
            self.watched = dict(zip(SCRIPTS, pool.map(self._watched, SCRIPTS), strict=True))
        names = ["plain", "scaler", "accumulation", "gan"]
        paths = [str(self.scripts[name]) for name in names]
        program = f"import runpy\nfor path in {paths}:\n    runpy.run_path(path, run_name='__main__'); print('NEXT')"
        alone = self._run("-c", program)
        assert alone.returncode == 0, alone.stderr
        self.bare = dict(zip(names, alone.stdout.split("NEXT\n")[:-1], strict=True))

    def _watched(self, name: str) -> subprocess.CompletedProcess[str]:
        return self._run("-m", "probes", "run", "--run-dir", f"run {name}", "--every", "1", str(self.scripts[name]))

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *command],
            cwd=self._folder, env=environment, capture_output=True, text=True, timeout=200,
        )  # fmt: skip

    def recorded(self, name: str) -> probes.Run:
        return probes.open_run(self._folder / f"run {name}")

    def printed_losses(self, name: str) -> list[float]:
        lines = self.watched[name].stdout.splitlines()
        return [float(line.split()[1]) for line in lines if line.startswith("loss ")]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(tmp_path_factory.mktemp("unattended"))


@pytest.mark.parametrize("name", ["plain", "scaler", "accumulation", "gan"])
def test_a_script_prints_the_same_to_the_last_digit(name: str, results: Results):
    assert results.watched[name].returncode == 0, results.watched[name].stderr
    assert "weights" in results.bare[name]
    assert results.watched[name].stdout == results.bare[name]
    assert "recorded in" in results.watched[name].stderr


@pytest.mark.parametrize("name", ["plain", "scaler", "accumulation"])
def test_the_loss_that_the_script_sees_is_recorded(name: str, results: Results):
    run = results.recorded(name)
    losses = results.printed_losses(name)
    assert run.status == "finished"
    assert run.series("train/loss").steps.tolist() == list(range(1, len(losses) + 1))
    assert run.series("train/loss").values == pytest.approx(losses, rel=1e-6)
    assert run.layer_series("update_norm").layers == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert run.layer_series("update_norm").values.min() > 0


def test_gradients_behind_a_scaler_are_those_of_the_loss(results: Results):
    plain, scaled = (results.recorded(n).layer_series("grad_norm").values for n in ("plain", "scaler"))
    assert scaled[0] == pytest.approx(plain[0], rel=1e-4)  # the same batch and weights, scaled by 1024 in between


def test_of_two_models_the_first_that_steps_is_watched(results: Results):
    run = results.recorded("gan")
    assert run.status == "finished"
    assert run.model["class"] == "Critic"
    assert run.layer_series("grad_norm").steps.tolist() == [1, 2, 3, 4]
    losses = results.printed_losses("gan")  # those of the critic; the generator's are another model's
    assert run.series("train/loss").steps.tolist() == [1, 2, 3, 4]
    assert run.series("train/loss").values == pytest.approx(losses, rel=1e-6)


def test_an_optimizer_made_anew_keeps_its_losses(results: Results):
    run = results.recorded("anew")
    assert run.series("train/loss").steps.tolist() == list(range(1, 7))
    assert run.series("train/loss").values == pytest.approx(results.printed_losses("anew"), rel=1e-6)


def test_a_script_that_raises(results: Results):
    done = results.watched["raises"]
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    start = lines.index("Traceback (most recent call last):")
    assert str(results.scripts["raises"]) in lines[start + 1]
    assert "runpy" not in done.stderr
    assert lines[-1] == "ValueError: bad   data"
    run = results.recorded("raises")
    assert run.status == "crashed"
    assert run.manifest["reason"].startswith("ValueError: bad")
    assert run.series("train/loss").steps.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "code", "status", "reason"),
    [("exit 3", 3, "crashed", "exit code 3"), ("exit 0", 0, "finished", None),
     ("exit text", 1, "crashed", "exit code 1")],
)  # fmt: skip
def test_exit_codes_are_the_scripts_own(name: str, code: int, status: str, reason: str | None, results: Results):
    assert results.watched[name].returncode == code
    run = results.recorded(name)
    assert (run.status, run.manifest["reason"]) == (status, reason)
    assert ("no more data" in results.watched[name].stderr) == (name == "exit text")


def test_a_script_that_does_not_train_is_told_so(results: Results):
    done = results.watched["no training"]
    assert (done.returncode, done.stdout) == (0, "torch.Size([1, 2])\n")
    assert "nothing was recorded" in done.stderr


def test_hooks_and_patches_are_gone_afterwards(results: Results):
    lines = results.watched["restored"].stdout.splitlines()[-4:]
    assert lines == ["hooks left 0", "backward torch._tensor False", "scale False False", "step GradScaler.step"]
