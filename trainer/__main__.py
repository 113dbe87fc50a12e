"""`python -m trainer`: the train command by itself."""

from __future__ import annotations

import argparse
import sys

from probes.errors import BabysitError
from trainer.commands import train


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trainer")
    train.add_arguments(parser)
    try:
        return train.run(parser.parse_args())
    except BabysitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
