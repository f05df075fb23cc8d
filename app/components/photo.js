// A photograph with a heat map over it. A click, or the arrow keys and Enter, choose a position of
// the map; Escape gives it up.

const SHOWN = { heat: true };

export default function ({ data, parentElement }) {
  const frame = parentElement.querySelector(".photo");
  const [under, over] = frame.querySelectorAll("img");
  const spot = frame.querySelector(".spot");
  const box = parentElement.querySelector("input");
  under.src = data.photo;
  under.alt = data.text;
  over.hidden = !data.heat;
  if (data.heat) over.src = data.heat;
  const [height, width] = data.size;
  const { rows, columns, y0, x0, dy, dx } = data.places;
  const choosable = rows * columns > 1;
  frame.classList.toggle("places", choosable);
  frame.tabIndex = choosable ? 0 : -1;
  parentElement.querySelector(".hint").textContent = choosable ? "click: which units fire there" : "";
  let at = data.at;

  const show = () => {
    spot.hidden = !at;
    if (!at) return;
    spot.style.top = `${((y0 + at[0] * dy) / height) * 100}%`;
    spot.style.left = `${((x0 + at[1] * dx) / width) * 100}%`;
    spot.style.height = `${(dy / height) * 100}%`;
    spot.style.width = `${(dx / width) * 100}%`;
  };
  const clamp = (value, count) => Math.min(count - 1, Math.max(0, value));
  const leave = () => {
    const query = new URLSearchParams(data.query);
    if (at) query.set("at", at.join(","));
    else query.delete("at");
    visit(`/image?${query}`);
  };
  frame.onclick = (event) => {
    if (!choosable) return;
    const side = frame.getBoundingClientRect();
    const y = ((event.clientY - side.top) / side.height) * height;
    const x = ((event.clientX - side.left) / side.width) * width;
    at = [clamp(Math.round((y - y0) / dy), rows), clamp(Math.round((x - x0) / dx), columns)];
    show();
    leave();
  };
  frame.onkeydown = (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!choosable || (!step && event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    if (step) {
      const from = at ?? [Math.floor(rows / 2), Math.floor(columns / 2)];
      at = [clamp(from[0] + step[0], rows), clamp(from[1] + step[1], columns)];
    } else if (event.key === "Escape") {
      at = null;
    }
    show();
    if (!step) leave();
  };
  box.checked = SHOWN.heat;
  box.onchange = () => {
    SHOWN.heat = box.checked;
    frame.classList.toggle("plain", !box.checked);
  };
  frame.classList.toggle("plain", !SHOWN.heat);
  show();
}
