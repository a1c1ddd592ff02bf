"""Sphinx's settings for `make site`. scripts/build_site.py lays out the pages that it reads."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

project = "Serverless Predictions at Scale"
language = "en-GB"
extensions = ["myst_nb"]
root_doc = "index"

nb_execution_mode = "off"  # the stored outputs are shown
nb_merge_streams = True
myst_heading_anchors = 6  # headings are linked to as on GitHub
suppress_warnings = ["misc.highlighting_failure"]  # blocks with an ellipsis, or a <name> to fill in

html_theme = "furo"
html_title = project
html_static_path = ["site.css", "site.js"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_copy_source = False
html_show_search_summary = False  # a page that was opened from a file may not fetch another
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None


def alternative_texts(notebook: Path) -> dict[str, str]:
    """The alternative text of each stored figure, by the SHA-256 of its PNG, which names myst-nb's file."""
    texts = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if image := output.get("data", {}).get("image/png"):
                digest = hashlib.sha256(base64.b64decode("".join(image))).hexdigest()
                texts[digest] = output.get("metadata", {}).get("image/png", {}).get("alt", "")
    return texts


def describe(app: Sphinx, doctree: nodes.document) -> None:
    """Give the figures of a notebook their alternative texts: myst-nb reads a cell's alone, and not an output's."""
    source = Path(app.env.doc2path(app.env.current_document.docname))
    if source.suffix == ".ipynb":
        texts = alternative_texts(source)
        for image in doctree.findall(nodes.image):
            if text := texts.get(Path(image["uri"]).stem):
                image["alt"] = text


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
