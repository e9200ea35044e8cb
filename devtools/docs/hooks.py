"""MkDocs hooks: the plots of benchmarks/results, which lie outside docs/, become part of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "benchmarks/results"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the benchmarks' numbers and plots, so that a page can show them."""
    for path in sorted((ROOT / RESULTS).iterdir()):
        if path.suffix in (".svg", ".json"):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File(uri, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to benchmarks/results work in the site; as written they work where the repository is browsed."""
    return markdown.replace(f"(../../{RESULTS}/", f"(../{RESULTS}/")
