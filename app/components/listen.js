// Streamlit calls a component anew for each change of its data, but ends only the last call. So what
// an earlier call listens with is ended here. `start` returns what ends it.
function listen(home, start) {
  home.stopListening?.();
  home.stopListening = start();
  return home.stopListening;
}
