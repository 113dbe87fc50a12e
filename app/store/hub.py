"""The one thread that keeps watched runs fresh and tells whoever looks at them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.store.directory import RunsDirectory
from app.store.stores import Stores
from app.store.watcher import Watcher

_log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
"""How often to look without being told: bounds the delay on filesystems that tell nobody."""

FAST_POLL_SECONDS = 0.5
"""The same, once a poll found what no event announced (NFS, CIFS, FUSE)."""

POLL_SHARE = 20.0
"""A poll that took t seconds is followed by at least this many times t without one: thousands of runs on a slow disk
must not keep a core busy."""

GATHER_SECONDS = 0.02
"""One flush of the writer is several file events; they are taken together."""


BUSY_SECONDS = 0.05
"""How long to wait for a run that is being read (a chart is drawn from it) before turning to the next one."""


class Subscription:
    """Somebody looks at some runs until `close`."""

    def __init__(self, hub: Hub, run_ids: Sequence[str], on_change: Callable[[], None]) -> None:
        self.run_ids = tuple(run_ids)
        self.on_change = on_change
        self._hub = hub

    def close(self) -> None:
        """No more calls, and the runs are let go. May be called again."""
        self._hub._drop(self)


class Hub:
    """Refreshes the stores somebody subscribed to, and the list of runs, when there is reason to.

    Reasons are a write that the watcher saw, and the slow poll. Runs nobody looks at are not read at all. Subscribers
    are called from the hub's thread, with no lock held, and must not block.
    """

    def __init__(self, directory: RunsDirectory, stores: Stores, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._directory = directory
        self._stores = stores
        self._poll_seconds = poll_seconds
        self._subscriptions: set[Subscription] = set()
        self._lock = threading.Lock()
        self._dirty: set[Path] = set()
        self._watched: set[Path] = set()
        self._wake = threading.Event()
        self._stopped = False
        self._watcher = Watcher(self._on_write)
        self._thread = threading.Thread(target=self._work, name="babysit-hub", daemon=True)
        self._thread.start()

    def subscribe(self, run_ids: Sequence[str], on_change: Callable[[], None]) -> Subscription:
        """Calls `on_change()` whenever one of the runs (or the list of runs) has a new version, until closed.

        Raises:
            RunDirectoryError: an id leads out of the runs directory.
        """
        subscription = Subscription(self, run_ids, on_change)
        pinned: list[str] = []
        try:
            for run_id in subscription.run_ids:
                self._stores.pin(run_id)
                pinned.append(run_id)
        except Exception:
            for run_id in pinned:
                self._stores.unpin(run_id)
            raise
        with self._lock:
            self._subscriptions.add(subscription)
            self._dirty.update(store.path for store in map(self._stores.get, subscription.run_ids))
        self._wake.set()
        return subscription

    def close(self) -> None:
        """Ends the threads."""
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout=5)
        self._watcher.close()

    def _drop(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription not in self._subscriptions:
                return
            self._subscriptions.discard(subscription)
        for run_id in subscription.run_ids:
            self._stores.unpin(run_id)
        # The watches of runs that nobody looks at any more go with the next round.
        self._wake.set()

    def _on_write(self, directory: Path) -> None:
        with self._lock:
            self._dirty.add(directory)
        self._wake.set()

    def _work(self) -> None:
        next_poll = 0.0
        while not self._stopped:
            self._wake.wait(timeout=max(0.0, next_poll - time.monotonic()))
            if self._wake.is_set():
                time.sleep(GATHER_SECONDS)
            self._wake.clear()
            if self._stopped:
                return
            with self._lock:
                dirty, self._dirty = self._dirty, set()
            began = time.monotonic()
            poll = began >= next_poll
            soon = False
            try:
                self._watch()
                soon = self._look(dirty, poll=poll)
            except Exception:  # noqa: BLE001 - this thread serves every open page, and a fault in one round must not
                # end it. It is logged, and the next round tries again.
                _log.exception("looking for new data failed; trying again")
            now = time.monotonic()
            if poll:
                next_poll = now + max(self._poll_seconds, POLL_SHARE * (now - began))
            if soon:
                next_poll = min(next_poll, now + max(FAST_POLL_SECONDS, POLL_SHARE * (now - began)))

    def _watch(self) -> None:
        wanted = {store.path for store in self._stores.pinned()} | {self._directory.root}
        for path in self._watched - wanted:
            self._watcher.unwatch(path)
        for path in wanted:
            self._watcher.watch(path)
        self._watched = wanted

    def _look(self, dirty: set[Path], *, poll: bool) -> bool:
        """One round. True when there is reason to look again soon: the poll found what no event had announced, or a
        run may be about to begin (its directory is made before there is a manifest in it)."""
        changed: set[str] = set()
        missed = False
        for store in self._stores.pinned():
            announced = store.path in dirty
            if not (announced or poll):
                continue
            grew = store.refresh(patience=BUSY_SECONDS)
            if grew is None:
                # Somebody reads it for long; the other runs' news must not wait. It stays to be looked at.
                self._on_write(store.path)
            elif grew:
                changed.add(store.run_id)
                missed = missed or not announced
        beginning = self._directory.root in dirty
        listed = self._directory.refresh() if poll or beginning else False
        if changed or listed:
            self._tell(changed, listed)
        return missed or beginning

    def _tell(self, changed: set[str], listed: bool) -> None:
        with self._lock:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            if listed or not changed.isdisjoint(subscription.run_ids):
                try:
                    subscription.on_change()
                except Exception:  # noqa: BLE001 - one page that went away mid-call must not keep the news from
                    # the others.
                    _log.exception("telling a subscriber failed")
