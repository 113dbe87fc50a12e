"""The `babysit` command: one parser, one module per subcommand.

Exit codes: what the command returns; 2 for anything that could not be run, with one line on stderr; 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from probes._version import __version__
from probes.cli.registry import COMMANDS, missing_extra
from probes.errors import BabysitError

COULD_NOT_RUN = 2
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(COULD_NOT_RUN, f"{self.prog}: error: {message} (see '{self.prog} --help')\n")


def _overview() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="babysit",
        description="Watches a PyTorch training live, and says what is wrong with it.",
        epilog="babysit COMMAND --help shows the options of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"babysit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in COMMANDS:
        commands.add_parser(command.name, help=command.help, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: sys.argv[1:]) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    overview = _overview()
    if not arguments:
        overview.print_help(sys.stderr)
        return COULD_NOT_RUN
    # Only the leading word is parsed here: the options belong to the command, whose module is imported on demand.
    chosen = overview.parse_args(arguments[:1]).command
    command = next(c for c in COMMANDS if c.name == chosen)
    try:
        module = command.load()
        parser = _Parser(
            prog=f"babysit {command.name}",
            description=command.help[0].upper() + command.help[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(arguments[1:])))
    except BabysitError as error:
        return _could_not_run(command.name, error)
    except ModuleNotFoundError as error:
        explained = missing_extra(command.name, error)
        if explained is None:
            raise
        return _could_not_run(command.name, explained)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone: not an error. Python would complain again at exit without this.
        sys.stderr.close()
        return 0


def _could_not_run(command: str, error: BabysitError) -> int:
    print(f"babysit {command}: error: {error}", file=sys.stderr)
    return COULD_NOT_RUN


if __name__ == "__main__":
    sys.exit(main())
