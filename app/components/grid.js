// A list of links with pictures, of which only those near the window are made, so that thousands
// cost as little as a hundred. It is one stop of the Tab key: the arrow keys walk within it.

const FIRST = 60; // tiles made before their size is known
const UNSEEN = 1; // screens of tiles that are there above and below the window

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

function makeItem([id, source, address, caption, text, faint], at, { tiles, current }) {
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
  item.setAttribute("aria-setsize", tiles.length);
  item.setAttribute("aria-posinset", at + 1);
  item.append(tile);
  return item;
}

// Make the tiles `first` to `last` those that are there; the others leave as much room.
function draw(grid, first, last) {
  const { shown } = grid;
  const { columns, row } = shown.size;
  const within = grid.getRootNode().activeElement;
  [...grid.children].forEach((item, k) => {
    const at = shown.first + k;
    if (at < first || at >= last) item.remove();
  });
  const from = Math.min(last, Math.max(first, shown.first)); // what is kept
  const to = Math.max(from, Math.min(last, shown.last));
  const make = (start, end) => {
    const tiles = shown.tiles.slice(start, end);
    return tiles.map((tile, k) => makeItem(tile, start + k, shown));
  };
  grid.prepend(...make(first, from));
  grid.append(...make(to, last));
  [shown.first, shown.last] = [first, last];
  const room = (count) => `${Math.ceil(count / columns) * row}px`;
  grid.style.paddingTop = room(first);
  grid.style.paddingBottom = room(shown.tiles.length - last);
  if (within && !within.isConnected) {
    grid.tabIndex = -1; // until the focus goes on; else a click beside the tiles would bring it here
    grid.focus({ preventScroll: true });
  }
}

const tileAt = ({ children, shown }, at) => children[at - shown.first]?.firstChild;

// The Tab key enters at the tile where it left, or at one that is seen if that one is not there.
function setStop(grid, seen) {
  if (!tileAt(grid, grid.shown.stop)) grid.shown.stop = seen;
  for (const tile of grid.querySelectorAll(".tile[tabindex='0']")) tile.tabIndex = -1;
  const tile = tileAt(grid, grid.shown.stop);
  if (tile) tile.tabIndex = 0;
}

function measure(grid) {
  const item = grid.firstElementChild;
  const { gridTemplateColumns, rowGap } = getComputedStyle(grid);
  const row = item ? item.getBoundingClientRect().height + (Number.parseFloat(rowGap) || 0) : 0;
  return { columns: gridTemplateColumns.split(" ").length, row };
}

function scrollerOf(element) {
  for (let one = element; one; one = one.parentElement ?? one.getRootNode().host) {
    if (/auto|scroll/.test(getComputedStyle(one).overflowY)) return one;
  }
  return document.scrollingElement;
}

// Show what is near the window.
function follow(grid) {
  const { shown } = grid;
  const { columns, row } = measure(grid);
  let { top, width } = grid.getBoundingClientRect();
  if (!width || !shown.tiles.length) return; // in a part that is closed
  const resized = columns !== shown.size.columns || row !== shown.size.row;
  shown.size = { columns, row };
  const count = shown.tiles.length;
  const rows = Math.ceil(count / columns);
  const firstAt = (y) => Math.min(rows - 1, Math.max(0, Math.floor((y - top) / row))) * columns;
  if (resized && shown.place) {
    draw(grid, shown.first, shown.last); // makes room to scroll in
    ({ top } = grid.getBoundingClientRect());
    scrollerOf(grid).scrollTop += top + Math.floor(shown.place.at / columns) * row - shown.place.top;
    ({ top } = grid.getBoundingClientRect());
  }
  const first = firstAt(-UNSEEN * innerHeight);
  const last = Math.min(count, firstAt((1 + UNSEEN) * innerHeight) + columns);
  if (resized || first !== shown.first || last !== shown.last) draw(grid, first, last);
  const seen = Math.min(count - 1, firstAt(0) + columns);
  setStop(grid, seen);
  // What stays where it is if the tiles get another size; near the top, the top does.
  shown.place = top < 0 ? { at: seen, top: top + Math.floor(seen / columns) * row } : null;
}

// The step back to a grid leads to where one left it.
function keepPlace(tile) {
  const place = { id: tile.dataset.id, top: tile.getBoundingClientRect().top };
  history.replaceState({ ...history.state, place }, "");
}

function takePlace(tiles) {
  const { place: kept, ...others } = history.state ?? {};
  if (kept) history.replaceState(others, "");
  const at = kept ? tiles.findIndex(([id]) => id === kept.id) : -1;
  return at < 0 ? null : { at, top: kept.top };
}

function fill(grid, tiles, current) {
  const place = takePlace(tiles);
  const stop = place?.at ?? Math.max(0, tiles.findIndex(([id]) => id === current));
  grid.replaceChildren();
  grid.shown = { tiles, current, stop, place, first: 0, last: 0, size: { columns: 1, row: 0 } };
  draw(grid, 0, Math.min(FIRST, tiles.length));
  setStop(grid, 0);
}

function walk(grid, event) {
  const { shown } = grid;
  const tile = event.target.closest(".tile");
  const from = tile ? [...grid.children].indexOf(tile.parentElement) + shown.first : shown.stop;
  const { columns } = measure(grid);
  const ends = { Home: -from, End: shown.tiles.length };
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, ...ends }[event.key];
  if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  shown.stop = Math.min(shown.tiles.length - 1, Math.max(0, from + step));
  if (!tileAt(grid, shown.stop)) {
    const start = shown.stop - (shown.stop % columns);
    draw(grid, start, Math.min(shown.tiles.length, start + columns));
  }
  setStop(grid, shown.stop);
  tileAt(grid, shown.stop).focus();
}

function followWindow(grid) {
  let asked = 0;
  const soon = () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      follow(grid);
    });
  };
  const enter = ({ target }) => {
    const item = target.closest(".tile")?.parentElement;
    if (item) grid.shown.stop = [...grid.children].indexOf(item) + grid.shown.first;
  };
  grid.addEventListener("focusin", enter);
  // Whatever scrolls around the grid: such events do not bubble, but they pass the document first.
  document.addEventListener("scroll", soon, { capture: true, passive: true });
  const resized = new ResizeObserver(soon);
  resized.observe(grid);
  resized.observe(document.documentElement);
  return () => {
    cancelAnimationFrame(asked);
    grid.removeEventListener("focusin", enter);
    document.removeEventListener("scroll", soon, { capture: true });
    resized.disconnect();
  };
}

export default function ({ data, parentElement }) {
  const grid = parentElement.querySelector(".grid");
  grid.style.setProperty("--side", `${data.side}px`);
  const state = JSON.stringify([data.tiles, data.current]);
  if (grid.state !== state) {
    grid.state = state;
    fill(grid, data.tiles, data.current);
  }
  followLinks(grid, "a.tile", keepPlace);
  grid.onkeydown = (event) => walk(grid, event);
  grid.onblur = () => grid.removeAttribute("tabindex");
  return listen(grid, () => followWindow(grid));
}
