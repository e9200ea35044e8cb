// The whole page: the current server, channel and member, and what is shown for them.

import { Unreachable, get, getChanged, post } from "./api.js";
import { Composer } from "./composer.js";
import { closeByBackdrop, openCalls, openForm, openInstallation, openImage } from "./dialogs.js";
import { avatar, el, fill, sign } from "./dom.js";
import { refreshMoments, render, toEnd } from "./messages.js";

const POLL_MS = 600;
const POLL_HIDDEN_MS = 4000;
const DIRECT = "direct";

const $ = (id) => document.getElementById(id);
const here = { world: null, guild: "", channel: "", user: "", dm: null, newest: {}, seen: load("simulator-seen", {}) };
const drafts = { suggestion: null };

function load(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Without storage the page still works; it just forgets.
  }
}

// Current server, channel and member.

const guildNow = () => here.world.guilds.find((guild) => guild.id === here.guild);
const membersNow = () => guildNow()?.members ?? here.world.users.filter((user) => !user.bot);
const userNow = () => membersNow().find((member) => member.id === here.user);

function channelNow() {
  if (here.guild === DIRECT) return { id: here.channel, name: "Sparkle", topic: "Direct messages", direct: true };
  return guildNow().channels.find((channel) => channel.id === here.channel);
}

function mayUse(command) {
  if (!command.default_member_permissions) return true;
  const needed = BigInt(command.default_member_permissions);
  const mine = BigInt(userNow()?.permissions ?? 0);
  return (mine & 8n) === 8n || (mine & needed) === needed;
}

function goTo({ guild = here.guild, channel, user = here.user }) {
  here.guild = guild;
  const members = membersNow();
  here.user = members.some((member) => member.id === user) ? user : members[0].id;
  if (guild === DIRECT) here.channel = here.dm ?? "";
  else {
    const channels = guildNow().channels;
    here.channel = channels.some((each) => each.id === channel) ? channel : channels[0].id;
  }
  keep("simulator-place", { guild: here.guild, channel: here.channel, user: here.user });
  const address = new URL(location);
  address.search = new URLSearchParams({ server: here.guild, channel: here.channel, as: here.user });
  history.replaceState(null, "", address);
  tell("");
  openDrawer("");
  show();
}

// Everything around the log.

function show() {
  const guild = guildNow();
  const channel = channelNow();
  const user = userNow();
  showRail();
  $("guild-name").textContent = guild?.name ?? "Direct messages";
  $("installation").hidden = !guild;
  showChannels();
  $("channel-name").replaceChildren(...[sign(channel.direct ? "dm" : channel.nsfw ? "lock" : "hash"), channel.name].filter(Boolean));
  $("channel-topic").textContent = channel.topic;
  document.title = `${channel.direct ? "@" : "#"}${channel.name} · ${guild?.name ?? "Direct messages"} · Sparkle simulator`;
  $("admin").href = guild ? `/admin/guilds/guild/${guild.id}/change/` : "/admin/";
  showMe(user);
  showMembers();
  const commands = (guild?.commands ?? []).filter((command) => command.type === 1 && mayUse(command));
  composer.setPlace({ channel: here.channel, user: here.user, title: channel.direct ? "@Sparkle" : `#${channel.name}`, commands });
  $("log").replaceChildren(welcome(channel, commands));
  poll.now();
}

function showRail() {
  const direct = el(
    "button",
    { type: "button", class: "server direct", "aria-label": "Direct messages", "aria-current": here.guild === DIRECT ? "true" : null, onclick: () => goTo({ guild: DIRECT }) },
    sign("dm"),
    unread(here.dm) ? el("span", { class: "badge", "aria-label": "unread" }) : null,
  );
  fill(
    $("rail"),
    direct,
    el("hr"),
    ...here.world.guilds.map((guild) =>
      el(
        "button",
        { type: "button", class: "server", "data-initials": guild.name.split(" ").map((word) => word[0]).join(""), hue: guild.hue, title: guild.name, "aria-label": guild.name, "aria-current": guild.id === here.guild ? "true" : null, onclick: () => goTo({ guild: guild.id }) },
        guild.channels.some((channel) => unread(channel.id)) ? el("span", { class: "badge", "aria-label": "unread" }) : null,
      ),
    ),
  );
}

const unread = (channel) => Boolean(channel && channel !== here.channel && here.newest[channel] && BigInt(here.newest[channel]) > BigInt(here.seen[`${here.user}/${channel}`] ?? 0));

function showChannels() {
  const guild = guildNow();
  const entries = guild
    ? guild.channels.map((channel) => ({ ...channel, sign: channel.nsfw ? "lock" : "hash" }))
    : [{ id: here.dm ?? "", name: "Sparkle", sign: "dm" }];
  fill(
    $("channels"),
    ...entries.map((channel) =>
      el(
        "li",
        {},
        el(
          "button",
          { type: "button", class: unread(channel.id) ? "channel unread" : "channel", "aria-current": channel.id === here.channel ? "page" : null, onclick: () => goTo({ channel: channel.id }) },
          sign(channel.sign),
          el("span", {}, channel.name),
          channel.nsfw ? el("span", { class: "age" }, "18+") : null,
          unread(channel.id) ? el("span", { class: "visually-hidden" }, " (unread)") : null,
        ),
      ),
    ),
  );
}

const roleOf = (member) => (member.owner ? "Owner" : (member.roles?.[0]?.name ?? "Member"));

function showMe(user) {
  $("me-avatar").replaceWith(Object.assign(avatar(user), { id: "me-avatar" }));
  $("me-name").textContent = user.name;
  $("me-role").textContent = here.guild === DIRECT ? "Direct messages" : roleOf(user);
  $("me").setAttribute("aria-label", `You are ${user.name}, ${roleOf(user)}. Switch member`);
  fill(
    $("people"),
    el("p", { class: "muted", "aria-hidden": "true" }, "Switch member"),
    ...membersNow().map((member) =>
      el(
        "button",
        { type: "button", role: "option", "aria-selected": String(member.id === here.user), onclick: () => { closePeople(); goTo({ channel: here.channel, user: member.id }); $("me").focus(); } },
        avatar(member, "small"),
        el("span", { class: "me-text" }, member.name, el("span", { class: "muted" }, roleOf(member))),
      ),
    ),
  );
}

function showMembers() {
  const guild = guildNow();
  if (!guild) return fill($("members"));
  const groups = new Map();
  for (const member of guild.members) {
    const name = roleOf(member);
    groups.set(name, [...(groups.get(name) ?? []), member]);
  }
  if (guild.installed) groups.set("Apps", [here.world.application]);
  return fill(
    $("members"),
    ...[...groups].map(([name, members]) =>
      el(
        "section",
        {},
        el("h3", {}, `${name} — ${members.length}`),
        ...members.map((member) =>
          el("div", { class: "member" }, avatar(member, "small"), el("span", { class: "name", hue: member.hue }, member.name), member.bot ? el("span", { class: "tag" }, "APP") : null),
        ),
      ),
    ),
  );
}

function welcome(channel, commands) {
  const made = el(
    "div",
    { class: "welcome" },
    el("span", { class: "welcome-sign" }, sign(channel.direct ? "dm" : channel.nsfw ? "lock" : "hash")),
    el("h3", {}, channel.direct ? "Your messages with Sparkle" : `Welcome to #${channel.name}`),
    el("p", { class: "muted" }, channel.topic || "This is the start of the channel."),
  );
  if (commands.some((command) => command.name === "sparkle")) {
    made.append(
      el(
        "div",
        { class: "suggestions", role: "group", "aria-label": "Prompts to try" },
        ...suggestions().map((prompt) =>
          el("button", { type: "button", class: "chip", onclick: () => composer.startCommand("sparkle", { prompt }) }, sign("spark"), prompt),
        ),
      ),
    );
  } else if (!channel.direct && !guildNow().installed) {
    made.append(el("button", { type: "button", class: "button primary", onclick: showInstallation }, "Invite Sparkle"));
  }
  return made;
}

/** Keep the same four suggestions for the whole visit. */
function suggestions() {
  drafts.suggestion ??= [...here.world.prompts].sort(() => Math.random() - 0.5).slice(0, 4);
  return drafts.suggestion;
}

// Actions.

function tell(problem) {
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
}

/** POST, show any problem, and open the modal if the response is one. Resolves to true on success. */
async function act(address, body, files, message = null) {
  try {
    const told = await post(address, { channel: here.channel, user: here.user, ...body }, files);
    tell(told.problem ?? "");
    if (told.modal) {
      openForm($("modal"), told.modal, (values) => act("page/modal", { modal: told.modal, values, message }));
    }
    poll.now();
    return !told.problem;
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    tell(error.message);
    return false;
  }
}

const composer = new Composer({
  form: $("composer-form"),
  picker: $("picker"),
  tell,
  async send({ text, command, options, files }) {
    const done = command ? await act("page/command", { name: command, options }, files) : await act("page/say", { content: text });
    if (done) toEnd($("log"));
    return done;
  },
});

const actions = {
  async press(message, component, pressed, values) {
    pressed.classList.add("pressing");
    await act("page/press", { message: message.id, custom_id: component.custom_id, values }, {}, message.id);
    pressed.classList.remove("pressing");
  },
  menu: (message, command) => act("page/menu", { message: message.id, name: command.name }, {}, message.id),
  dismiss: (message) => act("page/dismiss", { message: message.id }),
  open: (image) => openImage($("lightbox"), image),
};

// Polling.

const poll = {
  timer: 0,
  running: false,
  again: false,
  now() {
    clearTimeout(this.timer);
    if (this.running) this.again = true;
    else this.run();
  },
  async run() {
    this.running = true;
    this.again = false;
    const asked = `page/messages?channel=${here.channel || "0"}&user=${here.user}`;
    try {
      const told = here.channel ? await getChanged(asked) : { messages: [], newest: {}, dm: null };
      document.body.classList.remove("offline");
      if (told && asked === `page/messages?channel=${here.channel || "0"}&user=${here.user}`) this.show(told);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      document.body.classList.add("offline");
      tell(error.message);
    } finally {
      this.running = false;
      if (this.again) this.run();
      else this.timer = setTimeout(() => this.run(), document.hidden ? POLL_HIDDEN_MS : POLL_MS);
    }
  },
  show(told) {
    const was = here.dm;
    here.newest = told.newest;
    here.dm = told.dm;
    here.seen[`${here.user}/${here.channel}`] = told.newest[here.channel] ?? here.seen[`${here.user}/${here.channel}`];
    keep("simulator-seen", here.seen);
    if (here.guild === DIRECT && was !== here.dm) return goTo({ guild: DIRECT });
    render($("log"), told.messages, context(), actions);
    showRail();
    showChannels();
    return null;
  },
};

function context() {
  const byId = (list) => new Map(list.map((each) => [each.id, each]));
  return {
    me: here.user,
    users: byId(here.world.users),
    roles: byId(here.world.roles),
    channels: byId(here.world.guilds.flatMap((guild) => guild.channels)),
    messageCommands: (guildNow()?.commands ?? []).filter((command) => command.type === 3 && mayUse(command)),
  };
}

async function reload() {
  here.world = await get("page/world");
  show();
}

// The buttons around the log.

function closePeople() {
  $("people").hidden = true;
  $("me").setAttribute("aria-expanded", "false");
}

$("me").addEventListener("click", () => {
  const opening = $("people").hidden;
  $("people").hidden = !opening;
  $("me").setAttribute("aria-expanded", String(opening));
  if (opening) $("people").querySelector('[aria-selected="true"]').focus();
});
document.querySelector(".me").addEventListener("keydown", (event) => {
  if ($("people").hidden) return;
  const options = [...$("people").querySelectorAll('[role="option"]')];
  const n = options.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) options[(n + step + options.length) % options.length].focus();
  else if (event.key === "Escape") {
    closePeople();
    $("me").focus();
  } else return;
  event.preventDefault();
  event.stopPropagation();
});
document.querySelector(".me").addEventListener("focusout", (event) => {
  if (!event.currentTarget.contains(event.relatedTarget)) closePeople();
});

function openDrawer(name) {
  $("app").dataset.drawer = name;
  $("open-side").setAttribute("aria-expanded", String(name === "side"));
  if (name === "side") $("rail").querySelector('[aria-current="true"]')?.focus();
}
$("open-side").addEventListener("click", () => openDrawer($("app").dataset.drawer ? "" : "side"));
$("scrim").addEventListener("click", () => openDrawer(""));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && $("app").dataset.drawer) {
    openDrawer("");
    $("open-side").focus();
  }
});

const THEMES = ["", "light", "dark"];
const themeNow = () => document.documentElement.dataset.theme ?? "";
function nameTheme() {
  const name = { "": "system", light: "light", dark: "dark" }[themeNow()];
  $("theme").setAttribute("aria-label", `Theme: ${name}. Change`);
  $("theme").title = `Theme: ${name}`;
}
$("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(themeNow()) + 1) % THEMES.length];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("simulator-theme", next);
  } catch {
    // Without storage the theme lasts for this visit only.
  }
  nameTheme();
});

function showInstallation() {
  openInstallation($("sheet"), guildNow(), reload);
}
$("installation").addEventListener("click", showInstallation);
$("calls").addEventListener("click", () => openCalls($("sheet"), here.world.faults));
for (const dialog of document.querySelectorAll("dialog")) closeByBackdrop(dialog);
// Keep the log at its end when an image loads or the message box grows, unless the member scrolled up.
let reading = false;
$("log").addEventListener("scroll", ({ target }) => {
  reading = target.scrollHeight - target.scrollTop - target.clientHeight > 120;
});
const stay = () => reading || toEnd($("log"));
$("log").addEventListener("load", stay, true);
new ResizeObserver(stay).observe($("log"));
document.addEventListener("visibilitychange", () => !document.hidden && poll.now());
setInterval(() => refreshMoments($("log")), 10_000);

nameTheme();
here.world = await get("page/world");
const wanted = Object.fromEntries(new URLSearchParams(location.search));
const remembered = load("simulator-place", {});
const server = wanted.server ?? remembered.guild;
const known = server === DIRECT || here.world.guilds.some((guild) => guild.id === server);
if (!here.world.guilds.length) tell("There are no servers yet. Run ./dev demo to create them.");
else {
  goTo({ guild: known ? server : here.world.guilds[0].id, channel: wanted.channel ?? remembered.channel, user: wanted.as ?? remembered.user });
  composer.box?.focus();
}
