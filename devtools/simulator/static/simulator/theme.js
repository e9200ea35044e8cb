// Applies the chosen theme before the page is painted; without one the system's applies.
(() => {
  try {
    const chosen = localStorage.getItem("simulator-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be blocked; the system's theme applies.
  }
})();
