"use strict";
// Lines of a table in the order of the column whose heading is pressed: upwards, downwards, then as they were written.
const words = new Intl.Collator("en", { numeric: true });

function key(line, column) {
  const cell = line.cells[column], value = cell.dataset.sort;
  const text = [...cell.childNodes].filter((node) => node.className !== "origin").map((node) => node.textContent).join("");
  if (value === "" || (value === undefined && text.trim() === "")) return { rank: 2, value: "" };
  return value === undefined ? { rank: 1, value: text.trim() } : { rank: 0, value: Number(value) };
}

function compare(a, b, sign) {
  if (a.rank !== b.rank) return a.rank - b.rank; // numbers, then words; what is empty is last both ways
  return sign * (a.rank === 0 ? a.value - b.value : words.compare(a.value, b.value));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], written = [...body.rows], headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.ariaSort ?? "none"];
    for (const each of headings) each.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", next);
    const keyed = written.map((line) => [key(line, column), line]);
    if (next !== "none") keyed.sort(([a], [b]) => compare(a, b, next === "ascending" ? 1 : -1));
    body.append(...keyed.map(([, line]) => line));
  }));
}
