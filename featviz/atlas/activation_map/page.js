"use strict";
(() => {
  const grids = JSON.parse(document.getElementById("data").textContent).grids;
  const canvas = document.getElementById("map");
  const panel = document.getElementById("panel");
  const sized = document.getElementById("sized");
  const named = document.getElementById("named");
  const chooser = document.getElementById("grid");
  const paint = canvas.getContext("2d");
  const sheets = grids.map((_, k) => document.getElementById(`sheet-${k}`));
  const places = grids.map((grid) => new Map(
    grid.cells.map((cell) => [cell.row * grid.side + cell.column, cell])));
  const largest = grids.map((grid) => Math.max(...grid.cells.map((cell) => cell.count)));
  // The map is a square of side 1; x and y are where its corner is on the screen.
  const view = { x: 0, y: 0, scale: 1 };
  let level = 0;
  let pointed = null;
  let kept = null;
  let asked = false;

  // ---- drawing ---------------------------------------------------------------------------------
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  function share(cell) {
    return sized.checked ? Math.max(0.35, Math.sqrt(cell.count / largest[level])) : 1;
  }
  function draw() {
    asked = false;
    const dots = window.devicePixelRatio || 1;
    const box = canvas.getBoundingClientRect();
    const [w, h] = [Math.round(box.width * dots), Math.round(box.height * dots)];
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    paint.setTransform(dots, 0, 0, dots, 0, 0);
    paint.clearRect(0, 0, box.width, box.height);
    const grid = grids[level];
    const side = view.scale / grid.side;
    for (const cell of grid.cells) {
      const left = view.x + cell.column * side;
      const top = view.y + cell.row * side;
      if (left > box.width || top > box.height || left + side < 0 || top + side < 0) continue;
      const drawn = side * share(cell) * (side > 24 ? 0.97 : 1);
      const inset = (side - drawn) / 2;
      if (cell.shown) {
        const px = grid.cell_px;
        paint.drawImage(sheets[level], cell.column * px, cell.row * px, px, px,
          left + inset, top + inset, drawn, drawn);
      } else {
        paint.strokeStyle = colour("--rim");
        paint.strokeRect(left + inset, top + inset, drawn, drawn);
      }
      if (named && named.checked && side >= 84 && cell.classes) label(cell, left, top, side);
    }
    for (const cell of [kept, pointed]) if (cell) mark(cell, side);
  }
  function label(cell, left, top, side) {
    let text = cell.classes[0].name;
    paint.font = "12px system-ui, sans-serif";
    while (text.length > 3 && paint.measureText(text).width > side - 10) {
      text = text.replace(/.\u2026?$/u, "\u2026");
    }
    paint.fillStyle = "rgba(0, 0, 0, .62)";
    paint.fillRect(left + side * 0.015, top + side * 0.985 - 17, side * 0.97, 17);
    paint.fillStyle = "#fff";
    paint.fillText(text, left + 5, top + side * 0.985 - 5);
  }
  function mark(cell, side) {
    paint.strokeStyle = colour("--mark");
    paint.lineWidth = cell === kept ? 3 : 2;
    paint.strokeRect(view.x + cell.column * side, view.y + cell.row * side, side, side);
    paint.lineWidth = 1;
  }
  function ask() {
    if (!asked) { asked = true; requestAnimationFrame(draw); }
  }

  // ---- the panel -------------------------------------------------------------------------------
  const hint = [...panel.childNodes];
  function made(tag, text, className) {
    const found = document.createElement(tag);
    if (text !== undefined) found.textContent = text;
    if (className) found.className = className;
    return found;
  }
  function show(cell) {
    if (!cell) { panel.replaceChildren(...hint); return; }
    const grid = grids[level];
    const parts = [];
    if (cell.shown) {
      const picture = made("canvas");
      picture.width = picture.height = grid.cell_px;
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", "picture of the cell");
      const px = grid.cell_px;
      picture.getContext("2d").drawImage(
        sheets[level], cell.column * px, cell.row * px, px, px, 0, 0, px, px);
      parts.push(picture);
    } else {
      parts.push(made("p", "It has no picture: nothing fires, or the render was not finite.",
        "soft"));
    }
    const many = `${cell.count} activation${cell.count === 1 ? "" : "s"}`;
    parts.push(made("p", `${many}, row ${cell.row + 1}, column ${cell.column + 1}`));
    if (cell.dead) parts.push(made("p", "Dead: its picture does not fire it.", "soft"));
    if (cell.classes) {
      const list = made("ol");
      for (const each of cell.classes) {
        const item = made("li");
        item.append(made("span", each.attribution.toPrecision(2), "num"), each.name);
        list.append(item);
      }
      parts.push(list);
    }
    if (cell.score !== null) {
      parts.push(made("p", `score ${cell.score.toPrecision(3)}, where a typical activation of ` +
        "the cell has 1 at most", "soft"));
    }
    panel.replaceChildren(...parts);
  }
  function point(cell) {
    if (cell === pointed) return;
    pointed = cell;
    show(pointed || kept);
    ask();
  }

  // ---- moving ----------------------------------------------------------------------------------
  function whole() {
    const box = canvas.getBoundingClientRect();
    view.scale = Math.min(box.width, box.height) - 16;
    view.x = (box.width - view.scale) / 2;
    view.y = (box.height - view.scale) / 2;
    ask();
  }
  function zoom(factor, x, y) {
    const box = canvas.getBoundingClientRect();
    const least = (Math.min(box.width, box.height) - 16) / 2;
    const most = grids[level].side * 400;
    const scale = Math.max(least, Math.min(most, view.scale * factor));
    view.x = x - (x - view.x) * scale / view.scale;
    view.y = y - (y - view.y) * scale / view.scale;
    view.scale = scale;
    ask();
  }
  function middle() {
    const box = canvas.getBoundingClientRect();
    return [box.width / 2, box.height / 2];
  }
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const { side } = grids[level];
    const column = Math.floor((event.clientX - box.left - view.x) / view.scale * side);
    const row = Math.floor((event.clientY - box.top - view.y) / view.scale * side);
    if (column < 0 || row < 0 || column >= side || row >= side) return null;
    return places[level].get(row * side + column) || null;
  }
  function reveal(cell) {
    const box = canvas.getBoundingClientRect();
    const side = view.scale / grids[level].side;
    const left = view.x + cell.column * side;
    const top = view.y + cell.row * side;
    if (left < 0 || left + side > box.width) view.x += box.width / 2 - left - side / 2;
    if (top < 0 || top + side > box.height) view.y += box.height / 2 - top - side / 2;
  }
  function step(down, right) {
    const { side, cells } = grids[level];
    if (!kept) { choose(cells[Math.floor(cells.length / 2)]); return; }
    let row = kept.row + down;
    let column = kept.column + right;
    while (row >= 0 && row < side && column >= 0 && column < side) {
      const cell = places[level].get(row * side + column);
      if (cell) { choose(cell); return; }
      row += down;
      column += right;
    }
  }
  function choose(cell) {
    kept = cell;
    pointed = null;
    show(kept);
    if (kept) reveal(kept);
    ask();
  }

  // ---- events ----------------------------------------------------------------------------------
  let from = null;
  let moved = false;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = [event.clientX - view.x, event.clientY - view.y, event.clientX, event.clientY];
    moved = false;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) { point(under(event)); return; }
    if (!moved && Math.hypot(event.clientX - from[2], event.clientY - from[3]) < 4) return;
    moved = true;
    canvas.classList.add("drags");
    view.x = event.clientX - from[0];
    view.y = event.clientY - from[1];
    ask();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from && !moved) choose(under(event));
    from = null;
    canvas.classList.remove("drags");
  });
  canvas.addEventListener("pointercancel", () => { from = null; canvas.classList.remove("drags"); });
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  const keys = {
    ArrowUp: () => step(-1, 0), ArrowDown: () => step(1, 0),
    ArrowLeft: () => step(0, -1), ArrowRight: () => step(0, 1),
    "+": () => zoom(1.25, ...middle()), "=": () => zoom(1.25, ...middle()),
    "-": () => zoom(0.8, ...middle()), 0: whole, Escape: () => choose(null),
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.getElementById("in").addEventListener("click", () => zoom(1.25, ...middle()));
  document.getElementById("out").addEventListener("click", () => zoom(0.8, ...middle()));
  document.getElementById("whole").addEventListener("click", () => { choose(null); whole(); });
  chooser.addEventListener("change", () => { level = +chooser.value; choose(null); ask(); });
  for (const box of [sized, named]) if (box) box.addEventListener("change", ask);
  new ResizeObserver(whole).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ask);
  Promise.all(sheets.map((sheet) => sheet.decode())).then(whole);
  // What tests and the console look at.
  canvas.mapView = () => ({ ...view, level, side: grids[level].side, kept, pointed });
})();
