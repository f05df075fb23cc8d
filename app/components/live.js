// A render as it goes: its pictures, the curve of the score, and the spectrum of the images.

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 330, HEIGHT = 165, LEFT = 46, RIGHT = 8, TOP = 6, BOTTOM = 24;

function html(kind, name, text) {
  const made = document.createElement(kind);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function svg(kind, attributes, text) {
  const made = document.createElementNS(NAMESPACE, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function short(number) {
  if (number === null || number === undefined) return "";
  const size = Math.abs(number);
  if (size >= 10000 || (size > 0 && size < 0.001)) return number.toExponential(1);
  return String(Number(number.toPrecision(3)));
}

function scale(values, from, to, log) {
  const at = log ? Math.log : (x) => x;
  let least = Infinity, most = -Infinity;
  for (const value of values) {
    least = Math.min(least, at(value));
    most = Math.max(most, at(value));
  }
  const span = most - least || 1;
  const place = (value) => from + ((at(value) - least) / span) * (to - from);
  const back = (share) => (log ? Math.exp(least + share * span) : least + share * span);
  return { place, back };
}

// Lines in one frame; `aim` is a dashed line to compare them with.
function chart(title, note, lines, { log = false, aim = null, across, words } = {}) {
  const figure = html("figure", "chart");
  const caption = html("figcaption", "", `${title} `);
  caption.append(html("small", "", note));
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words });
  figure.append(caption, picture);
  const good = (line) => line.filter(([x, y]) => y !== null && (!log || (x > 0 && y > 0)));
  const kept = lines.map(good).filter((line) => line.length);
  const all = [...kept, ...(aim ? [aim] : [])].flat();
  const bottom = HEIGHT - BOTTOM;
  picture.append(svg("path", { class: "axis", fill: "none", d: `M${LEFT} ${TOP}V${bottom}H${WIDTH - RIGHT}` }));
  if (!kept.length) return figure;
  const x = scale(all.map((p) => p[0]), LEFT, WIDTH - RIGHT, log);
  const y = scale(all.map((p) => p[1]), bottom - 4, TOP + 4, log);
  for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
    const value = x.back(share);
    const where = LEFT + share * (WIDTH - RIGHT - LEFT);
    const said = short(log ? value : Math.round(value)) + (share === 1 ? ` ${across}` : "");
    picture.append(svg("text", { class: "tick", x: where, y: HEIGHT - 7, "text-anchor": anchor }, said));
  }
  for (const share of [0, 1]) {
    const where = share ? TOP + 9 : bottom - 2;
    picture.append(svg("text", { class: "tick", x: LEFT - 5, y: where, "text-anchor": "end" }, short(y.back(share))));
  }
  const path = (line) => line.map(([a, b], k) => `${k ? "L" : "M"}${x.place(a).toFixed(1)} ${y.place(b).toFixed(1)}`).join("");
  if (aim) picture.append(svg("path", { class: "aim", d: path(aim) }));
  for (const line of kept) {
    picture.append(svg("path", { class: kept.length > 1 ? "line some" : "line", d: path(line) }));
  }
  return figure;
}

function pictures(images) {
  const list = html("div", images.length > 1 ? "pictures" : "pictures one");
  for (const image of images) {
    const figure = html("figure");
    if (image.picture) {
      const picture = html("img");
      picture.decoding = "sync"; // else each new preview would flicker
      picture.src = image.picture;
      picture.alt = image.text;
      figure.append(picture);
    } else {
      figure.append(html("div", "none"));
    }
    const caption = html("figcaption");
    caption.title = image.label;
    caption.append(html("span", "", image.short), html("span", "", short(image.score)));
    figure.append(caption);
    list.append(figure);
  }
  return list;
}

// The amplitude of photographs falls with frequency ** -1.4; drawn through the middle of the first line.
function photographs(line, slope) {
  const good = line.filter(([, y]) => y > 0);
  if (good.length < 2) return null;
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const x0 = mean(good.map((p) => Math.log(p[0]))), y0 = mean(good.map((p) => Math.log(p[1])));
  return [good[0], good[good.length - 1]].map(([x]) => [x, Math.exp(y0 + slope * (Math.log(x) - x0))]);
}

export default function ({ data, parentElement }) {
  const live = parentElement.querySelector(".live");
  const state = html("div", "state");
  if (data.running) {
    const bar = html("progress");
    bar.max = data.steps;
    if (data.step) bar.value = data.step;
    bar.setAttribute("aria-label", "steps done");
    state.append(bar);
  }
  state.append(html("span", "words", data.words));
  const parts = html("div", "parts");
  parts.append(pictures(data.images));
  const charts = html("div", "charts");
  const scores = data.images.map((image) => image.points);
  charts.append(chart("Score", "of the moved image at each step", scores, { across: "steps", words: data.scoreWords }));
  const spectra = data.images.map((image) => data.frequency.map((f, k) => [f, image.amplitudes[k] ?? null]));
  const aim = spectra.length ? photographs(spectra[0], data.natural) : null;
  charts.append(
    chart("Spectrum", "amplitude by frequency; dashed: photographs", spectra,
      { log: true, aim, across: "cycles/px", words: data.spectrumWords }),
  );
  parts.append(charts);
  live.replaceChildren(state, parts);
}
