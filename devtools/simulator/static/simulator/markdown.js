// Discord's markdown as elements. Every part of a message ends up in a text node; nothing is parsed as HTML.

import { el } from "./dom.js";

const INLINE = [
  [/^```(?:([a-z0-9_+-]*)\n)?([\s\S]*?)```/i, (m) => el("pre", {}, el("code", {}, m[2].replace(/\n$/, "")))],
  [/^``([\s\S]+?)``(?!`)/, (m) => el("code", {}, m[1].trim())],
  [/^`([^`]+)`/, (m) => el("code", {}, m[1])],
  [/^\*\*\*([\s\S]+?)\*\*\*/, (m, c) => el("strong", {}, el("em", {}, ...inline(m[1], c)))],
  [/^\*\*([\s\S]+?)\*\*/, (m, c) => el("strong", {}, ...inline(m[1], c))],
  [/^__([\s\S]+?)__/, (m, c) => el("u", {}, ...inline(m[1], c))],
  [/^\*(?!\s)([\s\S]*?[^\s*])\*(?!\*)/, (m, c) => el("em", {}, ...inline(m[1], c))],
  [/^_(?!_)([^_]+?)_(?!\w)/, (m, c) => el("em", {}, ...inline(m[1], c))],
  [/^~~([\s\S]+?)~~/, (m, c) => el("s", {}, ...inline(m[1], c))],
  [/^\|\|([\s\S]+?)\|\|/, (m, c) => spoiler(inline(m[1], c))],
  [/^\[([^\]\n]+)\]\(<?(https?:\/\/[^\s)>]+)>?\)/, (m, c) => link(m[2], inline(m[1], c))],
  [/^<(https?:\/\/[^\s>]+)>/, (m) => link(m[1], [m[1]])],
  [/^https?:\/\/[^\s<>)\]]+/, (m) => link(m[0], [m[0]])],
  [/^<@!?(\d+)>/, (m, c) => mention(`@${c.users.get(m[1])?.name ?? "unknown-user"}`, m[1] === c.me)],
  [/^<@&(\d+)>/, (m, c) => mention(`@${c.roles.get(m[1])?.name ?? "unknown-role"}`)],
  [/^<#(\d+)>/, (m, c) => mention(`#${c.channels.get(m[1])?.name ?? "unknown"}`)],
  [/^<t:(-?\d+)(?::([tTdDfFR]))?>/, (m) => moment(Number(m[1]), m[2] ?? "f")],
  [/^<\/([-\w ]+):\d+>/, (m) => mention(`/${m[1]}`)],
  [/^\\([\\`*_~|<>[\]()#@-])/, (m) => m[1]],
];

function inline(text, context) {
  const parts = [];
  let plain = "";
  for (let at = 0; at < text.length; ) {
    const rest = text.slice(at);
    const found = /^[\\`*_~|<[h]/.test(rest) && INLINE.map(([form, make]) => [form.exec(rest), make]).find(([m]) => m);
    if (found) {
      if (plain) parts.push(plain);
      plain = "";
      parts.push(found[1](found[0], context));
      at += found[0][0].length;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  if (plain) parts.push(plain);
  return parts;
}

function spoiler(children) {
  const hidden = el("button", { type: "button", class: "spoiler", "aria-label": "Spoiler, select to reveal" }, ...children);
  hidden.addEventListener("click", () => {
    hidden.classList.add("open");
    hidden.removeAttribute("aria-label");
  });
  return hidden;
}

const link = (url, children) => el("a", { href: url, rel: "noreferrer noopener", target: "_blank" }, ...children);

const mention = (text, mine = false) => el("span", { class: mine ? "mention mine" : "mention" }, text);

const UNITS = [
  ["year", 31536000],
  ["month", 2592000],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

export function relative(seconds) {
  const away = seconds - Date.now() / 1000;
  const [unit, size] = UNITS.find(([, each]) => Math.abs(away) >= each) ?? UNITS.at(-1);
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(away / size), unit);
}

const STYLES = {
  t: { timeStyle: "short" },
  T: { timeStyle: "medium" },
  d: { dateStyle: "short" },
  D: { dateStyle: "long" },
  f: { dateStyle: "long", timeStyle: "short" },
  F: { dateStyle: "full", timeStyle: "short" },
};

function moment(seconds, style) {
  const at = new Date(seconds * 1000);
  const full = new Intl.DateTimeFormat("en", STYLES.F).format(at);
  const text = style === "R" ? relative(seconds) : new Intl.DateTimeFormat("en", STYLES[style]).format(at);
  return el("time", { datetime: at.toISOString(), title: full, class: "moment", "data-relative": style === "R" }, text);
}

/** Draw a line of ▰ and ▱ as a progress bar. */
function bar(line, context) {
  const match = /^([▰▱█░▓]+)\s*(.*)$/u.exec(line);
  if (!match || match[1].length < 5) return null;
  const done = [...match[1]].filter((each) => each === "▰" || each === "█").length / [...match[1]].length;
  const filled = el("span", { class: "bar-filled" });
  filled.style.setProperty("--done", done);
  const percent = Math.round(done * 100);
  const drawn = el(
    "span",
    { class: "bar", role: "progressbar", "aria-valuenow": percent, "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Progress" },
    filled,
  );
  return el("div", { class: "progress" }, drawn, el("span", { class: "muted" }, ...inline(match[2], context)));
}

/** Return the elements of a message's text. `context`: maps users, roles, channels, and the reader's id `me`. */
export function markdown(text, context) {
  const blocks = [];
  const pieces = text.split(/(```[\s\S]*?```)/);
  for (const piece of pieces) {
    if (piece.startsWith("```") && piece.length > 5) {
      blocks.push(...inline(piece, context));
      continue;
    }
    const lines = piece.replace(/^\n|\n$/g, "").split("\n");
    if (lines.length === 1 && lines[0] === "") continue;
    let quote = null;
    let list = null;
    for (const line of lines) {
      const quoted = /^> ?(.*)$/.exec(line);
      const item = /^\s*[-*] (.+)$/.exec(line);
      if (!quoted) quote = null;
      if (!item) list = null;
      const heading = /^(#{1,3}) (.+)$/.exec(line);
      const small = /^-# (.+)$/.exec(line);
      if (quoted) {
        if (!quote) blocks.push((quote = el("blockquote")));
        quote.append(el("div", {}, ...inline(quoted[1], context)));
      } else if (item) {
        if (!list) blocks.push((list = el("ul")));
        list.append(el("li", {}, ...inline(item[1], context)));
      } else if (heading) blocks.push(el(`h${heading[1].length + 2}`, {}, ...inline(heading[2], context)));
      else if (small) blocks.push(el("div", { class: "small" }, ...inline(small[1], context)));
      else blocks.push(bar(line, context) ?? el("div", { class: "line" }, ...inline(line, context)));
    }
  }
  return blocks;
}
