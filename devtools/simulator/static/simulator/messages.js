// A channel's messages. An element is rebuilt only when its message changed, so that images do not flicker and
// a revealed spoiler stays revealed.

import { avatar, el, sign } from "./dom.js";
import { markdown, relative } from "./markdown.js";

const JOINED_FOR_MS = 5 * 60 * 1000;

/** Show `messages` in `log`. `actions`: press, select, menu, dismiss, open (an image). */
export function render(log, messages, context, actions) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 120;
  const known = new Map([...log.querySelectorAll(":scope > article")].map((each) => [each.dataset.id, each]));
  const shown = [];
  let before = null;
  for (const message of messages) {
    const joined = isJoined(message, before);
    const print = JSON.stringify([message, joined, context.me]);
    const old = known.get(message.id);
    if (old && old.print === print) shown.push(old);
    else {
      const made = article(message, joined, context, actions);
      made.print = print;
      // Keyboard focus survives an edit of the message.
      const focused = old?.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      if (old) {
        const open = [...old.querySelectorAll(".covered.open")].map((each) => each.dataset.key);
        for (const key of open) made.querySelector(`[data-key="${CSS.escape(key)}"]`)?.classList.add("open");
      }
      shown.push(made);
      if (focused) requestAnimationFrame(() => made.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus());
    }
    before = message;
  }
  const welcome = log.querySelector(":scope > .welcome");
  const wanted = [...(welcome ? [welcome] : []), ...shown];
  wanted.forEach((each, n) => {
    if (log.children[n] !== each) log.insertBefore(each, log.children[n] ?? null);
  });
  while (log.children.length > wanted.length) log.lastElementChild.remove();
  if (atEnd) toEnd(log);
}

export function toEnd(log) {
  log.scrollTop = log.scrollHeight;
}

function isJoined(message, before) {
  return Boolean(
    before &&
      before.author.id === message.author.id &&
      !message.used &&
      !message.reply &&
      !message.ephemeral &&
      !before.ephemeral &&
      new Date(message.at) - new Date(before.at) < JOINED_FOR_MS,
  );
}

function article(message, joined, context, actions) {
  const at = new Date(message.at);
  const classes = ["message", joined && "joined", message.ephemeral && "ephemeral", message.pinged && "pinged"];
  return el(
    "article",
    { class: classes.filter(Boolean).join(" "), "data-id": message.id, "aria-label": `${message.author.name}` },
    above(message),
    joined ? el("span", { class: "avatar-room" }) : avatar(message.author),
    el(
      "div",
      { class: "body" },
      joined
        ? null
        : el(
            "div",
            { class: "who" },
            el("strong", { class: "name", hue: message.author.hue }, message.author.name),
            message.author.bot ? el("span", { class: "tag" }, "APP") : null,
            el("time", { datetime: message.at, title: at.toLocaleString("en") }, clock(at)),
          ),
      message.loading
        ? el("div", { class: "loading" }, el("span", { class: "dots", "aria-hidden": "true" }), `${message.author.name} is thinking…`)
        : el("div", { class: "content" }, ...markdown(message.content, context), message.edited ? el("span", { class: "muted" }, " (edited)") : null),
      // As in Discord's client, files stand above embeds. A layout shows its files itself.
      message.layout ? null : gallery(message.attachments, actions),
      ...message.embeds.map((embed) => card(embed, context, actions)),
      ...message.components.map((part) => layout(part, message, context, actions)),
      message.ephemeral ? onlyYou(message, actions) : null,
    ),
    menu(message, context, actions),
  );
}

function clock(at) {
  const time = at.toLocaleTimeString("en", { hour: "numeric", minute: "2-digit" });
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString("en", { dateStyle: "medium" })} ${time}`;
}

function above(message) {
  if (message.used) {
    return el(
      "div",
      { class: "above" },
      sign("reply"),
      avatar(message.used.user, "tiny"),
      el("strong", { class: "name", hue: message.used.user.hue }, message.used.user.name),
      el("span", {}, " used "),
      el("span", { class: "command-name" }, sign("spark"), message.used.command),
    );
  }
  if (!message.reply) return null;
  const { author, content, deleted } = message.reply;
  return el(
    "div",
    { class: "above" },
    sign("reply"),
    avatar(author, "tiny"),
    el("strong", { class: "name", hue: author.hue }, author.name),
    el("span", { class: "quoted" }, deleted ? "Original message was deleted" : plain(content)),
  );
}

const plain = (text) => text.replace(/[*_`~|#>]/g, "").replace(/\s+/g, " ").trim() || "Click to see attachment";

function card(embed, context, actions) {
  const made = el("div", { class: "card" });
  if (embed.color !== undefined && embed.color !== null) {
    made.style.setProperty("--stripe", `#${embed.color.toString(16).padStart(6, "0")}`);
  }
  if (embed.author) made.append(el("div", { class: "card-author" }, embed.author.name));
  if (embed.title) made.append(el("div", { class: "card-title" }, ...markdown(embed.title, context)));
  if (embed.description) made.append(el("div", { class: "card-text" }, ...markdown(embed.description, context)));
  if (embed.fields?.length) {
    made.append(
      el(
        "dl",
        { class: "fields" },
        ...embed.fields.map((field) =>
          el(
            "div",
            { class: field.inline ? "field inline" : "field" },
            el("dt", {}, ...markdown(field.name, context)),
            el("dd", {}, ...markdown(field.value, context)),
          ),
        ),
      ),
    );
  }
  if (embed.image) made.append(image({ ...embed.image, id: embed.image.url.replace(/\?.*/, ""), filename: "image" }, actions));
  if (embed.footer) made.append(el("div", { class: "card-footer" }, embed.footer.text));
  return made;
}

function gallery(attachments, actions) {
  if (!attachments.length) return null;
  const images = attachments.filter((each) => each.content_type.startsWith("image/"));
  const others = attachments.filter((each) => !each.content_type.startsWith("image/"));
  return el(
    "div",
    { class: "attachments" },
    images.length ? el("div", { class: `gallery of-${Math.min(images.length, 4)}` }, ...images.map((each) => image(each, actions))) : null,
    ...others.map((each) =>
      el("a", { class: "file", href: each.url, download: each.filename }, sign("file"), each.filename, el("span", { class: "muted" }, size(each.size))),
    ),
  );
}

const size = (bytes) => (bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`);

function image(attachment, actions) {
  const words = attachment.description || attachment.filename;
  const image = el("img", {
    src: attachment.url,
    alt: words,
    loading: "lazy",
    width: attachment.width,
    height: attachment.height,
  });
  const made = el(
    "button",
    {
      type: "button",
      class: attachment.spoiler ? "image covered" : "image",
      "data-key": `image-${attachment.id}`,
      "aria-label": attachment.spoiler ? "Spoiler, select to reveal" : `Enlarge: ${words}`,
    },
    image,
    attachment.spoiler ? el("span", { class: "cover" }, "Spoiler") : null,
  );
  made.addEventListener("click", () => {
    if (made.classList.contains("covered") && !made.classList.contains("open")) {
      made.classList.add("open");
      made.setAttribute("aria-label", `Enlarge: ${words}`);
    } else actions.open({ url: attachment.url, words });
  });
  return made;
}

const STYLES = { 1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "link" };

/** Draw a part of a message: a row of buttons or selects, or a part of a layout (Components V2). */
function layout(part, message, context, actions) {
  const inside = () => (part.components ?? []).map((each) => layout(each, message, context, actions));
  if (part.type === 9) return el("div", { class: "section" }, el("div", {}, ...inside()), layout(part.accessory, message, context, actions));
  if (part.type === 10) return el("div", { class: "content" }, ...markdown(part.content, context));
  if (part.type === 11) return shown({ media: part.media, ...part }, actions);
  if (part.type === 12) {
    return el("div", { class: `gallery of-${Math.min(part.items.length, 4)}` }, ...part.items.map((item) => shown(item, actions)));
  }
  if (part.type === 13) return el("a", { class: "file", href: part.file.url }, sign("file"), "File");
  if (part.type === 14) return el("hr", { class: "separator" });
  if (part.type === 17) return el("div", { class: "card" }, ...inside());
  return part.type === 1 ? buttons(part, message, actions) : component(part, message, actions);
}

const shown = ({ media, description, spoiler }, actions) =>
  image({ ...media, id: media.attachment_id ?? media.url, filename: "image", description, spoiler }, actions);

function buttons(row, message, actions) {
  return el("div", { class: "buttons" }, ...(row.components ?? []).map((each) => component(each, message, actions)));
}

function component(each, message, actions) {
  const key = each.custom_id ?? each.url;
  if (each.type === 2 && each.style === 6) {
    return el("span", { class: "button primary", "data-key": `sku-${each.sku_id}` }, "Get premium");
  }
  if (each.type === 2) {
    const face = [each.emoji?.name ? (sign(each.emoji.name) ?? each.emoji.name) : null, each.label ?? null];
    const classes = `button ${STYLES[each.style] ?? "secondary"}`;
    if (each.style === 5) {
      return el("a", { class: classes, href: each.url, target: "_blank", rel: "noreferrer noopener" }, ...face);
    }
    const label = each.label ? null : (each.emoji?.name ?? "button");
    const made = el("button", { type: "button", class: classes, disabled: each.disabled, "data-key": key, "aria-label": label }, ...face);
    made.addEventListener("click", () => actions.press(message, each, made));
    return made;
  }
  const chosen = el(
    "select",
    { class: "select", "data-key": key, "aria-label": each.placeholder ?? "Choose", disabled: each.disabled },
    el("option", { value: "" }, each.placeholder ?? "Make a selection"),
    ...(each.options ?? []).map((option) =>
      el(
        "option",
        { value: option.value, selected: option.default },
        [option.emoji?.name, option.label, option.description && `(${option.description})`].filter(Boolean).join(" "),
      ),
    ),
  );
  chosen.addEventListener("change", async () => {
    if (!chosen.value) return;
    await actions.press(message, each, chosen, [chosen.value]);
    // As in Discord's client, the same choice can be made again.
    if (!each.options?.some((option) => option.default)) chosen.value = "";
  });
  return chosen;
}

function onlyYou(message, actions) {
  return el(
    "div",
    { class: "only-you" },
    sign("eye"),
    "Only you can see this ·",
    el("button", { type: "button", class: "plain-link", "data-key": "dismiss", onclick: () => actions.dismiss(message) }, "Dismiss message"),
  );
}

function menu(message, context, actions) {
  if (message.ephemeral || !context.messageCommands.length) return null;
  const list = el(
    "div",
    { class: "popover apps", hidden: true },
    el("p", { class: "muted" }, "Apps"),
    ...context.messageCommands.map((command) =>
      el("button", { type: "button", onclick: () => { list.hidden = true; actions.menu(message, command); } }, sign("spark"), command.name),
    ),
  );
  const opener = el("button", { type: "button", class: "icon", "aria-label": "More actions", "aria-expanded": "false", "data-key": "more" }, sign("more"));
  const close = () => {
    list.hidden = true;
    opener.setAttribute("aria-expanded", "false");
  };
  opener.addEventListener("click", () => {
    list.hidden = !list.hidden;
    opener.setAttribute("aria-expanded", String(!list.hidden));
    if (!list.hidden) list.querySelector("button").focus();
  });
  const around = el("div", { class: "tools" }, opener, list);
  around.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !list.hidden) {
      close();
      opener.focus();
      event.stopPropagation();
    }
  });
  around.addEventListener("focusout", (event) => {
    if (!around.contains(event.relatedTarget)) close();
  });
  return around;
}

/** Update relative times such as "in 3 minutes". */
export function refreshMoments(log) {
  for (const each of log.querySelectorAll("time[data-relative]")) {
    const text = relative(Date.parse(each.dateTime) / 1000);
    if (text !== each.textContent) each.textContent = text;
  }
}
