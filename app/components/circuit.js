// A drawing of a circuit: choose, pin and silence; hover to see what is connected; zoom and pan.

const ZOOM = [0.5, 6];

function parse(svg) {
  const found = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  for (const script of found.querySelectorAll("script, foreignObject")) script.remove();
  return document.importNode(found, true);
}

const edgeName = (wire) => `${wire.dataset.source}>${wire.dataset.target}`;

// A part gets the focus and the name that those hear who do not see it.
function reachable(part, title) {
  part.setAttribute("tabindex", "0");
  part.setAttribute("role", "button");
  part.setAttribute("aria-label", title?.textContent ?? "");
}

function draw(stage, data) {
  const svg = parse(data.svg);
  stage.replaceChildren(svg);
  const wires = [...svg.querySelectorAll(".wires .wire")];
  const light = (name) => {
    for (const wire of wires) {
      const mine = !name || wire.dataset.source === name || wire.dataset.target === name;
      wire.classList.toggle("pale", !mine);
    }
  };
  for (const group of svg.querySelectorAll(".node")) {
    reachable(group, group.querySelector(":scope > title"));
    group.onmouseenter = group.onfocus = () => light(group.dataset.node);
    group.onmouseleave = group.onblur = () => light("");
  }
  for (const wire of wires) {
    const hit = wire.cloneNode(false);
    const title = wire.querySelector("title");
    hit.setAttribute("class", "hit");
    hit.setAttribute("stroke-width", "12");
    hit.append(title?.cloneNode(true) ?? "");
    reachable(hit, title);
    wire.after(hit);
  }
  return svg;
}

// What is chosen, pinned and silenced; the drawing stays, and with it the focus.
function mark(svg, data) {
  for (const group of svg.querySelectorAll(".node")) {
    const name = group.dataset.node;
    group.classList.toggle("chosen", name === data.focus);
    group.classList.toggle("pinned", data.pins.includes(name));
    group.classList.toggle("off", data.off.includes(name));
  }
  for (const wire of svg.querySelectorAll(".wires .wire")) {
    const name = edgeName(wire);
    wire.classList.toggle("chosen", name === data.focus);
    wire.classList.toggle("silent", data.off.includes(name));
  }
}

function named(target) {
  const node = target?.closest?.(".node");
  if (node) return node.dataset.node;
  const wire = target?.closest?.(".hit, .wires .wire");
  return wire ? edgeName(wire) : "";
}

// Draw anew where the drawing is another one; the part that had the focus has it again.
function renew(stage, data) {
  if (stage.drawn === data.svg) return;
  const before = named(stage.getRootNode().activeElement);
  stage.drawn = data.svg;
  stage.view = zoomable(stage, draw(stage, data), stage.view);
  const parts = before ? [...stage.querySelectorAll(".node, .hit")] : [];
  parts.find((part) => named(part) === before)?.focus({ preventScroll: true });
}

function zoomable(stage, svg, before) {
  const { width, height } = svg.viewBox.baseVal;
  const view = before?.place ?? { x: 0, y: 0, scale: 1 };
  const show = () => {
    const box = svg.viewBox.baseVal;
    box.width = width / view.scale;
    box.height = height / view.scale;
    box.x = view.x = Math.max(-width / 2, Math.min(width, view.x));
    box.y = view.y = Math.max(-height / 2, Math.min(height, view.y));
  };
  const zoom = (factor) => {
    const next = Math.max(ZOOM[0], Math.min(ZOOM[1], view.scale * factor));
    view.x += (width / view.scale - width / next) / 2;
    view.y += (height / view.scale - height / next) / 2;
    view.scale = next;
    show();
  };
  show();
  let from = null;
  stage.onpointerdown = (event) => {
    if (event.button === 0) from = { x: event.clientX, y: event.clientY, moved: false };
  };
  stage.onpointermove = (event) => {
    if (!from || !(event.buttons & 1)) return;
    const dx = event.clientX - from.x;
    const dy = event.clientY - from.y;
    if (!from.moved && Math.hypot(dx, dy) < 4) return;
    const unit = width / view.scale / stage.clientWidth;
    view.x -= dx * unit;
    view.y -= dy * unit;
    from = { x: event.clientX, y: event.clientY, moved: true };
    show();
  };
  stage.onwheel = (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
  };
  return {
    place: view,
    in: () => zoom(1.3),
    out: () => zoom(1 / 1.3),
    whole: () => {
      Object.assign(view, { x: 0, y: 0, scale: 1 });
      show();
    },
    full: () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen?.()),
    dragged: () => {
      const moved = from?.moved;
      from = null;
      return moved;
    },
  };
}

export default function ({ data, parentElement }) {
  const stage = parentElement.querySelector(".stage");
  renew(stage, data);
  mark(stage.querySelector("svg"), data);
  const view = stage.view;
  const go = (change) => {
    const query = new URLSearchParams({ ...data.query, ...change });
    for (const [name, value] of [...query]) if (!value) query.delete(name);
    visit(`/circuit?${query}`);
  };
  const toggled = (list, name) =>
    (list.includes(name) ? list.filter((one) => one !== name) : [...list, name]).join("|");
  stage.onclick = (event) => {
    if (view.dragged()) return;
    const name = named(event.target);
    if (event.shiftKey && name && !name.includes(">")) go({ pins: toggled(data.pins, name) });
    else if (name !== data.focus) go({ focus: name });
  };
  stage.onkeydown = (event) => {
    const name = named(event.target);
    if (event.key === "Escape") go({ focus: "" });
    if (!name) return;
    if (event.key === "Enter" || event.key === " ") {
      if (name !== data.focus) go({ focus: name });
    } else if (/^p$/i.test(event.key) && !name.includes(">")) go({ pins: toggled(data.pins, name) });
    else if (event.key === "Delete") go({ off: toggled(data.off, name) });
    else return;
    event.preventDefault();
  };
  for (const button of parentElement.querySelectorAll(".tools button")) {
    button.onclick = () => view[button.dataset.do]();
  }
}
