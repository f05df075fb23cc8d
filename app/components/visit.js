// Go to a page of the app as its back button does: the address changes, Streamlit hears of it.
function visit(address) {
  history.pushState({}, "", address);
  dispatchEvent(new PopStateEvent("popstate"));
}
