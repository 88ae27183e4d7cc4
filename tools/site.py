"""A hook of mkdocs: pages that stand at the root of the repository, with their links as seen from docs/; and pictures
that follow the page's switch between light and dark, which `<picture>`, as GitHub reads it, does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PICTURE = re.compile(
    r"<picture>\s*<source [^>]*dark[^>]*srcset=\"(?P<dark>[^\"]+)\">\s*"
    r"<img alt=\"(?P<alt>[^\"]+)\" src=\"(?P<light>[^\"]+)\">\s*</picture>"
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the file in the place of `--8<-- "NAME.md"`, and two images in that of a `<picture>`."""
    markdown = re.sub(r'^--8<-- "(\w+\.md)"$', _text, markdown, flags=re.MULTILINE)
    return PICTURE.sub(r"![\g<alt>](\g<light>#only-light)![\g<alt>](\g<dark>#only-dark)", markdown)


def _text(found: re.Match[str]) -> str:
    text = (ROOT / found[1]).read_text("utf-8")
    return text.replace("](docs/", "](").replace("](SECURITY.md", "](security.md")
