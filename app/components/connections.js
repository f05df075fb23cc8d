// Units with the kernels that connect them: a picture, a kernel in cells, a name and a number.

const CELL = 12;

function color(anchors, value) {
  const at = Math.max(-1, Math.min(1, value));
  let k = 1;
  while (k < anchors.length - 1 && anchors[k][0] < at) k += 1;
  const [[low, from], [high, to]] = [anchors[k - 1], anchors[k]];
  const part = (at - low) / (high - low);
  return `rgb(${from.map((c, i) => Math.round(c + part * (to[i] - c))).join(" ")})`;
}

function kernelPicture(kernel, anchors) {
  const picture = document.createElement("canvas");
  picture.className = "kernel";
  picture.height = kernel.length * CELL;
  picture.width = kernel[0].length * CELL;
  const pen = picture.getContext("2d");
  kernel.forEach((row, y) =>
    row.forEach((value, x) => {
      pen.fillStyle = color(anchors, value);
      pen.fillRect(x * CELL, y * CELL, CELL, CELL);
    }),
  );
  return picture;
}

function card(link, anchors) {
  const made = document.createElement(link.address ? "a" : "div");
  made.className = "link";
  if (link.address) made.href = link.address;
  made.title = link.text;
  made.setAttribute("aria-label", link.text);
  const pair = document.createElement("span");
  pair.className = "pair";
  if (link.source) {
    const picture = document.createElement("img");
    picture.className = "feature";
    picture.loading = "lazy";
    picture.alt = "";
    picture.src = link.source;
    pair.append(picture);
  }
  pair.append(kernelPicture(link.kernel, anchors));
  const name = document.createElement("strong");
  name.textContent = link.name;
  const caption = document.createElement("span");
  caption.textContent = link.caption;
  made.append(pair, name, caption);
  return made;
}

export default function ({ data, parentElement }) {
  const home = parentElement.querySelector(".connections");
  home.replaceChildren(...data.links.map((link) => card(link, data.anchors)));
  followLinks(home, "a.link");
}
