// The list above the message box: commands, choices, suggestions. Focus stays in the field, which
// refers to the active entry by aria-activedescendant.

import { el, fill } from "./dom.js";

export class Picker {
  constructor(element) {
    this.element = element;
    this.entries = [];
    this.active = -1;
    this.field = null;
    this.pick = null;
  }

  get open() {
    return !this.element.hidden;
  }

  /** Show entries ({title, detail, sign, value}) for `field`; `pick` is called with the chosen one. */
  show(field, entries, pick, { label, empty = "", active = 0 } = {}) {
    if (this.field && this.field !== field) this.close();
    this.field = field;
    this.entries = entries;
    this.pick = pick;
    this.element.setAttribute("aria-label", label);
    if (!entries.length && !empty) return this.close();
    fill(
      this.element,
      el("p", { class: "picker-label", "aria-hidden": "true" }, label),
      ...entries.map((entry, n) => {
        const made = el(
          "div",
          { class: "entry", role: "option", id: `entry-${n}`, "aria-selected": "false" },
          entry.sign ?? null,
          el("span", { class: "entry-title" }, entry.title),
          entry.detail ? el("span", { class: "entry-detail" }, entry.detail) : null,
        );
        // pointerdown, so that the field keeps its focus.
        made.addEventListener("pointerdown", (event) => {
          event.preventDefault();
          this.choose(n);
        });
        return made;
      }),
      entries.length ? null : el("p", { class: "picker-empty" }, empty),
    );
    this.element.hidden = false;
    // The message box is a text box, which has no such state.
    if (field.role === "combobox") field.setAttribute("aria-expanded", "true");
    field.setAttribute("aria-controls", this.element.id);
    this.activate(entries.length ? Math.min(active, entries.length - 1) : -1);
    return true;
  }

  close() {
    this.element.hidden = true;
    if (this.field?.role === "combobox") this.field.setAttribute("aria-expanded", "false");
    this.field?.removeAttribute("aria-activedescendant");
    this.entries = [];
    this.active = -1;
    this.field = null;
  }

  activate(n) {
    this.element.querySelector('[aria-selected="true"]')?.setAttribute("aria-selected", "false");
    this.active = n;
    const now = this.element.querySelector(`#entry-${n}`);
    if (now) {
      now.setAttribute("aria-selected", "true");
      now.scrollIntoView({ block: "nearest" });
      this.field.setAttribute("aria-activedescendant", now.id);
    } else this.field?.removeAttribute("aria-activedescendant");
  }

  choose(n = this.active) {
    const entry = this.entries[n];
    const pick = this.pick;
    if (!entry) return false;
    this.close();
    pick(entry);
    return true;
  }

  /** Use a key of the field; true when it was used. */
  key(event) {
    if (!this.open) return false;
    const count = this.entries.length;
    if (event.key === "ArrowDown" && count) this.activate((this.active + 1) % count);
    else if (event.key === "ArrowUp" && count) this.activate((this.active - 1 + count) % count);
    else if (event.key === "Escape") this.close();
    else if ((event.key === "Enter" && !event.shiftKey) || (event.key === "Tab" && !event.shiftKey)) {
      if (this.active < 0 || !this.choose()) return false;
    } else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }
}
