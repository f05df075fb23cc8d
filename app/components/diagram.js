// Sites of a network from top to bottom, with an arrow between neighbours; each is a link.

function element(kind, name, text) {
  const made = document.createElement(kind);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function box(site) {
  const item = element("li", site.faint ? "faint" : "");
  const link = element(site.address ? "a" : "div", "site");
  if (site.address) link.href = site.address;
  const words = element("span", "words");
  words.append(element("strong", "", site.name));
  for (const fact of site.facts) words.append(element("span", "fact", fact));
  const bar = element("span", "bar");
  bar.title = `${Math.round(site.share * 100)} % of its units have an image`;
  const done = element("span", "done");
  done.style.width = `${site.share * 100}%`;
  bar.append(done);
  words.append(bar);
  const strip = element("span", "strip");
  for (const source of site.sources) {
    const picture = element("img");
    picture.loading = "lazy";
    picture.alt = "";
    picture.src = source;
    strip.append(picture);
  }
  link.append(words, strip);
  item.append(link);
  return item;
}

export default function ({ data, parentElement }) {
  const list = parentElement.querySelector(".sites");
  list.replaceChildren(...data.boxes.map(box));
  followLinks(list, "a.site");
}
