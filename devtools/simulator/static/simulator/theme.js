// Before the page is painted: the theme that was chosen, else the system's.
(() => {
  try {
    const chosen = localStorage.getItem("simulator-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; the system's theme serves.
  }
})();
