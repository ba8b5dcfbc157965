"""How the documentation is built: `sphinx-build -W -b html docs site`."""

from importlib import metadata

project = "gatgnn_jax"
author = "the gatgnn_jax authors"
release = metadata.version("gatgnn_jax")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
default_role = "code"  # what stands between single backticks in docstrings
html_theme = "furo"
html_title = f"gatgnn_jax {release}"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = True
napoleon_use_rtype = False
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
