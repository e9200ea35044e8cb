// Dialogs: an image, a modal, the server's settings, the requests to Discord.

import { get, post } from "./api.js";
import { el, fill, sign } from "./dom.js";

const closer = (dialog, label = "Close") =>
  el("button", { type: "button", class: "icon close", "aria-label": label, onclick: () => dialog.close() }, sign("close"));

/** Close the dialog on a click outside it. */
export function closeByBackdrop(dialog) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

/** Show an image at full size. */
export function openImage(dialog, { url, words }) {
  fill(
    dialog,
    closer(dialog),
    el("img", { src: url, alt: words }),
    el("a", { class: "plain-link", href: url, target: "_blank", rel: "noreferrer" }, "Open original"),
  );
  dialog.showModal();
}

/** Show a modal of the application. `submit` gets its values and resolves to true when they were accepted. */
export function openForm(dialog, modal, submit) {
  const inputs = modal.components.map((row) => {
    const field = row.components?.[0] ?? row.component;
    const label = field.label ?? row.label;
    const id = `form-${field.custom_id}`;
    const properties = {
      id,
      name: field.custom_id,
      maxlength: field.max_length ?? 4000,
      minlength: field.min_length,
      placeholder: field.placeholder,
      required: field.required ?? true,
    };
    const input = control(field, properties);
    const star = properties.required ? el("span", { class: "star", "aria-hidden": "true" }, " *") : null;
    const note = row.description ? el("span", { class: "muted" }, row.description) : null;
    return { field, input, element: el("label", { class: "form-field", for: id }, el("span", {}, label, star), note, input) };
  });
  const title = el("h2", { id: "modal-title" }, modal.title);
  dialog.setAttribute("aria-labelledby", "modal-title");
  const form = el(
    "form",
    { method: "dialog" },
    ...inputs.map((each) => each.element),
    el("div", { class: "form-end" }, el("button", { type: "button", class: "button quiet", onclick: () => dialog.close() }, "Cancel"), el("button", { type: "submit", class: "button primary" }, "Submit")),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(inputs.map((each) => [each.field.custom_id, each.input.value]));
    if (await submit(values)) dialog.close();
  });
  fill(dialog, el("header", {}, title, closer(dialog, "Cancel")), form);
  dialog.showModal();
  inputs[0]?.input.focus();
}

function control(field, properties) {
  if (field.type === 3) {
    const { id, name, required } = properties;
    return el(
      "select",
      { id, name, required, class: "select" },
      el("option", { value: "" }, field.placeholder ?? "Make a selection"),
      ...field.options.map((option) =>
        el("option", { value: option.value, selected: option.default }, option.description ? `${option.label} (${option.description})` : option.label),
      ),
    );
  }
  const input = field.style === 2 ? el("textarea", { ...properties, rows: 4 }) : el("input", { ...properties, type: "text" });
  input.value = field.value ?? "";
  return input;
}

/** Show whether the bot is in the server, and let the owner change it. */
export function openInstallation(dialog, guild, changed) {
  const act = async () => {
    await post("page/installation", { guild: guild.id, installed: !guild.installed });
    dialog.close();
    changed();
  };
  dialog.setAttribute("aria-labelledby", "sheet-title");
  fill(
    dialog,
    el("header", {}, el("h2", { id: "sheet-title" }, guild.name), closer(dialog)),
    el("p", {}, guild.installed ? "Sparkle is a member of this server." : "Sparkle is not in this server."),
    el("p", { class: "muted" }, "Both send the application a webhook event. The event for removal names only the user, as Discord's does, so Sparkle finds out from its list of servers."),
    el("div", { class: "form-end" }, el("button", { type: "button", class: `button ${guild.installed ? "danger" : "primary"}`, onclick: act }, guild.installed ? "Remove Sparkle" : "Invite Sparkle")),
  );
  dialog.showModal();
}

/** Show the application's requests to Discord, and inject faults into the next ones. */
export async function openCalls(dialog, faults) {
  dialog.setAttribute("aria-labelledby", "sheet-title");
  const rows = el("tbody");
  const planned = el("p", { class: "muted" });
  const refresh = async () => {
    const told = await get("page/calls");
    planned.textContent = told.faults.length ? `Planned faults: ${told.faults.map((each) => `${each.name} (${each.remaining}×)`).join(", ")}` : "No faults planned.";
    fill(
      rows,
      ...told.calls.map((call) =>
        el(
          "tr",
          { class: call.status < 400 ? "" : "bad" },
          el("td", {}, new Date(call.at).toLocaleTimeString("en")),
          el("td", {}, el("b", {}, call.method)),
          el("td", { class: "route" }, call.route, call.problem ? el("span", { class: "muted" }, call.problem) : null),
          el("td", {}, el("span", { class: "status" }, String(call.status)), call.code ? ` ${call.code}` : ""),
          el("td", {}, `${call.milliseconds} ms`),
        ),
      ),
    );
  };
  const kind = el("select", { id: "fault", class: "select" }, ...faults.map((each) => el("option", { value: each.kind }, each.name)));
  const times = el("input", { id: "fault-times", type: "number", min: 1, max: 99, value: 1 });
  fill(
    dialog,
    el("header", {}, el("h2", { id: "sheet-title" }, "Requests to Discord"), closer(dialog)),
    el("p", { class: "muted" }, "The application's requests to Discord's API, newest first. Tokens are hidden."),
    el(
      "form",
      { class: "fault-form" },
      el("label", { for: "fault" }, "Make the next"),
      times,
      el("label", { for: "fault-times", class: "visually-hidden" }, "Number of requests"),
      el("label", { for: "fault" }, "requests fail with"),
      kind,
      el("button", { type: "submit", class: "button secondary" }, "Add"),
      el("button", { type: "button", class: "button quiet", onclick: async () => { await post("page/fault", {}); refresh(); } }, "Clear"),
    ),
    planned,
    el("div", { class: "table" }, el("table", {}, el("thead", {}, el("tr", {}, ...["Time", "Method", "Route", "Status", "Duration"].map((each) => el("th", { scope: "col" }, each)))), rows)),
  );
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await post("page/fault", { kind: kind.value, times: times.value });
    refresh();
  });
  await refresh();
  dialog.showModal();
  const timer = setInterval(() => (dialog.open ? refresh() : clearInterval(timer)), 1500);
}
