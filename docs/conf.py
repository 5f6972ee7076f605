"""Settings of Sphinx; `ci/docs.sh` builds the site."""

import argparse
import contextlib
import functools
import importlib
import operator
import os
import pkgutil
import re
import sys
import types
from pathlib import Path
from unittest import mock

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from numpy.typing import ArrayLike
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import stringify_annotation

import xpnet
from xpnet.__main__ import COMMANDS

project = "xpnet"
author = "xpnet developers"
copyright = "the xpnet developers"
version = release = xpnet.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["mathematics.css", "site.css"]
html_title = f"xpnet {release}"
html_theme_options = {
    "source_repository": "https://github.com/xpnet/xpnet/",
    "source_branch": "main",
    "source_directory": "docs/",
}

html_search_scorer = str(Path(__file__).parent / "_static" / "scorer.js")
html_show_sourcelink = False

myst_enable_extensions = ["attrs_block", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "off"  # `python docs/execute.py` writes what the tutorials show

SEARCHED = {
    "tables": ["own data", "data frame", "CSV", "Excel", "pandas", "Parquet", "missing values"],
    "tutorials/table": ["regression", "classification"],
    "tutorials/gpu": ["GPU", "CUDA"],
    "tutorials/images": ["images", "PNG", "JPEG"],
    "tutorials/cs231n": ["CIFAR-10"],
    "sweeps": ["grid search", "hyperparameter search"],
    "trained": ["ONNX", "predict", "save", "load"],
    "techniques": ["dropout", "early stopping", "augmentation"],
}
"""Words that people look for, by the page that should be the first to be found."""

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
    (r"py:class", r"(Figure|Axes|Study|Trial|FrozenTrial|RenderableType|ArrayLike|NDArray)"),
    (r"py:class", r"(Array|Namespace|Params|Layer|Pullback)"),
]
if os.environ.get("READTHEDOCS"):  # where there is a network for sure
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "numpy": ("https://numpy.org/doc/stable", None),
        "python": ("https://docs.python.org/3", None),
    }


class CommandHelp(SphinxDirective):
    """``{command-help} train``: what ``xpnet train --help-all`` says, a section for each group of flags."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Show what the parser of the command knows."""
        self.env.note_dependency(str(Path(xpnet.__file__).with_name("runs") / "config.py"))
        name = self.arguments[0]
        parser = parser_of(name)
        text, _, examples = parser.description.partition("\n\n")
        shown = [nodes.paragraph("", "", *with_flags(text))]
        if examples:
            lines = "\n".join(line.strip() for line in examples.splitlines())
            shown.append(nodes.literal_block(lines, lines, language="sh"))
        for group in parser._action_groups:
            terms = [term_of(action, name, parser) for action in group._group_actions]
            if terms := [term for term in terms if term is not None]:
                title = group.title.removeprefix("positional ").capitalize()
                heading = nodes.make_id(f"{name}-{group.title}")
                section = nodes.section("", nodes.title("", title), ids=[heading], names=[heading])
                section += nodes.definition_list("", *terms, classes=["flags"])
                shown.append(section)
        return shown


def parser_of(command):
    """Return the parser that a command makes when it is asked for help."""
    parsers = []
    wide = mock.patch.dict(os.environ, COLUMNS="10000")  # so that it breaks no line of its description
    catch = mock.patch.object(
        argparse.ArgumentParser, "print_help", lambda self, _=None: parsers.append(self)
    )
    flag = "--help-all" if command in ("train", "sweep") else "--help"
    with wide, catch, contextlib.suppress(SystemExit):
        importlib.import_module(COMMANDS[command][0]).main([flag])
    return parsers[0]


def term_of(action, command, parser):
    """Return a flag or an argument with its help as an item of a definition list; None of what is hidden."""
    if action.help == argparse.SUPPRESS:
        return None
    names = [name for name in action.option_strings if name != "-h"] or [action.metavar or action.dest]
    formatter = parser.formatter_class("")
    takes = formatter._format_args(action, action.dest.upper()) if action.option_strings else ""
    takes = re.sub(r"^(\S+) \[\1 \.\.\.\]$", r"\1 …", takes).replace(",", ", ")
    term = nodes.term("", "", ids=[nodes.make_id(f"{command}-{action.dest}")])
    for i, name in enumerate(names):
        term += [nodes.Text(" "), nodes.literal("", name)] if i else [nodes.literal("", name)]
    if takes:
        term += [nodes.Text(" "), nodes.inline("", takes, classes=["takes"])]
    help = formatter._expand_help(action) if action.help else ""
    return nodes.definition_list_item(
        "", term, nodes.definition("", nodes.paragraph("", "", *with_flags(help)))
    )


def with_flags(text):
    """Return a text with the flags in it set as code."""
    parts = re.split(r"(?<![\w-])(--[a-z][\w-]*)", text)
    return [nodes.literal("", part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts) if part]


def write_math(as_block):
    """Return a visitor that writes MathML: browsers show it without a script, and without a network."""

    def visit(self, node):
        self.body.append(tex2mathml(node.astext(), as_block=as_block))
        raise nodes.SkipNode

    return visit, None


def skip(app, _what, name, thing, skipped, _options):
    """Leave out what a library says of our classes: fields of a NamedTuple, scikit-learn's metadata routing.

    And aliases of types, for which autodoc looks for a signature that isn't there.
    """
    is_field = (getattr(thing, "__doc__", "") or "").startswith("Alias for field number")
    is_alias = isinstance(thing, types.GenericAlias)
    is_routing = name == "get_metadata_routing" or (name.startswith("set_") and name.endswith("_request"))
    is_elsewhere = app.env.docname.startswith("internals/") and public_name(thing) is not None
    return True if is_field or is_alias or is_routing or is_elsewhere else skipped


def shorten(_app, _what, _name, _thing, _options, signature, returned):
    """Say ArrayLike, as the code does, and not the union that it stands for."""
    spelled = stringify_annotation(ArrayLike, "smart")
    return signature and signature.replace(spelled, "ArrayLike"), returned


def plain(_app, _what, _name, thing, _options, lines):
    """Take the references out of docstrings that scikit-learn hands down: they lead nowhere here."""
    thing = getattr(thing, "fget", thing)
    if (getattr(thing, "__module__", None) or "").startswith("sklearn."):
        text = re.sub(r":(?:ref|term):`([^`<]+?)(?: <[^`]*>)?`", r"``\1``", "\n".join(lines))
        lines[:] = re.sub(r"(?<![`:\w])`([^`\n]+)`(?!`)", r"``\1``", text).splitlines()


@functools.cache
def public_names():
    """Return what the page of the public API lists: the name of each function and class."""
    page = (Path(__file__).parent / "api.md").read_text("utf-8")
    names = re.findall(r"^   (xpnet[\w.]+)$", page, re.MULTILINE)
    return {pkgutil.resolve_name(name): name for name in names}


def public_name(thing):
    """Return the public name of a function or class; None if it has none."""
    return public_names().get(thing) if callable(thing) and thing.__hash__ else None


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
    where = public_name(thing) or f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
    if not ours(where):
        return contnode
    builder, domain = env._app.builder, env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], builder, "obj", where, node, contnode) or contnode


class AddSearched(SphinxTransform):
    """Adds the words that people look for to the index, which the search ranks above all text."""

    default_priority = 500

    def apply(self):
        """Add those of a page at its title."""
        if words := SEARCHED.get(self.env.docname):
            section = next(self.document.findall(nodes.section))
            entries = [("single", word, section["ids"][0], "main", None) for word in words]
            section.insert(1, addnodes.index(entries=entries))


def setup(app):
    """Register what this file adds."""
    app.add_directive("command-help", CommandHelp)
    app.add_transform(AddSearched)
    app.add_html_math_renderer("mathml", write_math(as_block=False), write_math(as_block=True))
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-process-docstring", plain, priority=100)  # before numpydoc
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
