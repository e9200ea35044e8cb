// Shows the first field that the server refused: opens its tab, scrolls to it and focuses it.
(() => {
  "use strict";
  window.addEventListener("load", () => {
    const field = document.querySelector("#content [aria-invalid='true']");
    if (!field) return;
    // The tab of an inline table, and that of a group of fields; Unfold marks a group's tab only.
    const table = field.closest("[data-inline-type]");
    const tab = table ? table.id.replace(/-group$/, "") : "general";
    document.querySelector(`#tabs-wrapper a[href='#${tab}']`)?.click();
    const panel = field.closest(".tab-wrapper[id]");
    if (panel) document.querySelector(`[role='tab'][aria-controls='${panel.id}']`)?.click();
    // Once the tab is shown.
    requestAnimationFrame(() => {
      const visible = field.checkVisibility() && field.getBoundingClientRect().height > 1;
      const target = visible ? field : field.parentElement.querySelector("[role='combobox'], input:not([type='hidden'])") || field;
      target.focus({ preventScroll: true });
      (visible ? field : field.parentElement).scrollIntoView({ block: "center" });
    });
  });
})();
