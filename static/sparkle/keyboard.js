// Gives Unfold's clickable elements a role, a name and keys, and moves the focus into menus and dialogs and back.
(() => {
  "use strict";
  const NAMES = {
    close: "Close", dock_to_right: "Menu", more_horiz: "More actions", more_vert: "Related entry", unfold_more: "Account",
    visibility: "Show password", visibility_off: "Hide password", arrow_back: "Back", computer: "Theme",
    auto_awesome: "Sparkle", search: "Search",
  };
  const FOCUSABLE = "a[href], button:not([disabled]), input:not([type=hidden]):not([disabled]), select, textarea, [tabindex='0']";
  const KEYS = ["Enter", " "];
  // Where the focus goes back to when a panel closes.
  const openers = new WeakMap();
  let lastPressed = null;

  const visible = (element) => element.checkVisibility({ visibilityProperty: true });
  const icons = (element) => element.querySelectorAll(".material-symbols-outlined");

  function textWithoutIcons(element) {
    const copy = element.cloneNode(true);
    icons(copy).forEach((icon) => icon.remove());
    return element.matches(".material-symbols-outlined") ? "" : copy.textContent.trim();
  }

  function nameByIcon(element) {
    if (element.hasAttribute("aria-label") || textWithoutIcons(element)) return;
    const icon = element.matches(".material-symbols-outlined") ? element : icons(element)[0];
    const name = element.title || NAMES[icon?.textContent.trim()];
    if (name) element.setAttribute("aria-label", name);
  }

  /** Make what only a mouse can click a button. Elements without a size are backdrops. */
  function makeButtons() {
    for (const element of document.querySelectorAll("[x-on\\:click]")) {
      if (element.matches("button, input, a[href]:not([href='#']), #changelist-filter-close") || element.role === "tab") continue;
      element.setAttribute("role", "button");
      element.tabIndex = 0;
      nameByIcon(element);
    }
    for (const link of document.querySelectorAll("a[href], button")) nameByIcon(link);
    for (const icon of document.querySelectorAll(".material-symbols-outlined:not([aria-label], [role])")) icon.setAttribute("aria-hidden", "true");
  }

  function makeTabs() {
    for (const list of document.querySelectorAll("nav:has(> a[x-on\\:click*='activeFieldsetTab'])")) {
      list.setAttribute("role", "tablist");
      list.setAttribute("aria-label", "Settings");
      const panels = list.parentElement.parentElement.querySelectorAll(":scope > .tab-wrapper");
      const tabs = [...list.children];
      tabs.forEach((tab, place) => {
        tab.setAttribute("role", "tab");
        tab.id ||= `sp-tab-${place}`;
        panels[place].id ||= `sp-panel-${place}`;
        panels[place].setAttribute("role", "tabpanel");
        panels[place].setAttribute("aria-labelledby", tab.id);
        tab.setAttribute("aria-controls", panels[place].id);
      });
      const show = () => tabs.forEach((tab) => {
        const chosen = tab.classList.contains("active");
        tab.setAttribute("aria-selected", String(chosen));
        tab.tabIndex = chosen ? 0 : -1;
      });
      new MutationObserver(show).observe(list, { attributes: true, attributeFilter: ["class"], subtree: true });
      show();
    }
  }

  /** Name what axe and screen readers need told apart: scrolling areas, navigations, select2's fields. */
  function nameRegions() {
    document.getElementById("nav-sidebar-inner")?.setAttribute("aria-label", "Main menu");
    document.getElementById("tabs-items")?.setAttribute("aria-label", "Parts of this page");
    document.querySelectorAll("#changelist-filter h3").forEach((heading) => heading.setAttribute("aria-level", "2"));
    document.querySelectorAll(".simplebar-content-wrapper").forEach((area) => {
      const name = area.closest("#nav-sidebar-apps") ? "Menu entries" : area.closest("#changelist-filter") ? "Filters" : "Table";
      area.setAttribute("aria-label", name);
    });
    for (const heading of document.querySelectorAll("th")) {
      if (heading.textContent.trim() || heading.children.length) continue;
      heading.append(Object.assign(document.createElement("span"), { className: "sp-hidden", textContent: "Actions" }));
    }
    for (const field of document.querySelectorAll(".select2-selection")) {
      const select = field.closest(".select2")?.previousElementSibling;
      const name = select?.labels?.[0]?.textContent.trim() || select?.getAttribute("aria-label")
        || select?.dataset.placeholder || select?.closest("div")?.parentElement?.querySelector("h3, label")?.textContent.trim();
      if (!name) continue;
      field.setAttribute("aria-label", name);
      field.querySelector("[role=textbox], [role=searchbox]")?.setAttribute("aria-label", name);
      if (field.getAttribute("aria-expanded") !== "true") continue;
      document.querySelector(".select2-dropdown .select2-search__field")?.setAttribute("aria-label", name);
    }
  }

  function upgrade() {
    makeTabs();
    makeButtons();
    nameRegions();
  }

  const panelOf = (opener) => {
    const template = opener.parentElement?.querySelector(":scope > template");
    return template?._x_teleport || opener.parentElement?.querySelector(":scope > nav");
  };

  /** Move the focus into a panel when it shows, and back to what opened it when it hides. */
  function watch(panel, { trapped }) {
    let shown = visible(panel);
    new MutationObserver(() => {
      const now = visible(panel);
      if (now === shown) return;
      shown = now;
      if (now) {
        openers.set(panel, lastPressed || document.activeElement);
        requestAnimationFrame(() => first(panel)?.focus());
      } else {
        const back = openers.get(panel);
        const nearest = back?.isConnected && visible(back) ? back : openers.get(back?.closest("nav"));
        nearest?.focus();
      }
    }).observe(panel, { attributes: true, attributeFilter: ["style", "class"] });
    panel.addEventListener("keydown", (event) => {
      if (event.key === "Tab" && trapped) keepInside(panel, event);
    });
  }

  function first(panel) {
    const all = [...panel.querySelectorAll(FOCUSABLE)].filter(visible);
    return all.find((element) => element.matches("input, select, textarea")) || all.find((element) => element.getAttribute("aria-label") !== "Close");
  }

  function keepInside(panel, event) {
    const all = [...panel.querySelectorAll(FOCUSABLE)].filter(visible);
    const edge = event.shiftKey ? all[0] : all.at(-1);
    if (document.activeElement !== edge) return;
    event.preventDefault();
    (event.shiftKey ? all.at(-1) : all[0])?.focus();
  }

  function watchPanels() {
    const dialog = document.getElementById("modal-content")?.parentElement;
    if (dialog) {
      dialog.setAttribute("role", "dialog");
      dialog.setAttribute("aria-modal", "true");
      dialog.setAttribute("aria-label", "Confirm");
      watch(dialog, { trapped: true });
    }
    const filters = document.getElementById("changelist-filter");
    if (filters) watch(filters, { trapped: false });
    for (const opener of document.querySelectorAll("[role=button]")) {
      const menu = panelOf(opener);
      if (!menu || menu.dataset.watched) continue;
      menu.dataset.watched = "yes";
      menu.setAttribute("aria-label", opener.getAttribute("aria-label") || textWithoutIcons(opener));
      watch(menu, { trapped: false });
      menu.addEventListener("keydown", (event) => {
        if (event.key === "Escape") opener.click();
      });
    }
  }

  document.addEventListener("click", (event) => {
    lastPressed = event.target.closest("[role=button], a[href], button");
  }, true);

  document.addEventListener("keydown", (event) => {
    const here = event.target;
    if (KEYS.includes(event.key) && here.matches?.("[role=button], [role=tab]") && !here.matches("button, a[href]:not([href='#'])")) {
      event.preventDefault();
      here.click();
    }
    if (here.role === "tab" && ["ArrowRight", "ArrowLeft"].includes(event.key)) {
      const tabs = [...here.parentElement.children];
      const next = tabs.at((tabs.indexOf(here) + (event.key === "ArrowRight" ? 1 : -1)) % tabs.length);
      next.click();
      next.focus();
    }
  });

  // htmx fills the dialog after it was asked for.
  document.addEventListener("htmx:afterSettle", (event) => {
    const dialog = event.target.closest?.("[role=dialog]");
    if (!dialog) return;
    const title = dialog.querySelector("h1");
    if (title) dialog.setAttribute("aria-label", title.textContent.trim());
    if (visible(dialog) && !dialog.contains(document.activeElement)) first(dialog)?.focus();
  });

  window.addEventListener("load", () => {
    upgrade();
    watchPanels();
    // select2, htmx and the dashboard's refresh add elements later.
    let due = 0;
    new MutationObserver(() => {
      cancelAnimationFrame(due);
      due = requestAnimationFrame(upgrade);
    }).observe(document.body, { childList: true, subtree: true });
  });
})();
