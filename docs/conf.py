"""How Sphinx makes the site: `nox -s docs` builds it, and a warning is an error there."""

from __future__ import annotations

from typing import Final

from kinesink import __version__

project: Final = "kinesink"
release: Final = __version__
version: Final = release
project_copyright: Final = "the authors of kinesink, Apache License 2.0"

extensions: Final = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns: Final = ["_build"]

# The anchors of a code host: the same link leads to the same heading there and here.
myst_heading_anchors: Final = 4

# Signatures are those of the source: names of types, not their whole addresses.
autodoc_typehints: Final = "signature"
autodoc_typehints_format: Final = "short"
autodoc_member_order: Final = "bysource"
autodoc_preserve_defaults: Final = True

html_theme: Final = "furo"
html_title: Final = f"kinesink {release}"
html_show_sphinx: Final = False
# Nothing is fetched from anywhere when somebody reads a page.
html_theme_options: Final[dict[str, list[str]]] = {"top_of_page_buttons": []}
