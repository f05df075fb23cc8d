"use strict";
(() => {
  const graph = JSON.parse(document.getElementById("graph").textContent);
  const stage = document.querySelector(".stage");
  const svg = stage.querySelector("svg");
  const drawing = svg.querySelector("#drawing");
  const panel = document.getElementById("panel");
  const slider = document.getElementById("least");
  const counter = document.getElementById("counter");
  const paths = new Map();
  const hits = new Map();
  const groups = new Map();
  for (const path of svg.querySelectorAll(".wires .wire")) paths.set(+path.dataset.edge, path);
  for (const group of svg.querySelectorAll(".node")) groups.set(group.dataset.node, group);
  let chosen = null;

  // ---- text and tables -------------------------------------------------------------------------
  function made(tag, text, className) {
    const found = document.createElement(tag);
    if (text !== undefined) found.textContent = text;
    if (className) found.className = className;
    return found;
  }
  const signed = (value) => {
    if (value === 0) return "0";
    return (value < 0 ? "\u2212" : "+") + Math.abs(value).toPrecision(4);
  };
  const anchors = [[5, 113, 176], [146, 197, 222], [247, 247, 247], [244, 165, 130], [202, 0, 32]];
  function color(value) {
    const place = (Math.max(-1, Math.min(1, value)) + 1) * 2;
    const k = Math.min(3, Math.floor(place));
    const rgb = anchors[k].map((a, c) => Math.round(a + (anchors[k + 1][c] - a) * (place - k)));
    return `rgb(${rgb.join(",")})`;
  }
  function kernelTable(edge) {
    const rows = edge.kernel;
    const own = Math.max(...rows.map((row) => Math.max(...row.map(Math.abs))));
    const scale = edge.scale === null ? own || 1 : edge.scale || 1;
    const table = made("table", undefined, "cells");
    table.setAttribute("aria-label", `kernel of ${edge.source} to ${edge.target}`);
    for (const row of rows) {
      const line = table.insertRow();
      for (const value of row) {
        const cell = line.insertCell();
        cell.textContent = value === 0 ? "0" : value.toPrecision(2);
        cell.title = String(value);
        cell.style.background = color(value / scale);
        if (Math.abs(value / scale) > 0.75) cell.className = "deep";
      }
    }
    const note = made("p", `strongest colour: ${scale.toPrecision(4)}`, "soft");
    const exact = made("details");
    exact.append(made("summary", "all digits"));
    exact.append(made("pre", rows.map((row) => row.join("  ")).join("\n")));
    return [table, note, exact];
  }
  // Numbers that are too wide become percent of the strongest colour, and then colours alone.
  function narrow(edge) {
    const table = detail.querySelector("table");
    if (!table) return;
    const wide = () => table.offsetWidth > detail.clientWidth;
    const note = detail.querySelector("table + p");
    const scale = edge.scale === null ? Math.max(...edge.kernel.flat().map(Math.abs)) : edge.scale;
    const cells = [...table.querySelectorAll("td")];
    if (wide()) {
      for (const cell of cells) cell.textContent = Math.round(100 * cell.title / (scale || 1));
      note.textContent += "; numbers: percent of it";
    }
    if (wide()) {
      for (const cell of cells) cell.textContent = "";
      table.classList.add("bare");
      note.textContent = note.textContent.replace("; numbers: percent of it", "");
    }
  }
  function edgeParts(edge) {
    const found = [];
    const title = made("h3", `${edge.source} to ${edge.target}`);
    const kind = edge.weight < 0 ? "inhibits" : "excites";
    const line = made("p", `${kind}: ${edge.score_name} `);
    line.append(made("span", signed(edge.weight), `num ${edge.weight < 0 ? "inh" : "exc"}`));
    line.title = String(edge.weight);
    found.push(title, line);
    if (edge.kernel) {
      const all = edge.kernel.flat();
      const plus = all.filter((v) => v > 0).reduce((a, b) => a + b, 0);
      const minus = all.filter((v) => v < 0).reduce((a, b) => a + b, 0);
      found.push(made("p", `kernel sums ${signed(plus)} and ${signed(minus)}`));
      found.push(...kernelTable(edge));
    }
    return found;
  }

  // ---- the panel -------------------------------------------------------------------------------
  const detail = made("div");
  detail.id = "kernel";
  detail.setAttribute("aria-live", "polite");
  function showEdge(number) {
    for (const path of paths.values()) path.classList.remove("lit");
    const path = paths.get(number);
    path.classList.add("lit");
    detail.replaceChildren(...edgeParts(graph.edges[number]));
    if (!detail.isConnected) panel.append(detail);
    narrow(graph.edges[number]);
    seat();
  }
  function list(title, numbers, end) {
    const box = made("div");
    box.append(made("h3", `${title} (${numbers.length})`));
    const items = made("ul");
    numbers.sort((a, b) => Math.abs(graph.edges[b].weight) - Math.abs(graph.edges[a].weight));
    for (const number of numbers) {
      const edge = graph.edges[number];
      const button = made("button", edge[end]);
      button.type = "button";
      button.append(made("span", signed(edge.weight), `num ${edge.weight < 0 ? "inh" : "exc"}`));
      button.addEventListener("mouseenter", () => showEdge(number));
      button.addEventListener("focus", () => showEdge(number));
      button.addEventListener("click", () => choose(edge[end], true));
      const item = made("li");
      item.append(button);
      items.append(item);
    }
    box.append(items);
    return box;
  }
  const about = made("div", undefined, "about");
  const hint = [...panel.childNodes];
  about.append(...hint);
  panel.append(about);
  // Beside the graph, the panel ends where the window does, so that nothing of it is below.
  function seat() {
    const top = panel.getBoundingClientRect().top;
    const beside = panel.getBoundingClientRect().left > stage.getBoundingClientRect().right;
    panel.style.maxHeight = beside ? `${innerHeight - Math.max(top, 0) - 12}px` : "";
  }
  function enlarged(tuning) {
    const large = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    large.setAttribute("class", "circuit large");
    large.setAttribute("viewBox", tuning.dataset.box);
    large.setAttribute("aria-hidden", "true");
    large.append(...[...tuning.childNodes].map((part) => part.cloneNode(true)));
    return large;
  }
  function showNode(name) {
    const node = graph.nodes.find((each) => each.id === name);
    const parts = [made("h2", node.id)];
    if (node.label) parts.push(made("p", node.label));
    if (node.units.length > 1) {
      parts.push(made("p", `family of ${node.site}: ${node.units.join(", ")}`, "soft"));
    }
    const picture = groups.get(name).querySelector("image[data-feature]");
    if (picture) {
      const image = made("img");
      image.src = picture.getAttribute("href");
      image.alt = `feature image of ${name}`;
      parts.push(image);
    }
    const tuning = groups.get(name).querySelector(".tuning");
    if (tuning) {
      parts.push(enlarged(tuning), made("p", tuning.querySelector("title").textContent));
    }
    parts.push(made("p", `share of the target's input: ${node.score.toPrecision(3)}`, "soft"));
    const numbers = graph.edges.map((_, k) => k);
    parts.push(list("Reads", numbers.filter((k) => graph.edges[k].target === name), "source"));
    parts.push(list("Read by", numbers.filter((k) => graph.edges[k].source === name), "target"));
    detail.replaceChildren();
    about.replaceChildren(...parts);
    about.scrollTop = 0;
    panel.replaceChildren(about, detail);
    seat();
  }

  // ---- focus and threshold ---------------------------------------------------------------------
  function share(number) { return +paths.get(number).dataset.share; }
  function refresh() {
    const least = +slider.value;
    const near = new Set(chosen === null ? [] : [chosen]);
    let shown = 0;
    graph.edges.forEach((edge, k) => {
      const off = share(k) < least;
      const apart = chosen !== null && edge.source !== chosen && edge.target !== chosen;
      paths.get(k).classList.toggle("off", off);
      paths.get(k).classList.toggle("pale", apart);
      hits.get(k).classList.toggle("off", off || apart);
      if (!off) shown += 1;
      if (!off && chosen !== null && !apart) { near.add(edge.source); near.add(edge.target); }
    });
    for (const [name, group] of groups) {
      group.classList.toggle("chosen", name === chosen);
      group.classList.toggle("pale", chosen !== null && !near.has(name));
      group.setAttribute("aria-pressed", String(name === chosen));
    }
    counter.textContent = `${shown} of ${graph.edges.length} edges, at least `
      + `${least.toFixed(2)} of the strongest input`;
  }
  function choose(name, move) {
    chosen = name;
    if (name === null) {
      about.replaceChildren(...hint);
      panel.replaceChildren(about);
    } else showNode(name);
    for (const path of paths.values()) path.classList.remove("lit");
    refresh();
    if (move && name !== null) groups.get(name).focus();
  }

  // ---- pan and zoom ----------------------------------------------------------------------------
  const full = svg.viewBox.baseVal;
  const size = { w: full.width, h: full.height - +stage.dataset.legend };
  const drawn = drawing.getBBox();  // Less than the paper, which has room for a legend.
  const view = { x: 0, y: 0, k: 1 };
  function apply() {
    // Some of the graph stays in sight.
    const kept = 80;
    const clamp = (at, first, length, room) => Math.max(
      kept - (first + length) * view.k, Math.min(room - kept - first * view.k, at));
    view.x = clamp(view.x, drawn.x, drawn.width, stage.clientWidth);
    view.y = clamp(view.y, drawn.y, drawn.height, stage.clientHeight);
    drawing.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
    const { least, most } = limits();
    for (const [id, end] of [["out", view.k <= least], ["in", view.k >= most]]) {
      document.getElementById(id).setAttribute("aria-disabled", String(end));
    }
  }
  // From the whole graph in sight to 4 px for each px drawn.
  function limits() {
    const whole = Math.min(stage.clientWidth / size.w, stage.clientHeight / size.h);
    return { least: Math.min(whole, 1), most: 4 };
  }
  function fit(k) {
    const w = stage.clientWidth;
    view.k = k;
    view.x = Math.max(0, (w - size.w * k) / 2);
    view.y = 0;
    apply();
  }
  function start() {
    const k = Math.max(0.7, Math.min(1.15, stage.clientWidth / size.w));
    const h = Math.min(1800, Math.max(280, size.h * k));
    stage.style.height = `${h}px`;
    svg.setAttribute("viewBox", `0 0 ${stage.clientWidth} ${h}`);
    for (const side of ["width", "height"]) svg.querySelector(".paper").setAttribute(side, "100%");
    fit(k);
  }
  function zoom(factor, x, y) {
    const { least, most } = limits();
    const k = Math.max(least, Math.min(most, view.k * factor));
    view.x = x - (x - view.x) * k / view.k;
    view.y = y - (y - view.y) * k / view.k;
    view.k = k;
    apply();
  }
  const middle = () => [stage.clientWidth / 2, stage.clientHeight / 2];
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  let from = null;
  let moved = false;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = [event.clientX - view.x, event.clientY - view.y, event.clientX, event.clientY];
    moved = false;
  });
  window.addEventListener("pointermove", (event) => {
    if (!from) return;
    if (!moved && Math.hypot(event.clientX - from[2], event.clientY - from[3]) < 4) return;
    moved = true;
    stage.classList.add("drags");
    view.x = event.clientX - from[0];
    view.y = event.clientY - from[1];
    apply();
  });
  window.addEventListener("pointerup", () => { from = null; stage.classList.remove("drags"); });
  document.getElementById("in").addEventListener("click", () => zoom(1.25, ...middle()));
  document.getElementById("out").addEventListener("click", () => zoom(0.8, ...middle()));
  document.getElementById("whole").addEventListener("click", () => { choose(null); start(); });
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.target === stage && step[event.key]) {
      view.x += step[event.key][0];
      view.y += step[event.key][1];
      apply();
      event.preventDefault();
    } else if (event.key === "+" || event.key === "=") zoom(1.25, ...middle());
    else if (event.key === "-") zoom(0.8, ...middle());
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") choose(null); });

  // ---- wiring ----------------------------------------------------------------------------------
  const layer = svg.querySelector(".wires");
  for (const [number, path] of paths) {
    const hit = path.cloneNode(true);
    hit.setAttribute("class", "hit");
    hit.setAttribute("stroke-width", Math.max(9, +path.getAttribute("stroke-width") + 4));
    hit.removeAttribute("data-share");
    hit.addEventListener("mouseenter", () => showEdge(number));
    layer.append(hit);
    hits.set(number, hit);
  }
  for (const [name, group] of groups) {
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-label", group.querySelector(":scope > title").textContent);
    group.addEventListener("click", () => { if (!moved) choose(chosen === name ? null : name); });
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose(chosen === name ? null : name);
    });
  }
  slider.addEventListener("input", refresh);
  window.addEventListener("resize", () => { start(); seat(); });
  window.addEventListener("scroll", seat, { passive: true });
  start();
  seat();
  refresh();
})();
