"""A hook of mkdocs: pages that stand at the root of the repository, with their links as seen from docs/; and pictures
that follow the page's switch between light and dark, which `<picture>`, as GitHub reads it, does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[1]
PICTURE = re.compile(
    r"<picture>\s*<source [^>]*dark[^>]*srcset=\"(?P<dark>[^\"]+)\">\s*"
    r"<img alt=\"(?P<alt>[^\"]+)\" src=\"(?P<light>[^\"]+)\">\s*</picture>"
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the file in the place of `--8<-- "NAME.md"`, and two images in that of a `<picture>`."""
    markdown = re.sub(r'^--8<-- "(\w+\.md)"$', _text, markdown, flags=re.MULTILINE)
    return PICTURE.sub(r"![\g<alt>](\g<light>#only-light)![\g<alt>](\g<dark>#only-dark)", markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Refuse a page that shows the mark of a snippet, which a formatter may have taken for code."""
    if re.search(r"8 ?(<|&lt;) ?--", re.sub(r"<[^>]*>", "", html)):
        raise PluginError("a snippet was not put in")
    return html


def _text(found: re.Match[str]) -> str:
    text = (ROOT / found[1]).read_text("utf-8")
    return text.replace("](docs/", "](").replace("](SECURITY.md", "](security.md")
