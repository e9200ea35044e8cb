// Refreshes the dashboard, and asks before an action deletes.
(() => {
  "use strict";

  const PAUSED = "sparklePaused";
  const paused = () => localStorage.getItem(PAUSED) === "1";

  function pausing(button) {
    const show = () => button.setAttribute("aria-pressed", String(paused()));
    button.addEventListener("click", () => {
      localStorage.setItem(PAUSED, paused() ? "0" : "1");
      show();
    });
    show();
  }

  /** Only one bar of a chart is a tab stop; the arrow keys move from bar to bar. */
  function moveTo(bar) {
    if (!bar) return;
    bar.parentElement.querySelectorAll(".sp-chart__bar").forEach((other) => { other.tabIndex = other === bar ? 0 : -1; });
    bar.focus();
  }

  function refreshing(element) {
    let failures = 0;
    async function again() {
      if (!document.hidden && !paused()) {
        try {
          const answer = await fetch(element.dataset.refresh, { headers: { "X-Requested-With": "fetch" }, redirect: "error" });
          if (!answer.ok) throw new Error(String(answer.status));
          const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
          const bar = [...element.querySelectorAll(".sp-chart__bar")].indexOf(document.activeElement);
          element.innerHTML = await answer.text();
          window.sparkleTimes?.(element);
          if (focused) element.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
          if (bar >= 0) moveTo(element.querySelectorAll(".sp-chart__bar")[bar]);
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
    const pause = document.getElementById("sp-pause");
    if (pause) pausing(pause);
    document.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || !event.target.matches?.(".sp-chart__bar")) return;
      const bars = [...event.target.parentElement.querySelectorAll(".sp-chart__bar")];
      moveTo(bars[bars.indexOf(event.target) + step]);
    });

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
