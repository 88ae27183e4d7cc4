"""The command line, `mina-webrtc`: one file per command."""

from __future__ import annotations

from mina_webrtc.cli.app import main

__all__ = ["main"]
