// A grid of links with pictures that load when they come into view. A plain click or Enter goes
// there within the app; a click with a modifier opens a new tab, as for any link. Arrow keys walk.

const FIRST = 120; // tiles made at once; the rest follow when nothing else is to be done
const SLICE = 40;
const SPARE_MS = 4;
const whenIdle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 30, { timeRemaining: () => 0 }));

function makeTile([id, source, address, caption, text, faint], current) {
  const tile = document.createElement(address ? "a" : "div");
  tile.className = faint ? "tile faint" : "tile";
  if (address) tile.href = address;
  tile.dataset.id = id;
  tile.setAttribute("role", "option");
  tile.setAttribute("aria-selected", String(id === current));
  tile.title = text;
  const image = document.createElement("img");
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = text;
  image.src = source;
  const words = document.createElement("span");
  words.className = "caption";
  words.textContent = caption;
  tile.append(image, words);
  return tile;
}

function fill(grid, tiles, current) {
  const made = {}; // lets a newer filling end an older one
  grid.filling = made;
  grid.replaceChildren();
  let next = 0;
  const add = (count) => {
    const slice = tiles.slice(next, next + count).map((tile) => makeTile(tile, current));
    grid.append(...slice);
    next += count;
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
  const tiles = [...grid.children];
  const at = tiles.indexOf(event.target.closest(".tile"));
  if (at < 0) return;
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  tiles[Math.min(tiles.length - 1, Math.max(0, at + step))].focus();
}

export default function ({ data, parentElement }) {
  const grid = parentElement.querySelector(".grid");
  grid.style.setProperty("--side", `${data.side}px`);
  const state = JSON.stringify([data.tiles, data.current]);
  if (grid.shown !== state) {
    grid.shown = state;
    fill(grid, data.tiles, data.current);
  }
  grid.onclick = (event) => {
    const tile = event.target.closest(".tile");
    const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (!tile?.href || elsewhere || event.button !== 0) return;
    event.preventDefault();
    visit(tile.getAttribute("href"));
  };
  grid.onkeydown = (event) => walk(grid, event);
}
