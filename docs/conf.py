"""Settings of Sphinx; `ci/docs.sh` builds the site."""

import contextlib
import functools
import operator
import os
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.docutils import SphinxDirective

import xpnet

project = "xpnet"
author = "xpnet developers"
copyright = "the xpnet developers"
version = release = xpnet.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["mathematics.css"]
html_title = f"xpnet {release}"
html_theme_options = {
    "source_repository": "https://github.com/xpnet/xpnet/",
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False  # autodoc shows them

# A name in single backticks that nothing here has is a warning, so that none goes stale unseen.
default_role = "py:obj"
nitpicky = True
nitpick_ignore = [("py:obj", "find_class"), ("py:obj", "received")]  # of pickle; an attribute
nitpick_ignore_regex = [
    # Other libraries: the site is built the same with and without a network.
    (r"py:.*", r"(np|numpy|concurrent|contextlib|collections|argparse|pathlib)\b.*"),
    (r"py:.*", r"(array_api_compat|matplotlib|optuna|sklearn)\b.*"),
    # Types that annotations name: of other libraries, or aliases.
    (r"py:class", r"(Figure|Axes|Study|Trial|FrozenTrial|ArrayLike|NDArray)"),
    (r"py:class", r"(Array|Namespace|Params|Layer|Pullback)"),
]
if os.environ.get("READTHEDOCS"):  # where there is a network for sure
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "numpy": ("https://numpy.org/doc/stable", None),
        "python": ("https://docs.python.org/3", None),
    }


class CommandHelp(SphinxDirective):
    """``{command-help} train``: what ``xpnet train --help-all`` prints, so that the page is never behind."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Run the command and show its output."""
        help_flag = "--help-all" if self.arguments[0] in ("train", "sweep") else "--help"
        command = [sys.executable, "-m", "xpnet", self.arguments[0], help_flag]
        environment = os.environ | {"COLUMNS": "96", "NO_COLOR": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        block = nodes.literal_block(done.stdout, done.stdout, language="text")
        self.env.note_dependency(str(Path(xpnet.__file__).with_name("runs") / "config.py"))
        return [block]


def write_math(as_block):
    """Return a visitor that writes MathML: browsers show it without a script, and without a network."""

    def visit(self, node):
        self.body.append(tex2mathml(node.astext(), as_block=as_block))
        raise nodes.SkipNode

    return visit, None


def skip(_app, _what, name, thing, skipped, _options):
    """Leave out what a library says of our classes: fields of a NamedTuple, scikit-learn's metadata routing.

    And aliases of types, for which autodoc looks for a signature that isn't there.
    """
    is_field = (getattr(thing, "__doc__", "") or "").startswith("Alias for field number")
    is_alias = isinstance(thing, types.GenericAlias)
    is_routing = name.startswith("set_") and name.endswith("_request")
    return True if is_field or is_alias or is_routing else skipped


@functools.cache
def find(name, module, of_class):
    """Return what a name in backticks is: of the class or module it is used in, or of any of ours."""
    scopes = [sys.modules.get(module), *(sys.modules[name] for name in sorted(sys.modules) if ours(name))]
    for scope in (getattr(scopes[0], of_class or "", None), *scopes):
        with contextlib.suppress(AttributeError):
            return operator.attrgetter(name)(scope)
    with contextlib.suppress(ImportError, AttributeError, ValueError):
        return pkgutil.resolve_name(name)
    return None


def ours(module):
    """Return whether a module is of the package."""
    return module.partition(".")[0] == "xpnet"


def resolve(_app, env, node, contnode):
    """Link a name that a package imports from its modules; accept one that is there but has no page."""
    if node.get("refdomain") != "py":
        return None
    thing = find(node["reftarget"], node.get("py:module"), node.get("py:class"))
    if thing is None:
        return None  # the warning says so
    where = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
    if not ours(where):
        return contnode
    builder, domain = env._app.builder, env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], builder, "obj", where, node, contnode) or contnode


def setup(app):
    """Register what this file adds."""
    app.add_directive("command-help", CommandHelp)
    app.add_html_math_renderer("mathml", write_math(as_block=False), write_math(as_block=True))
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
