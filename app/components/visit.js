// Go to a page of the app as its back button does: the address changes, Streamlit hears of it.
function visit(address) {
  history.pushState({}, "", address);
  dispatchEvent(new PopStateEvent("popstate"));
}

// A plain click on a link, or Enter, goes there within the app; one with a modifier opens a tab.
// `leave` is told of the link before.
function followLinks(home, selector, leave = () => {}) {
  home.onclick = (event) => {
    const link = event.target.closest(selector);
    const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (!link?.href || elsewhere || event.button !== 0) return;
    event.preventDefault();
    leave(link);
    visit(link.getAttribute("href"));
  };
}
