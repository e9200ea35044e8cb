// The message box: plain text, or a command with its options as the application registered them.

import { post } from "./api.js";
import { el, fill, sign } from "./dom.js";
import { Picker } from "./picker.js";

const SUB_COMMANDS = new Set([1, 2]);
const INTEGER = 4;
const BOOLEAN = 5;
const NUMBER = 10;
const ATTACHMENT = 11;
const LONG = 200;
const ASK_AFTER_MS = 150;

export class Composer {
  /** `send` does what was composed: {text} or {command, options, files}; it resolves to false to keep the input. */
  constructor({ form, picker, send, tell }) {
    this.form = form;
    this.picker = new Picker(picker);
    this.send = send;
    this.tell = tell;
    this.place = null;
    this.command = null;
    this.fields = new Map();
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    form.addEventListener("keydown", (event) => this.key(event));
    form.addEventListener("focusout", (event) => {
      if (!form.contains(event.relatedTarget)) this.picker.close();
    });
  }

  /** `place`: channel id, user id, the channel's title, and the commands that this member is offered here. */
  setPlace(place) {
    const same = this.place && this.place.channel === place.channel && this.place.user === place.user;
    this.place = place;
    if (!same || (this.command && !place.commands.some((each) => each.name === this.command.name))) this.plain();
    else if (!this.command && this.picker.open) this.offerCommands(this.box);
  }

  // Plain text.

  plain(text = "", { focus = false } = {}) {
    this.command = null;
    this.fields.clear();
    this.picker.close();
    const box = el("textarea", {
      id: "composer",
      rows: 1,
      maxlength: 2000,
      "aria-haspopup": "listbox",
      "aria-autocomplete": "list",
      "aria-label": `Message ${this.place.title}. Type a slash for commands.`,
      placeholder: this.place.commands.length ? `Message ${this.place.title}, or type /` : `Message ${this.place.title}`,
      enterkeyhint: "send",
    });
    box.value = text;
    box.addEventListener("input", () => {
      grow(box);
      this.offerCommands(box);
    });
    this.box = box;
    const slash = el(
      "button",
      { type: "button", class: "icon slash", "aria-label": "Commands", onclick: () => { box.focus(); box.value = "/"; this.offerCommands(box); } },
      "/",
    );
    fill(this.form, slash, box, el("button", { type: "submit", class: "icon send", "aria-label": "Send" }, sign("send")));
    this.form.classList.remove("with-command");
    if (focus) box.focus();
    grow(box);
  }

  offerCommands(box) {
    const match = /^\/([^\s]*)(\s[\s\S]*)?$/.exec(box.value);
    if (!match) return this.picker.close();
    const typed = match[1].toLowerCase();
    const exact = this.place.commands.find((command) => command.name === typed);
    if (exact && match[2] !== undefined) {
      // "/sparkle a red circle": text after the name goes to the first option.
      return this.startCommand(exact.name, {}, match[2].trimStart());
    }
    const found = this.place.commands.filter((command) => command.name.includes(typed));
    return this.picker.show(
      box,
      found.map((command) => ({ title: `/${command.name}`, detail: command.description, sign: sign("spark"), name: command.name })),
      (entry) => this.startCommand(entry.name),
      { label: "Sparkle", empty: this.place.commands.length ? "No matching commands" : "No commands available here" },
    );
  }

  // A command.

  startCommand(name, values = {}, text = "") {
    const command = this.place.commands.find((each) => each.name === name);
    if (!command) return;
    this.picker.close();
    this.command = command;
    this.fields.clear();
    const options = (command.options ?? []).filter((option) => !SUB_COMMANDS.has(option.type));
    const row = el("div", { class: "options" });
    const more = el("div", { class: "more", role: "group", "aria-label": "More options" });
    const add = (option, value, focus) => {
      const made = this.field(option, value);
      const chip = more.querySelector(`[data-option="${option.name}"]`);
      chip?.remove();
      row.append(made.element);
      if (focus) made.input.focus();
    };
    for (const option of options) {
      const value = values[option.name] ?? (option === options[0] && text ? text : undefined);
      if (option.required || value !== undefined) add(option, value, false);
      else {
        more.append(
          el("button", { type: "button", class: "chip", "data-option": option.name, title: option.description, onclick: () => add(option, undefined, true) }, sign("plus"), option.name),
        );
      }
    }
    fill(
      this.form,
      el(
        "div",
        { class: "command" },
        el(
          "div",
          { class: "command-head" },
          el("span", { class: "command-chip" }, sign("spark"), `/${command.name}`),
          el("span", { class: "command-text" }, command.description),
          el("button", { type: "button", class: "icon", "aria-label": "Close command", onclick: () => this.plain("", { focus: true }) }, sign("close")),
        ),
        row,
        more.children.length ? more : null,
      ),
      el("button", { type: "submit", class: "icon send", id: "composer", "aria-label": `Send /${command.name}` }, sign("send")),
    );
    this.form.classList.add("with-command");
    // Only elements in the document have a height.
    for (const box of row.querySelectorAll("textarea")) grow(box);
    const first = [...this.fields.values()].find((field) => !field.input.value) ?? [...this.fields.values()][0];
    (first?.input ?? this.form.querySelector(".send")).focus();
    first?.input.setSelectionRange?.(first.input.value.length, first.input.value.length);
  }

  field(option, value) {
    const id = `option-${option.name}`;
    const long = option.type === 3 && !option.choices?.length && !option.autocomplete && (option.max_length ?? 6000) > LONG;
    const chosen = option.choices ?? (option.type === BOOLEAN ? [{ name: "True", value: true }, { name: "False", value: false }] : []);
    const lists = chosen.length > 0 || option.autocomplete;
    const state = { option, value: undefined, file: null, shown: "" };
    let input;
    if (option.type === ATTACHMENT) {
      input = el("input", { id, type: "file", accept: "image/*", "data-key": id });
    } else if (long) {
      input = el("textarea", { id, rows: 1, maxlength: option.max_length, enterkeyhint: "send" });
    } else {
      const mode = { [INTEGER]: "numeric", [NUMBER]: "decimal" }[option.type];
      input = el("input", { id, type: "text", inputmode: mode, autocomplete: "off", placeholder: lists ? "Choose" : bounds(option) });
    }
    if (lists) {
      for (const [name, set] of [["role", "combobox"], ["aria-expanded", "false"], ["aria-haspopup", "listbox"], ["aria-autocomplete", "list"]]) {
        input.setAttribute(name, set);
      }
    }
    input.setAttribute("aria-labelledby", `${id}-name`);
    input.setAttribute("aria-describedby", `${id}-help`);
    if (option.required) input.setAttribute("aria-required", "true");
    const face = option.type === ATTACHMENT ? el("span", { class: "file-name", "aria-hidden": "true" }, "Choose an image") : null;
    const element = el(
      "label",
      { class: `option ${long ? "long" : ""} ${option.type === ATTACHMENT ? "attachment" : ""}`, for: id },
      el("span", { class: "option-name", id: `${id}-name` }, option.name),
      input,
      face,
      el("span", { class: "visually-hidden", id: `${id}-help` }, `${option.description}${option.required ? ", required" : ""}`),
      option.required
        ? null
        : el("button", { type: "button", class: "icon remove", "aria-label": `Remove ${option.name}`, onclick: () => this.remove(option) }, sign("close")),
    );
    if (value !== undefined) input.value = String(value);
    if (option.type === ATTACHMENT) {
      input.addEventListener("change", () => {
        state.file = input.files[0] ?? null;
        face.textContent = state.file?.name ?? "Choose an image";
      });
    }
    if (long) input.addEventListener("input", () => grow(input));
    if (lists) this.listen(state, input, chosen);
    input.addEventListener("focus", () => {
      element.classList.add("now");
      this.tell("");
    });
    input.addEventListener("blur", () => element.classList.remove("now"));
    const made = { element, input, state };
    this.fields.set(option.name, made);
    return made;
  }

  /** Offer an option's choices while the member types: its own, or the application's autocomplete. */
  listen(state, input, chosen) {
    const { option } = state;
    let asked = 0;
    let timer = 0;
    const offer = (choices) => {
      if (document.activeElement !== input) return;
      this.picker.show(
        input,
        choices.map((choice) => ({ title: choice.name, detail: choice.name === String(choice.value) ? "" : String(choice.value), value: choice.value })),
        (entry) => {
          state.value = entry.value;
          state.shown = input.value = entry.title;
        },
        { label: option.description, empty: option.autocomplete ? "No suggestions" : "Choose from the list" },
      );
    };
    const ask = async () => {
      const mine = ++asked;
      try {
        const told = await post("page/complete", { ...this.where(), name: this.command.name, focused: option.name, options: this.values().options });
        if (mine === asked) offer(told.problem ? [] : told.choices);
      } catch (error) {
        this.tell(error.message);
      }
    };
    const search = () => {
      if (option.autocomplete) {
        clearTimeout(timer);
        timer = setTimeout(ask, ASK_AFTER_MS);
      } else {
        const typed = input.value === state.shown ? "" : input.value.toLowerCase();
        offer(chosen.filter((choice) => choice.name.toLowerCase().includes(typed) || String(choice.value).toLowerCase().includes(typed)));
      }
    };
    input.addEventListener("focus", search);
    input.addEventListener("input", () => {
      state.value = undefined;
      search();
    });
    input.addEventListener("blur", () => {
      asked += 1;
      clearTimeout(timer);
      const typed = input.value.trim().toLowerCase();
      const match = chosen.find((choice) => choice.name.toLowerCase() === typed || String(choice.value).toLowerCase() === typed);
      if (state.value === undefined && match) state.value = match.value;
    });
  }

  remove(option) {
    const values = Object.fromEntries([...this.fields].map(([name, field]) => [name, field.input.type === "file" ? undefined : field.input.value]));
    delete values[option.name];
    for (const name of Object.keys(values)) if (!values[name]) delete values[name];
    this.startCommand(this.command.name, values);
  }

  values() {
    const options = {};
    const files = {};
    for (const [name, { input, state }] of this.fields) {
      if (state.file) files[name] = state.file;
      else if (input.type !== "file" && input.value.trim() !== "") {
        options[name] = state.value !== undefined && input.value === state.shown ? state.value : (state.value ?? input.value);
      }
    }
    return { options, files };
  }

  where() {
    return { channel: this.place.channel, user: this.place.user };
  }

  // Both.

  key(event) {
    if (event.isComposing || this.picker.key(event)) return;
    const inField = event.target.matches("textarea, input");
    if (event.key === "Enter" && !event.shiftKey && inField && event.target.type !== "file") {
      event.preventDefault();
      this.submit();
    } else if (event.key === "Escape" && this.command) {
      event.preventDefault();
      this.plain("", { focus: true });
    } else if (event.key === "Backspace" && this.command && inField && event.target.value === "" && !event.repeat) {
      const fields = [...this.fields.values()];
      const n = fields.findIndex((field) => field.input === event.target);
      if (n > 0) fields[n - 1].input.focus();
      else if (n === 0) this.plain(`/${this.command.name}`, { focus: true });
      event.preventDefault();
      if (n === 0) this.offerCommands(this.box);
    }
  }

  async submit() {
    if (this.form.classList.contains("sending")) return;
    const { command } = this;
    this.picker.close();
    let wanted;
    if (command) {
      const missing = [...this.fields.values()].find(({ input, state }) => state.option.required && !input.value.trim() && !state.file);
      if (missing) {
        this.tell(`${missing.state.option.name} is required.`);
        missing.input.focus();
        missing.element.classList.add("now");
        return;
      }
      wanted = { command: command.name, ...this.values() };
    } else {
      const text = this.box.value.trim();
      if (!text) return;
      wanted = { text };
    }
    this.form.classList.add("sending");
    const done = await this.send(wanted);
    this.form.classList.remove("sending");
    if (done) this.plain("", { focus: true });
  }
}

function bounds({ min_value: least, max_value: most }) {
  if (least === undefined || most === undefined) return undefined;
  return most > 1e6 ? "a number" : `${least} – ${most}`;
}

function grow(box) {
  box.style.setProperty("height", "auto");
  box.style.setProperty("height", `${Math.min(box.scrollHeight, 220)}px`);
}
