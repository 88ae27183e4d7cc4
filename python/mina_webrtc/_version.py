"""The one place that says which version this is; Cargo.toml and pyproject.toml repeat it, a test compares them."""

from __future__ import annotations

__version__ = "0.1.0"
