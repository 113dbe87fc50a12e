"""A child process of its own: checks notification addresses, or posts a message to them.

Run by file name, with a JSON request on one line of stdin: ``addresses``, ``path`` (entries for sys.path) and, to
post, ``title`` and ``body``. Answers with a JSON object on the last line of stdout: ``bad``, the numbers of the
addresses that are not understood or did not take the message.

It imports nothing of babysit and the training imports nothing of it: the network, the plugins of a hundred services
and the random numbers that message identifiers are made of stay out of the training's process.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """See the module."""
    sys.path += [entry for entry in request["path"] if entry not in sys.path]
    import apprise

    bad = []
    for number, address in enumerate(request["addresses"]):
        service = apprise.Apprise()
        good = bool(service.add(address))
        if good and "body" in request:
            good = bool(service.notify(title=request["title"], body=request["body"]))
        if not good:
            bad.append(number)
    return {"bad": bad}


if __name__ == "__main__":
    logging.getLogger("apprise").addHandler(logging.NullHandler())  # what it would say may hold a password
    json.dump(answer(json.loads(sys.stdin.readline())), sys.stdout)
