// A box that takes SITE:CHANNEL or SITE and goes there; the page says what is wrong with a name.
// The key / puts the cursor into it from anywhere.

export default function ({ data, parentElement }) {
  const box = parentElement.querySelector("input");
  const list = parentElement.querySelector("datalist");
  list.replaceChildren(
    ...data.sites.map((site) => {
      const option = document.createElement("option");
      option.value = `${site}:`;
      return option;
    }),
  );
  box.onkeydown = (event) => {
    const typed = box.value.trim();
    if (event.key !== "Enter" || !typed) return;
    const query = new URLSearchParams(data.query);
    const isUnit = /:[0-9]+$/.test(typed);
    query.set(isUnit ? "unit" : "site", isUnit ? typed : typed.replace(/:$/, ""));
    box.value = "";
    visit(`/${isUnit ? "unit" : "site"}?${query}`);
  };
  const slash = (event) => {
    const inside = event.composedPath()[0];
    if (event.key !== "/" || /^(input|textarea|select)$/i.test(inside.tagName)) return;
    if (inside.isContentEditable) return;
    event.preventDefault();
    box.focus();
  };
  return listen(parentElement, () => {
    document.addEventListener("keydown", slash);
    return () => document.removeEventListener("keydown", slash);
  });
}
