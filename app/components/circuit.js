// A drawing of a circuit: choose, pin and silence; hover to see what is connected; zoom and pan.

const ZOOM = [0.5, 6];

function parse(svg) {
  const found = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  for (const script of found.querySelectorAll("script, foreignObject")) script.remove();
  return document.importNode(found, true);
}

function draw(stage, data) {
  const svg = parse(data.svg);
  stage.replaceChildren(svg);
  const groups = new Map();
  for (const group of svg.querySelectorAll(".node")) {
    groups.set(group.dataset.node, group);
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-label", group.querySelector(":scope > title")?.textContent ?? "");
    group.classList.toggle("chosen", group.dataset.node === data.focus);
    group.classList.toggle("pinned", data.pins.includes(group.dataset.node));
    group.classList.toggle("off", data.off.includes(group.dataset.node));
  }
  for (const wire of svg.querySelectorAll(".wires .wire")) {
    const name = `${wire.dataset.source}>${wire.dataset.target}`;
    wire.classList.toggle("chosen", name === data.focus);
    wire.classList.toggle("silent", data.off.includes(name));
    const hit = wire.cloneNode(false);
    hit.setAttribute("class", "hit");
    hit.setAttribute("stroke-width", "12");
    hit.append(wire.querySelector("title")?.cloneNode(true) ?? "");
    wire.after(hit);
  }
  const light = (name) => {
    for (const wire of svg.querySelectorAll(".wires .wire")) {
      const mine = !name || wire.dataset.source === name || wire.dataset.target === name;
      wire.classList.toggle("pale", !mine);
    }
  };
  for (const [name, group] of groups) {
    group.onmouseenter = () => light(name);
    group.onmouseleave = () => light("");
    group.onfocus = () => light(name);
    group.onblur = () => light("");
  }
  return svg;
}

function zoomable(stage, svg) {
  const { width, height } = svg.viewBox.baseVal;
  const view = { x: 0, y: 0, scale: 1 };
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
  const state = JSON.stringify(data);
  if (stage.shown === state) return;
  stage.shown = state;
  const view = zoomable(stage, draw(stage, data));
  const go = (change) => {
    const query = new URLSearchParams({ ...data.query, ...change });
    for (const [name, value] of [...query]) if (!value) query.delete(name);
    visit(`/circuit?${query}`);
  };
  const toggled = (list, name) =>
    (list.includes(name) ? list.filter((one) => one !== name) : [...list, name]).join("|");
  const named = (target) => {
    const node = target.closest?.(".node");
    if (node) return node.dataset.node;
    const wire = target.closest?.(".hit, .wires .wire");
    return wire ? `${wire.dataset.source}>${wire.dataset.target}` : "";
  };
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
    if (event.key === "Enter" || event.key === " ") go({ focus: name });
    else if (event.key === "p" || event.key === "P") go({ pins: toggled(data.pins, name) });
    else if (event.key === "Delete") go({ off: toggled(data.off, name) });
    else return;
    event.preventDefault();
  };
  for (const button of parentElement.querySelectorAll(".tools button")) {
    button.onclick = () => view[button.dataset.do]();
  }
}
