// Requests to the simulator. Addresses are relative to the page.

const token = () => document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? "";

export class Unreachable extends Error {}

async function reach(address, options) {
  let answer;
  try {
    answer = await fetch(new URL(address, document.baseURI), options);
  } catch {
    throw new Unreachable("The simulator isn't responding. Is ./dev demo still running?");
  }
  if (!answer.ok && answer.status !== 304) throw new Unreachable(`The simulator returned status ${answer.status}.`);
  return answer;
}

/** GET and parse JSON. */
export async function get(address) {
  return (await reach(address)).json();
}

let etag = "";
let last = "";

/** GET, or null while nothing has changed since the last time for the same address. */
export async function getChanged(address) {
  const headers = address === last && etag ? { "If-None-Match": etag } : {};
  const answer = await reach(address, { headers, cache: "no-store" });
  if (answer.status === 304) return null;
  etag = answer.headers.get("ETag") ?? "";
  last = address;
  return answer.json();
}

/** POST JSON, with files under their own names; returns the JSON that came back. */
export async function post(address, body, files = {}) {
  const headers = { "X-CSRFToken": token() };
  const named = Object.entries(files);
  if (!named.length) {
    headers["Content-Type"] = "application/json";
    return (await reach(address, { method: "POST", headers, body: JSON.stringify(body) })).json();
  }
  const form = new FormData();
  form.set("json", JSON.stringify(body));
  for (const [name, file] of named) form.set(name, file);
  return (await reach(address, { method: "POST", headers, body: form })).json();
}
