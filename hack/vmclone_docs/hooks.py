"""The hooks of MkDocs: pages that are made while the site is built, and links that lead out of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # MkDocs loads this file by its path
from vmclone_docs.pages import completed, reason_pages, without_links_out

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let no page of a section be forgotten in the menu."""
    docs = Path(config.docs_dir)
    config.nav = completed(config.nav or [], [path.relative_to(docs).as_posix() for path in docs.glob("*/*.md")])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each reason of a condition."""
    conditions = (Path(config.docs_dir) / "reference" / "conditions.md").read_text(encoding="utf-8")
    for path, text in reason_pages(conditions).items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  - its form
    """Name, and do not link, what lies outside of docs/."""
    return without_links_out(markdown, page.file.src_uri)
