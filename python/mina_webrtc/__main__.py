"""`python -m mina_webrtc` is the command line."""

from __future__ import annotations

import sys

from mina_webrtc.cli import main

if __name__ == "__main__":
    sys.exit(main())
