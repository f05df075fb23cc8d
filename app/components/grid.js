// A list of links with pictures, of which only those near the window are made, so that thousands
// cost as little as a hundred. It is one stop of the Tab key: the arrow keys walk within it.

const FIRST = 60; // tiles made before their size is known
const RESTING_MS = 250; // after scrolling, until the place is kept
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
  if (!grid.offsetWidth || !shown.tiles.length) return; // in a part that is closed
  const resized = columns !== shown.size.columns || row !== shown.size.row;
  shown.size = { columns, row };
  if (resized && shown.place) bringBack(grid);
  const count = shown.tiles.length;
  const rows = Math.ceil(count / columns);
  const { top, bottom } = grid.getBoundingClientRect();
  const firstAt = (y) => Math.min(rows - 1, Math.max(0, Math.floor((y - top) / row))) * columns;
  const first = firstAt(-UNSEEN * innerHeight);
  const last = Math.min(count, firstAt((1 + UNSEEN) * innerHeight) + columns);
  if (resized || first !== shown.first || last !== shown.last) draw(grid, first, last);
  const seen = Math.min(count - 1, firstAt(0) + columns);
  setStop(grid, seen);
  if (scrollerOf(grid).scrollTop === shown.broughtTo) return; // nobody has scrolled since
  shown.broughtTo = null;
  // Of several grids the one at the top of the window holds what is read.
  shown.place = top < 0 && bottom > 0 ? { at: seen, top: topOf(grid, seen) } : null;
}

function topOf(grid, at) {
  const { columns, row } = grid.shown.size;
  return grid.getBoundingClientRect().top + Math.floor(at / columns) * row;
}

// Scroll so that the tile that was seen at some place is there again, in tiles of another size.
function bringBack(grid) {
  const { shown } = grid;
  const scroller = scrollerOf(grid);
  draw(grid, shown.first, shown.last); // makes room to scroll in
  scroller.scrollTop += topOf(grid, shown.place.at) - shown.place.top;
  shown.broughtTo = scroller.scrollTop;
}

// Steps back and forward lead to where one was: the history holds the place by its tile, until
// Streamlit writes a choice into the address.
function keepPlace(grid, id, top) {
  history.replaceState({ ...history.state, place: { grid: grid.name, id, top } }, "");
}

function keepSeen(grid) {
  const { tiles, place } = grid.shown;
  if (place) keepPlace(grid, tiles[place.at][0], place.top);
  else if (history.state?.place?.grid === grid.name) {
    const { place: _, ...others } = history.state;
    history.replaceState(others, "");
  }
}

function keptPlace(grid, tiles) {
  const kept = history.state?.place;
  const at = kept?.grid === grid.name ? tiles.findIndex(([id]) => id === kept.id) : -1;
  return at < 0 ? null : { at, top: kept.top };
}

function fill(grid, tiles, current) {
  const place = keptPlace(grid, tiles);
  const stop = place?.at ?? Math.max(0, tiles.findIndex(([id]) => id === current));
  grid.replaceChildren();
  grid.shown = { tiles, current, stop, place, first: 0, last: 0, size: { columns: 1, row: 0 } };
  const first = Math.max(0, Math.min(stop - FIRST / 2, tiles.length - FIRST));
  draw(grid, first, Math.min(first + FIRST, tiles.length));
  setStop(grid, stop);
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
  let resting = 0;
  const soon = () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      follow(grid);
    });
  };
  const scrolled = () => {
    soon();
    clearTimeout(resting); // browsers count how often the history is written
    const { href } = location;
    resting = setTimeout(() => location.href === href && keepSeen(grid), RESTING_MS);
  };
  const enter = ({ target }) => {
    const item = target.closest(".tile")?.parentElement;
    if (item) grid.shown.stop = [...grid.children].indexOf(item) + grid.shown.first;
  };
  grid.addEventListener("focusin", enter);
  // Whatever scrolls around the grid: such events do not bubble, but they pass the document first.
  document.addEventListener("scroll", scrolled, { capture: true, passive: true });
  const resized = new ResizeObserver(soon);
  resized.observe(grid);
  resized.observe(document.documentElement);
  return () => {
    cancelAnimationFrame(asked);
    clearTimeout(resting);
    grid.removeEventListener("focusin", enter);
    document.removeEventListener("scroll", scrolled, { capture: true });
    resized.disconnect();
  };
}

export default function ({ data, parentElement }) {
  const grid = parentElement.querySelector(".grid");
  grid.name = data.name;
  grid.style.setProperty("--side", `${data.side}px`);
  const state = JSON.stringify([data.tiles, data.current]);
  if (grid.state !== state) {
    grid.state = state;
    fill(grid, data.tiles, data.current);
  }
  followLinks(grid, "a.tile", (tile) => {
    keepPlace(grid, tile.dataset.id, tile.getBoundingClientRect().top);
  });
  grid.onkeydown = (event) => walk(grid, event);
  grid.onblur = () => grid.removeAttribute("tabindex");
  return listen(grid, () => followWindow(grid));
}
