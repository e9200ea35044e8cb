// The inbox of reports: J shows the next report and K the previous one, unless the reader types in a field.
(() => {
  "use strict";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input[type=text], textarea, select, [contenteditable]")) return;
    const link = document.querySelector(`[data-reports] a[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
    if (link) link.click();
  });
})();
