// SVG that Python made. It is parsed as XML, so that text stays text, and brings no scripts.

export default function ({ data, parentElement }) {
  const home = parentElement.querySelector(".drawing");
  home.style.maxWidth = `${data.width}px`;
  const text = data.svg.replace(/^<svg /, '<svg xmlns="http://www.w3.org/2000/svg" ');
  const found = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  for (const script of found.querySelectorAll("script, foreignObject")) script.remove();
  home.replaceChildren(document.importNode(found, true));
}
