"""A hook of mkdocs: pages that stand at the root of the repository, with their links as seen from docs/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the file in the place of `--8<-- "NAME.md"`."""
    return re.sub(r'^--8<-- "(\w+\.md)"$', _text, markdown, flags=re.MULTILINE)


def _text(found: re.Match[str]) -> str:
    text = (ROOT / found[1]).read_text("utf-8")
    return text.replace("](docs/", "](").replace("](SECURITY.md", "](security.md")
