// Refreshes the dashboard, and asks before an action deletes.
(() => {
  "use strict";

  function refreshing(element) {
    let failures = 0;
    async function again() {
      if (!document.hidden) {
        try {
          const answer = await fetch(element.dataset.refresh, { headers: { "X-Requested-With": "fetch" }, redirect: "error" });
          if (!answer.ok) throw new Error(String(answer.status));
          const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
          element.innerHTML = await answer.text();
          window.sparkleTimes?.(element);
          if (focused) element.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
          failures = 0;
        } catch {
          // Signed out, or permissions have to be checked again: reloading the page does both.
          if (++failures === 3) location.reload();
        }
      }
      setTimeout(again, 1000 * Number(element.dataset.every));
    }
    setTimeout(again, 1000 * Number(element.dataset.every));
  }

  document.addEventListener("DOMContentLoaded", () => {
    const dashboard = document.getElementById("sp-dashboard");
    if (dashboard) refreshing(dashboard);

    document.addEventListener("submit", (event) => {
      const chosen = event.target.querySelector?.('select[name="action"]');
      if (chosen?.value && /delete|refund|cancel|hide/.test(chosen.value)) {
        const rows = event.target.querySelectorAll("input.action-select:checked").length;
        if (!confirm(`${chosen.selectedOptions[0].textContent.trim()}: ${rows} selected. Continue?`)) event.preventDefault();
      }
      const question = event.target.dataset?.confirm;
      if (question && !confirm(question)) event.preventDefault();
    }, true);
  });
})();
