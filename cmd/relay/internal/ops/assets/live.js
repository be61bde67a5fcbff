// Keeps the page as it was rendered up to date with what /events sends. All
// that arrives is text, and is put in as text.
"use strict";

const quiet = 5000; // ms without an event after which the relay counts as gone

let source, timer, start = document.body.dataset.start;

function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

// say is read out by screen readers: only for what changes rarely.
function say(text, lost) {
  setText(document.getElementById("live"), text);
  document.body.classList.toggle("lost", Boolean(lost));
}

function showPlot(plot) {
  const figure = document.getElementById("plot-" + plot.id);
  setText(figure.querySelector(".now"), plot.now);
  setText(figure.querySelector(".top"), plot.top);
  setText(figure.querySelector("desc"), plot.summary);
  figure.querySelector(".line").setAttribute("d", plot.line);
  figure.querySelector(".area").setAttribute("d", plot.area);
}

function newRow(key, heads) {
  const tr = document.createElement("tr");
  tr.dataset.key = key;
  Array.from(heads, (head, i) => {
    const cell = document.createElement(i ? "td" : "th");
    if (!i) cell.scope = "row";
    if (head.className) cell.className = head.className;
    tr.append(cell);
  });
  return tr;
}

// showTable keeps the rows that stay, so that a selection, and where a screen
// reader is, stay too.
function showTable({id, rows}) {
  const table = document.getElementById(id), body = table.tBodies[0];
  const old = new Map(Array.from(body.rows, tr => [tr.dataset.key, tr]));
  rows.forEach(({key, cells, mark}, i) => {
    const tr = old.get(key) || newRow(key, table.tHead.rows[0].cells);
    old.delete(key);
    if (tr.className !== (mark || "")) tr.className = mark || "";
    cells.forEach((text, j) => setText(tr.cells[j], text));
    if (body.rows[i] !== tr) body.insertBefore(tr, body.rows[i] || null);
  });
  old.forEach(tr => tr.remove());
}

function show(page) {
  for (const [id, text] of Object.entries(page.texts)) setText(document.getElementById(id), text);
  page.plots.forEach(showPlot);
  page.tables.forEach(showTable);
  const restarted = page.start !== start;
  start = page.start;
  if (restarted) say("Live. The relay was started again.");
  else if (document.body.classList.contains("lost")) say("Live again.");
  else if (!document.getElementById("live").textContent) say("Live.");
}

function lose() {
  say("Lost the relay; trying again. The figures are old.", true);
}

// watch notices when nothing comes any more: the connection stands, but leads
// nowhere, or the browser has given up on it.
function watch() {
  clearTimeout(timer);
  timer = setTimeout(() => { lose(); connect(); }, quiet);
}

function connect() {
  if (source) source.close();
  source = new EventSource("events" + location.search);
  source.onmessage = event => { watch(); show(JSON.parse(event.data)); };
  source.onerror = lose;
  watch();
}

connect();
