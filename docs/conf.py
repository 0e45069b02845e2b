"""How the documentation is built: `./dev check docs`, or sphinx-build by hand."""

project = "tacit"
author = "the tacit authors"
copyright = "the tacit authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "tacit"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = True
