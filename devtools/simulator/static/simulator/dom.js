// Helpers that create elements. Nothing here parses HTML: what members write is always text.

/** Create an element. Properties that start with "on" are listeners, "class" and aria/data ones attributes. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "hue") made.style.setProperty("--hue", value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const PATHS = {
  "🎲": "M5 3h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2ZM8 8h.01M16 8h.01M12 12h.01M8 16h.01M16 16h.01",
  "🔍": "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM21 21l-5-5M11 8v6M8 11h6",
  "🔄": "M20 11a8 8 0 0 0-14-5L3 9M3 4v5h5M4 13a8 8 0 0 0 14 5l3-3M21 20v-5h-5",
  "📝": "M4 20h4L19 9a2.800 2.800 0 0 0-4-4L4 16v4ZM14 6l4 4",
  "🗑️": "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  "🚩": "M5 21V4M5 4h13l-3 4.500L18 13H5",
  spark: "M12 2c1 6.500 3.500 9 10 10-6.500 1-9 3.500-10 10-1-6.500-3.500-9-10-10 6.500-1 9-3.500 10-10Z",
  hash: "M9 4 7 20M17 4l-2 16M4 9h16M3 15h16",
  lock: "M6 11h12v9H6v-9ZM9 11V8a3 3 0 0 1 6 0v3",
  reply: "M4 19v-5a4 4 0 0 1 4-4h12M16 6l4 4-4 4",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12ZM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  plus: "M12 5v14M5 12h14",
  send: "M4 12 20 4l-5 16-3-7-8-1Z",
  close: "M6 6l12 12M18 6 6 18",
  dm: "M4 5h16v11H9l-5 4V5Z",
  file: "M7 3h7l4 4v14H7V3ZM14 3v4h4",
  more: "M6 12h.01M12 12h.01M18 12h.01",
};

/** Return the SVG icon for a name or an emoji, or null. */
export function sign(name) {
  const path = PATHS[name] ?? PATHS[`${name}\ufe0f`];
  if (!path) return null;
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawn.setAttribute("viewBox", "0 0 24 24");
  drawn.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  drawn.append(line);
  return drawn;
}

/** A user's avatar: their initial on their colour. The application has its spark. */
export function avatar(user, size = "") {
  return el(
    "span",
    { class: `avatar ${size} ${user.bot ? "bot" : ""}`, hue: user.hue, "aria-hidden": "true", "data-initials": user.bot ? "" : user.name.slice(0, 1) },
    user.bot ? sign("spark") : null,
  );
}

/** Replace an element's children. */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.filter(Boolean));
}
