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

function write(lists) {
  localStorage.setItem(PLACE, JSON.stringify(lists));
}

export default function ({ data, parentElement }) {
  const form = parentElement.querySelector("form");
  const home = parentElement.querySelector("ul");
  const box = form.querySelector("input");
  const show = () => {
    home.replaceChildren(
      ...read().map(({ name, address }) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        link.href = address;
        link.textContent = name;
        link.onclick = (event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
          event.preventDefault();
          visit(address);
        };
        const drop = document.createElement("button");
        drop.type = "button";
        drop.textContent = "\u00d7";
        drop.setAttribute("aria-label", `forget ${name}`);
        drop.onclick = () => {
          write(read().filter((one) => one.name !== name));
          show();
        };
        item.append(link, drop);
        return item;
      }),
    );
  };
  form.hidden = !data.address;
  form.onsubmit = (event) => {
    event.preventDefault();
    const name = box.value.trim();
    if (!name) return box.focus();
    write([...read().filter((one) => one.name !== name), { name, address: data.address }]);
    box.value = "";
    show();
  };
  show();
}
