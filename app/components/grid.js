// A list of links with pictures that load when they come into view. It is one stop of the Tab key:
// the arrow keys walk within it.

const FIRST = 120; // tiles made at once; the rest follow when nothing else is to be done
const SLICE = 40;
const SPARE_MS = 4;
const whenIdle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 30, { timeRemaining: () => 0 }));

function makeGap(words) {
  const gap = document.createElement("span");
  gap.className = "gap";
  gap.textContent = words;
  return gap;
}

function makePicture(source, text) {
  const image = document.createElement("img");
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = text;
  image.onerror = () => image.replaceWith(makeGap("picture missing"));
  image.src = source;
  return image;
}

function makeTile([id, source, address, caption, text, faint], current) {
  const tile = document.createElement(address ? "a" : "div");
  tile.className = faint ? "tile faint" : "tile";
  if (address) tile.href = address;
  tile.dataset.id = id;
  tile.tabIndex = -1;
  if (id === current) tile.setAttribute("aria-current", "true");
  if (!address) {
    tile.setAttribute("role", "group");
    tile.setAttribute("aria-label", text);
  }
  tile.title = text;
  const picture = source ? makePicture(source, text) : makeGap("no image");
  const words = document.createElement("span");
  words.className = "caption";
  words.textContent = caption;
  tile.append(picture, words);
  const item = document.createElement("div");
  item.setAttribute("role", "listitem");
  item.append(tile);
  return item;
}

function stopAt(grid, tile) {
  if (grid.stop) grid.stop.tabIndex = -1;
  grid.stop = tile;
  tile.tabIndex = 0;
}

function fill(grid, tiles, current) {
  const made = {}; // lets a newer filling end an older one
  grid.filling = made;
  grid.replaceChildren();
  grid.stop = null;
  let next = 0;
  const add = (count) => {
    const slice = tiles.slice(next, next + count).map((tile) => makeTile(tile, current));
    grid.append(...slice);
    next += count;
    const marked = slice.find((item) => item.firstChild.hasAttribute("aria-current"));
    const stop = marked ?? (grid.stop ? null : slice[0]);
    if (stop) stopAt(grid, stop.firstChild);
  };
  const goOn = (deadline) => {
    if (grid.filling !== made) return;
    do add(SLICE);
    while (next < tiles.length && deadline.timeRemaining() > SPARE_MS);
    if (next < tiles.length && grid.isConnected) whenIdle(goOn);
  };
  add(FIRST);
  if (next < tiles.length) whenIdle(goOn);
}

function walk(grid, event) {
  const tiles = [...grid.querySelectorAll(".tile")];
  const at = tiles.indexOf(event.target.closest(".tile"));
  if (at < 0) return;
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  const tile = tiles[Math.min(tiles.length - 1, Math.max(0, at + step))];
  stopAt(grid, tile);
  tile.focus();
}

export default function ({ data, parentElement }) {
  const grid = parentElement.querySelector(".grid");
  grid.style.setProperty("--side", `${data.side}px`);
  const state = JSON.stringify([data.tiles, data.current]);
  if (grid.shown !== state) {
    grid.shown = state;
    fill(grid, data.tiles, data.current);
  }
  followLinks(grid, "a.tile");
  grid.onkeydown = (event) => walk(grid, event);
}
