"use strict";
// Tables sort by a click on a heading and filter by the words in their box; figures are shown for one model or all.
(() => {
  const rowsOf = (table) => Array.from(table.tBodies[0].rows);

  function compare(first, second) {
    // What is missing comes last in either direction; the caller turns only the rest around.
    if (first.number !== null && second.number !== null) return first.number - second.number;
    if (first.number !== null) return -1;
    if (second.number !== null) return 1;
    return first.text.localeCompare(second.text, "en", { numeric: true });
  }

  function keyOf(row, place) {
    const cell = row.cells[place];
    const raw = cell.dataset.sort;
    const text = cell.textContent.trim();
    const number = raw === undefined ? null : raw === "inf" ? Infinity : Number(raw);
    return { text, number, missing: text === "–" || text === "" };
  }

  function sortBy(table, heading) {
    const place = heading.cellIndex;
    const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const keyed = rowsOf(table).map((row, was) => ({ row, was, key: keyOf(row, place) }));
    keyed.sort((a, b) => {
      if (a.key.missing !== b.key.missing) return a.key.missing ? 1 : -1;
      const order = a.key.missing ? 0 : compare(a.key, b.key);
      return order ? direction * order : a.was - b.was;
    });
    table.tBodies[0].append(...keyed.map((one) => one.row));
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  }

  function filterBy(table, text, count) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = rowsOf(table);
    let shown = 0;
    for (const row of rows) {
      // Cells are apart: no word is found across the border of two.
      const content = Array.from(row.cells, (cell) => cell.textContent.toLowerCase()).join("\n");
      row.hidden = !words.every((word) => content.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.value = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  }

  for (const table of document.querySelectorAll("table[data-table]")) {
    for (const heading of table.tHead.rows[0].cells) {
      heading.querySelector("button").addEventListener("click", () => sortBy(table, heading));
    }
  }
  for (const box of document.querySelectorAll("input[data-filter]")) {
    const key = CSS.escape(box.dataset.filter);
    const table = document.querySelector(`table[data-table="${key}"]`);
    const count = document.querySelector(`output[data-count="${key}"]`);
    box.addEventListener("input", () => filterBy(table, box.value, count));
  }
  const choices = Array.from(document.querySelectorAll("button[data-model]"));
  for (const choice of choices) {
    choice.addEventListener("click", () => {
      for (const other of choices) other.setAttribute("aria-pressed", String(other === choice));
      for (const item of document.querySelectorAll("[data-of-model]")) {
        const model = item.dataset.ofModel;
        item.hidden = Boolean(choice.dataset.model && model && model !== choice.dataset.model);
      }
    });
  }
})();
