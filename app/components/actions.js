export default function ({ data, parentElement }) {
  const home = parentElement.querySelector("nav");
  home.replaceChildren(
    ...data.links.map(([words, address]) => {
      const link = document.createElement("a");
      link.href = address;
      link.textContent = words;
      link.onclick = (event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        visit(address);
      };
      return link;
    }),
  );
}
