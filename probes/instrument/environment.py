"""Where a run takes place: host, process, versions, device, git commit. Read once, when the run begins."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from pathlib import Path

import torch


def describe_environment(device: torch.device) -> dict[str, object]:
    """What the manifest says about the machine and the program."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": process_started(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "argv": list(sys.argv),
        "git": git_commit(Path.cwd()),
    }


def describe_device(device: torch.device) -> str:
    """The device's name as its maker calls it, where it has one."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return device.type


def process_started() -> float:
    """Unix time at which this process began (to the tick on Linux, the present elsewhere)."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return time.time()
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def git_commit(folder: Path) -> str | None:
    """The commit checked out in the repository around ``folder``, read from its files; None outside of one.

    Reading the files takes microseconds and cannot hang, where calling git may do either.
    """
    for parent in (folder, *folder.parents):
        try:
            git = parent / ".git"
            if git.is_file():  # a worktree or submodule: the file names the real folder
                git = parent / git.read_text().removeprefix("gitdir:").strip()
            if (git / "HEAD").is_file():
                return _head(git)
        except (OSError, UnicodeDecodeError):
            return None
    return None


def _head(git: Path) -> str | None:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head or None
    ref = head.removeprefix("ref:").strip()
    common = git / "commondir"
    homes = [git, git / common.read_text().strip()] if common.is_file() else [git]
    for home in homes:
        if (home / ref).is_file():
            return (home / ref).read_text().strip()
        packed = home / "packed-refs"
        if packed.is_file():
            for line in packed.read_text().splitlines():
                commit, _, name = line.partition(" ")
                if name == ref:
                    return commit
    return None
