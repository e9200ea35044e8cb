// Shows times in the reader's time zone. The title names the zone, and keeps UTC. Forms read the zone from the cookie.
(() => {
  "use strict";
  const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const long = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const seconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `tz=${zone}; path=/; max-age=31536000; SameSite=Lax`;

  function localise(root) {
    for (const element of root.querySelectorAll("time[data-local]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const thisYear = at.getFullYear() === new Date().getFullYear();
      const format = element.dataset.local === "seconds" ? seconds : thisYear ? short : long;
      element.textContent = format.format(at);
      element.title = element.title ? `${full.format(at)} · ${element.title}` : full.format(at);
      element.removeAttribute("data-local");
    }
  }

  window.sparkleTimes = localise;
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => localise(document));
  else localise(document);
})();
