"""`python -m probes` is the `babysit` command, for where the script directory is not on PATH."""

import sys

from probes.cli import main

sys.exit(main())
