// Links side by side. A plain click goes there within the app; one with a modifier opens a new tab.

function makeLink([words, address, current]) {
  const link = document.createElement(address ? "a" : "span");
  link.textContent = words;
  if (address) {
    link.className = "way";
    link.href = address;
  }
  if (current) link.setAttribute("aria-current", "page");
  return link;
}

export default function ({ data, parentElement }) {
  const nav = parentElement.querySelector(".ways");
  nav.setAttribute("aria-label", data.label);
  nav.classList.toggle("apart", data.apart);
  const shown = JSON.stringify(data.links);
  if (nav.shown !== shown) {
    nav.shown = shown;
    nav.replaceChildren(...data.links.map(makeLink));
  }
  followLinks(nav, "a.way");
}
