// Guides and tutorials come before the reference, unless a name of it was looked for, and that before the
// internals. All other values are Sphinx's own.
var Scorer = {
  score: ([docname, title, , , score]) => {
    if (docname.startsWith("internals")) return score - 60;
    if (docname !== "api" && !docname.startsWith("api/")) return score;
    const query = new URLSearchParams(window.location.search).get("q") ?? "";
    const name = query.trim().toLowerCase();
    return title.toLowerCase().split(".").pop() === name.split(".").pop() ? score + 60 : score - 30;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
