"""The report of a run: ``report.html``, a self-contained page.

Each evaluation stands between two HTML comments, so that one can be added or replaced later without the run.
No other text on the page can contain such a comment, because all of it is escaped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xpnet.reporting import metrics
from xpnet.reporting.evaluated import Evaluated, as_section
from xpnet.reporting.page import page, picture, section, terms

__all__ = ["Report", "settings_section", "with_evaluation"]

WARNINGS = {
    "diverged": "Training diverged (the loss overflowed). The model has parameters from before that.",
    "interrupted": "The run was interrupted. The model is what was trained so far.",
}

END = "<!--evaluations end-->"


@dataclass(frozen=True)
class Report:
    """The content of the page.

    Parameters
    ----------
    title, subtitle
        Name and date of the run.
    summary
        As in ``summary.json``.
    settings, defaults
        Settings of the run, and their defaults.
    versions
        Versions of the packages used, by name.
    score
        Name of the summary's score: ``"accuracy"``, or ``"r2"``.
    curves
        HTML from `xpnet.reporting.curves.curves`; empty for none.
    evaluated
        Evaluations by split: ``"val"``, ``"test"``.
    weights
        PNG file of the first layer's weights, or None.
    is_repeatable
        Whether the settings name the data, so that the run can be repeated from them.
    """

    title: str
    subtitle: str
    summary: Mapping[str, Any]
    settings: Mapping[str, Any]
    defaults: Mapping[str, Any]
    versions: Mapping[str, str]
    score: str = "accuracy"
    curves: str = field(default="", repr=False)
    evaluated: Mapping[str, Evaluated] = field(default_factory=dict)
    weights: bytes | None = field(default=None, repr=False)
    is_repeatable: bool = True

    def as_html(self) -> bytes:
        """Return the page."""
        return page(
            self.title,
            self.subtitle,
            self._cards(),
            "".join(self._sections()),
            warning=WARNINGS.get(self.summary.get("status", ""), ""),
        )

    def _cards(self) -> Iterable[tuple[str, str]]:
        for name, of in (("test", "test"), ("val", "validation"), ("train", "training")):
            key = f"{name}_{self.score}"
            value = self.summary.get(key)
            if value is not None or (name == "val" and key in self.summary):  # undefined: a dash
                yield f"{of} {metrics.score_name(self.score)}", metrics.shown(value, self.score)
        for name, form in (("steps", "{:,}"), ("seconds", "{:,.2f} s")):
            if name in self.summary:
                yield name if name == "steps" else "preparing and training", form.format(self.summary[name])
        if "device" in self.summary:
            yield "device", self.summary["device"]

    def _sections(self) -> Iterable[str]:
        if self.curves:
            yield section("Curves", self.curves)
        for key, found in self.evaluated.items():
            yield _commented(key, as_section(found))
        yield END
        if self.weights is not None:
            note = '<p class="faint">Input weights of each hidden unit, each with its own contrast.</p>'
            drawn = picture(self.weights, "Weights as images", "weights")
            yield section("Weights of the first layer", note + drawn)
        note = "The data were given in Python and are not stored."
        if self.is_repeatable:
            note = "<code>xpnet train --config config.json</code> repeats the run."
        yield settings_section(self.settings, self.defaults, note)
        yield section("Made with", terms((name, value, False) for name, value in self.versions.items()))


def settings_section(settings: Mapping[str, Any], defaults: Mapping[str, Any], note: str) -> str:
    """Return the section of settings: those that differ from the defaults come first. The note is HTML."""
    shown = [(name, _shown(value), value != defaults.get(name)) for name, value in settings.items()]
    changed = terms(item for item in shown if item[2])
    rest = terms(item for item in shown if not item[2])
    return section(
        "Settings",
        f'<p class="faint">The settings that differ from the defaults. {note}</p>{changed}'
        f"<details><summary>All other settings (defaults)</summary>{rest}</details>",
    )


def with_evaluation(html: str, key: str, found: Evaluated) -> str | None:
    """Return a report with an evaluation added; it replaces an earlier one of the same rows.

    Parameters
    ----------
    html
        The page.
    key
        Name of the split, or of other rows.
    found
        The evaluation.

    Returns
    -------
    str or None
        The page; None if it has no place for evaluations, because an earlier version wrote it.
    """
    begin, end = _comments(key)
    new = _commented(key, as_section(found))
    before, opened, rest = html.partition(begin)
    if opened:
        _, closed, after = rest.partition(end)
        return before + new + after if closed else None
    before, place, after = html.partition(END)
    return before + new + place + after if place else None


def _comments(key: str) -> tuple[str, str]:
    return f"<!--evaluation {key}-->", f"<!--end of {key}-->"


def _commented(key: str, html: str) -> str:
    begin, end = _comments(key)
    return begin + html + end


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    items: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    return " ".join(map(str, items))
