"""How the documents are built: ``.ci/docs`` does it from nothing, with every warning an error."""

from __future__ import annotations

from sphinx.application import Sphinx

import imfnb

project = "imfnb"
author = "The imfnb developers"
copyright = author
release = version = imfnb.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_parser", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "gallery"]

# References that lead nowhere are warnings, except for those to what is documented elsewhere: a build needs no network.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!imfnb).*")]

html_theme = "furo"
html_title = f"imfnb {release}"
html_show_sphinx = False
html_copy_source = False

# Sections of documents can be linked to, and lists of terms have no bullets.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]

autodoc_typehints = "none"  # docstrings have them, with shapes
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

# What docstrings are held to, here and by tests/test_docs.py: everything but
numpydoc_validation_checks = {
    "all",
    "GL01",  # a summary begins on the line of the quotes, as PEP 257 and ruff's formatter have it
    "ES01",  # where the summary says everything there is nothing to extend
    "SS05",  # "Bits per pixel", "Names of all codecs": takes a noun in the plural for a verb in the third person
    "EX01",  # examples and See Also are asked of functions: classes of errors and records need none, and
    "SA01",  # tests/test_docs.py knows which is which
}
numpydoc_validation_exclude = {r"\.[A-Z_]+$"}  # constants, which are described by a comment in front of them

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "capture_repr": (),
    "show_memory": False,
    "show_signature": False,
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
}

# Files of the repository that stand here as pages, and what their links to others become, which are relative to the
# repository there.
_PAGES = {
    "README.md": "/start.md",
    "docs/layout.md": "/layout.md",
    "CONTRIBUTING.md": "/contributing.md",
    "CHANGELOG.md": "/changelog.md",
    "FORMAT.md": "/format.md",
    "imfnb/format/FORMAT.md": "/format.md",
    "benchmarks/RESULTS.md": "/benchmarks.md",
    "examples/findings.md": "/guides/findings.md",
    "examples/entropy_coder.md": "/guides/entropy_coder.md",
    "entropy_coder.md": "/guides/entropy_coder.md",
}


def _link(app: Sphinx, path: object, page: str, content: list[str]) -> None:
    """Let links between files of the repository lead to their pages."""
    for file, target in _PAGES.items():
        content[0] = content[0].replace(f"]({file})", f"]({target})")


def setup(app: Sphinx) -> None:
    """Register what changes included files."""
    app.connect("include-read", _link)
