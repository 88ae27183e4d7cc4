"""Comparing two backends takes both: without the native one these files are left out, if `pure` was asked for."""

from __future__ import annotations

import os
from importlib.util import find_spec

NATIVE_MISSING = os.environ.get("MINA_WEBRTC_BACKEND") == "pure" and find_spec("mina_webrtc._native") is None
collect_ignore_glob = ["test_parity_*.py"] if NATIVE_MISSING else []


def pytest_report_header() -> str:
    return "parity of backends: " + (
        "left out, there is no native backend" if NATIVE_MISSING else "native against pure"
    )
