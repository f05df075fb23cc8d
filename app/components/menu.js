// The entries of the menu on top lead to what is being looked at. Streamlit's own links go to bare
// pages, which would forget the network and the unit, and leave a bare page behind for the back button.

export default function ({ data, parentElement }) {
  const target = (event) => {
    const link = event.target.closest?.("[data-testid=stTopNavLink]");
    if (!link) return undefined;
    const { pathname } = new URL(link.href);
    return data.addresses[pathname.split("/").pop()] ?? pathname;
  };
  const follow = (event) => {
    const address = target(event);
    const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (!address || elsewhere || event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    visit(address);
  };
  return listen(parentElement, () => {
    // Before Streamlit hears of it, which listens further down.
    document.addEventListener("click", follow, true);
    return () => document.removeEventListener("click", follow, true);
  });
}
