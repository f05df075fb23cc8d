// Named links in the browser's own storage: private to it, kept over visits.

const PLACE = "featviz.lists";

function read() {
  try {
    const found = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(found)
      ? found.filter((one) => typeof one?.name === "string" && /^\/compare\?/.test(one?.address))
      : [];
  } catch {
    return [];
  }
}

// A browser may forbid its storage to all pages, and it may be full.
function write(lists) {
  try {
    localStorage.setItem(PLACE, JSON.stringify(lists));
    return true;
  } catch {
    return false;
  }
}

export default function ({ data, parentElement }) {
  const form = parentElement.querySelector("form");
  const home = parentElement.querySelector("ul");
  const box = form.querySelector("input");
  const problem = parentElement.querySelector("p");
  const keep = (lists) => {
    const kept = write(lists);
    problem.hidden = kept;
    return kept;
  };
  const show = () => {
    home.replaceChildren(
      ...read().map(({ name, address }) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        link.href = address;
        link.textContent = name;
        const drop = document.createElement("button");
        drop.type = "button";
        drop.textContent = "\u00d7";
        drop.setAttribute("aria-label", `forget ${name}`);
        drop.onclick = () => {
          if (keep(read().filter((one) => one.name !== name))) show();
        };
        item.append(link, drop);
        return item;
      }),
    );
  };
  followLinks(home, "a");
  form.hidden = !data.address;
  form.onsubmit = (event) => {
    event.preventDefault();
    const name = box.value.trim();
    if (!name) return box.focus();
    const others = read().filter((one) => one.name !== name);
    if (!keep([...others, { name, address: data.address }])) return;
    box.value = "";
    show();
  };
  show();
}
