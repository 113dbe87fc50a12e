"""How a run ended that nobody closed, as the process or the thread that trained left it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import probes

SCRIPT = """
    import os, signal, sys, torch, probes
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    {before}
    probe = probes.watch(model, optimizer, sys.argv[1])
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
    {end}
"""


@pytest.mark.parametrize(
    ("before", "end", "code", "status", "reason"),
    [
        ("", "pass", 0, "finished", None),
        ("", "raise ValueError('bad data')", 1, "crashed", "ValueError: bad data"),
        ("", "os.kill(os.getpid(), signal.SIGTERM); import time; time.sleep(60)", -15, "crashed", "SIGTERM"),
        ("", "os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(60)", None, "crashed",
         "KeyboardInterrupt"),
        ("signal.signal(signal.SIGTERM, lambda *a: sys.exit(7))",
         "os.kill(os.getpid(), signal.SIGTERM); import time; time.sleep(60)", 7, "crashed", "exit code 7"),
        ("sys.excepthook = lambda *a: print('theirs', flush=True)", "raise ValueError('x')", 1, "crashed",
         "ValueError: x"),
    ],
)  # fmt: skip
def test_a_program_that_ends_without_closing(
    before: str, end: str, code: int | None, status: str, reason: str | None, tmp_path: Path
):
    script = textwrap.dedent(SCRIPT).format(before=before, end=end)
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")],
        capture_output=True, text=True, timeout=100,
        # A shell that runs tests in the background makes its children ignore Ctrl-C; this program must not be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    run = probes.open_run(tmp_path / "run")
    assert (run.status, run.manifest["reason"]) == (status, reason), result.stderr
    assert run.series("optimizer/lr").steps.tolist() == [1, 2, 3]
    if code is not None:
        assert result.returncode == code, result.stderr
    if "theirs" in before:
        assert "theirs" in result.stdout


@pytest.mark.parametrize(
    ("end", "code", "status", "reason"),
    [
        ("sys.exit(7)", 7, "crashed", "exit code 7"),
        ("sys.exit('no more data')", 1, "crashed", "exit code 1"),
        ("sys.exit(False)", 0, "finished", None),
        ("sys.exit()", 0, "finished", None),
        ("del probe; sys.exit(7)", 7, "crashed", "exit code 7"),
        # Caught, and the training went on.
        ("try: sys.exit(7)\nexcept SystemExit: optimizer.step()", 0, "finished", None),
        ("theirs = sys.exit; sys.exit = lambda code: theirs(code + 1); sys.exit(7)", 8, "crashed", "exit code 8"),
        ("probe.close(); sys.exit(7)", 7, "finished", None),
        ("os._exit(7)", 7, "crashed", None),
    ],
)
def test_an_exit_code(end: str, code: int, status: str, reason: str | None, tmp_path: Path):
    script = textwrap.dedent(SCRIPT).format(before="", end=end)
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path / "run")], capture_output=True, timeout=100)
    assert result.returncode == code, result.stderr
    run = probes.open_run(tmp_path / "run")
    assert (run.status, run.manifest["reason"]) == (status, reason), result.stderr
    if "os._exit" not in end:
        assert set(run.series("optimizer/lr").steps) >= {1, 2, 3}


THREADS = """
    import sys, threading, torch, probes

    def train(name, end):
        model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        probe = probes.watch(model, optimizer, f"{sys.argv[1]}/{name}", every=1)
        keep.append((model, probe))
        for _ in range(30):
            optimizer.zero_grad()
            loss = model(torch.randn(4, 3)).sum()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
        end()

    keep = []
    def fail():
        raise ValueError("in this thread")
    def main():
        ends = {"well": lambda: None, "failed": fail, "left": lambda: sys.exit(3), "done": sys.exit}
        threads = [threading.Thread(target=train, args=item) for item in ends.items()]
        helper = threading.Thread(target=fail)  # trains nothing
        for thread in [*threads, helper]:
            thread.start()
        for thread in [*threads, helper]:
            thread.join()
        train("main", lambda: None)
    main()
"""


def test_threads_that_train_at_once_end_each_in_their_own_way(tmp_path: Path):
    script = textwrap.dedent(THREADS)
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    ends = {}
    for name in ("well", "failed", "left", "done", "main"):
        run = probes.open_run(tmp_path / name)
        ends[name] = run.status, run.manifest["reason"]
        assert run.series("train/loss").steps.tolist() == list(range(1, 31))
        assert run.layer_series("update_norm").steps.tolist() == list(range(1, 31))
        assert run.events == []
    assert ends == {
        "well": ("finished", None),
        "failed": ("crashed", "ValueError: in this thread"),
        "left": ("crashed", "exit code 3"),
        "done": ("finished", None),
        "main": ("finished", None),
    }
    assert result.stderr.count("ValueError: in this thread") == 2  # each printed once
