// A link within the app, followed without leaving the session.

export default function ({ data, parentElement }) {
  const link = parentElement.querySelector("a");
  link.textContent = data.label;
  link.href = data.address;
  link.onclick = (event) => {
    const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (elsewhere || event.button !== 0) return;
    event.preventDefault();
    visit(data.address);
  };
}
