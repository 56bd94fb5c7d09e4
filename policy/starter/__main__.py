"""`python -m policy.starter TEXT` rebuilds the starter model."""

from __future__ import annotations

import sys

from policy.starter.build import main

if __name__ == "__main__":
    sys.exit(main())
