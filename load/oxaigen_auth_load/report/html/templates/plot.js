// Shows the values of a plot at the pointer, or as selected by the arrow keys; reads its table.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function html(name, text, cssClass = "") {
  const element = document.createElement(name);
  element.textContent = text;
  element.className = cssClass;
  return element;
}

function readTable(table) {
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  return [...table.tBodies[0].rows].map((row) => {
    const [label, ...cells] = row.cells;
    const values = cells.map((cell, index) => ({ name: heads[index + 1], text: cell.textContent, ...cell.dataset }));
    return { label: label.textContent, x: Number(row.dataset.x), values };
  });
}

function nearest(rows, x) {
  let best = 0;
  rows.forEach((row, index) => {
    if (Math.abs(row.x - x) < Math.abs(rows[best].x - x)) best = index;
  });
  return best;
}

// Returns whether most values are in the upper half, where the output would hide them.
function isHigh(values) {
  return values.filter((value) => value.y < 50).length * 2 > values.length;
}

function listen(plot, rows) {
  const drawing = plot.querySelector("svg");
  const marks = svg("g", {});
  const values = document.createElement("output");
  let shown = null;
  values.hidden = true;
  drawing.append(marks);
  plot.append(values);
  plot.tabIndex = 0;
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-label", "Plot; use the arrow keys to read its values");

  function hide() {
    shown = null;
    values.hidden = true;
    marks.replaceChildren();
  }

  function show(index) {
    if (index === shown) return;
    shown = index;
    const row = rows[index];
    const x = `${row.x}%`;
    const known = row.values.filter((value) => value.y !== undefined);
    marks.replaceChildren(
      svg("line", { x1: x, x2: x, y1: "0", y2: "100%", class: "cursor" }),
      ...known.map((value) => svg("circle", { cx: x, cy: `${value.y}%`, r: 4.5, class: `dot ${value.cssClass}` })),
    );
    values.replaceChildren(html("strong", row.label), ...known.map((value) => {
      const line = html("div", "");
      line.append(html("i", "", value.cssClass), html("span", value.name), html("b", value.text));
      return line;
    }));
    values.className = `values ${row.x > 50 ? "left" : "right"} ${isHigh(known) ? "below" : "above"}`;
    values.style.left = x;
    values.hidden = false;
  }

  function point(event) {
    const box = drawing.getBoundingClientRect();
    show(nearest(rows, (100 * (event.clientX - box.left)) / box.width));
  }

  const moves = {
    ArrowLeft: () => Math.max(0, (shown ?? rows.length) - 1),
    ArrowRight: () => Math.min(rows.length - 1, (shown ?? -1) + 1),
    Home: () => 0,
    End: () => rows.length - 1,
  };

  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key]());
  });
}

for (const figure of document.querySelectorAll("figure")) {
  const rows = readTable(figure.querySelector("table"));
  if (rows.length > 0) listen(figure.querySelector(".plot"), rows);
}
