// Previous and next as links; Left and Right follow them unless something is being typed or moved.

const TYPING = "input, textarea, select, [contenteditable], [role=slider], [role=listbox], [role=tab], [role=radio], [role=option]";

export default function ({ data, parentElement }) {
  const links = { ArrowLeft: ["previous", "\u2190 "], ArrowRight: ["next", " \u2192"] };
  for (const [name, arrow] of Object.values(links)) {
    const link = parentElement.querySelector(`.${name}`);
    const [words, address] = data[name];
    link.textContent = name === "next" ? words + arrow : arrow + words;
    link.hidden = !address;
    if (address) link.href = address;
    else link.removeAttribute("href");
  }
  followLinks(parentElement.querySelector("nav"), "a");
  const key = (event) => {
    if (!(event.key in links) || event.defaultPrevented) return;
    if (event.metaKey || event.ctrlKey || event.altKey || event.shiftKey) return;
    if (event.composedPath().some((one) => one.matches?.(TYPING))) return;
    const address = data[links[event.key][0]][1];
    if (address) visit(address);
  };
  return listen(parentElement, () => {
    document.addEventListener("keydown", key);
    return () => document.removeEventListener("keydown", key);
  });
}
