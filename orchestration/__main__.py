"""`python -m orchestration` is the `warehouse` command."""

import sys

from orchestration.cli import main

sys.exit(main())
