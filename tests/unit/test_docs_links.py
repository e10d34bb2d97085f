"""Links in the documentation lead somewhere: to what is there, and to headings of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (".", "docs", "docs/catalogue", "docs/decisions", "docs/guide", "benchmarks", "configs")
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))


def slug(heading: str) -> str:
    """The anchor that a heading has on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)


def broken_links(page: Path) -> list[str]:
    """Links of a page to files or headings that do not exist."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        to = page if not path else (page.parent / path).resolve()
        if "://" in link or (to.exists() and not anchor):
            continue
        headings = re.findall(r"^#+ (.+)$", to.read_text(), re.MULTILINE) if to.is_file() else []
        if anchor not in map(slug, headings):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_links_that_do_not_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# 1.2, X.3 A heading\n[a](#12-x3-a-heading) [b](#nothing) [c](none.md)\n")
    assert broken_links(page) == ["#nothing", "none.md"]
