// Light and dark, the skip link, page titles, clickable rows, the queue's buttons and the chart's values under the pointer.
(() => {
  const THEME = "studio-theme";
  const chosen = () => { try { return localStorage.getItem(THEME); } catch { return null; } };
  const address = new URLSearchParams(location.search).get("__theme");

  function applyTheme() {
    const theme = address || chosen();
    if (theme && document.body && document.body.classList.contains("dark") !== (theme === "dark"))
      document.body.classList.toggle("dark", theme === "dark");
    if (document.body) document.documentElement.style.colorScheme = document.body.classList.contains("dark") ? "dark" : "light";
  }

  function whenReady() {
    applyTheme();
    appearAtRest();
    // Gradio sets the class by the system's preference when it starts; the person's own choice comes first
    new MutationObserver(applyTheme).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new MutationObserver(() => {
      const heading = document.querySelector("h1");
      const studio = document.querySelector(".st-brand");
      const title = heading && studio ? `${heading.textContent.trim()} – ${studio.textContent.trim()}` : "";
      if (title && document.title !== title) document.title = title;
      const arrived = document.querySelector("[data-focus]");  // a question, or what came of it: keyboards go on from there
      if (arrived) { arrived.removeAttribute("data-focus"); arrived.focus(); }
      focusAgain();
      dimForecast();
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  }
  // Gradio's components arrive one by one and push each other about: show the page when it has come to rest
  const QUIET = 80, LATEST = 2500;  // ms
  const root = document.documentElement;
  function appearAtRest() {
    root.classList.add("st-arriving");
    const show = () => { rest.disconnect(); root.classList.remove("st-arriving"); };
    let quiet = 0;
    const rest = new MutationObserver(() => {
      if (!document.querySelector("h1")) return;
      clearTimeout(quiet);
      quiet = setTimeout(show, QUIET);
    });
    rest.observe(document.body, { childList: true, subtree: true });
    setTimeout(show, LATEST);
  }

  if (document.body) whenReady(); else document.addEventListener("DOMContentLoaded", whenReady);

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-theme-toggle]")) {
      const theme = document.body.classList.contains("dark") ? "light" : "dark";
      try { localStorage.setItem(THEME, theme); } catch { /* private windows may not keep it */ }
      document.body.classList.toggle("dark", theme === "dark");
      applyTheme();
    }
    if (event.target.closest(".st-skip")) {
      event.preventDefault();  // the page's base address is not its own, so the link itself would lead to another page
      document.getElementById("st-title")?.focus();
    }
    const row = event.target.closest("tr[data-href]");
    if (row && !event.target.closest("a, button") && !String(getSelection())) location.assign(row.dataset.href);
  });

  // what is typed into the list of all methods searches it, and does not go on from the name of the chosen one
  const searched = ({ target }) => { if (target.closest?.("#all-methods")) target.select?.(); };
  document.addEventListener("focusin", searched);
  document.addEventListener("click", searched);

  // a button in HTML that the server sends writes what it asks for into a hidden field, whose change the server hears
  let asked = 0, held = null;  // the row's button that has the focus: the table may be sent anew under it
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ask]");
    const target = button?.dataset.askTarget || "queue-ask";
    const field = button && document.querySelector(`#${target} textarea, #${target} input`);
    if (!field) return;
    field.value = [button.dataset.ask, button.dataset.run, ++asked].filter(Boolean).join(" ");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  document.addEventListener("focusin", ({ target }) => {
    held = target.closest("[data-queued] [data-ask]") ? { ...target.dataset, row: rowNumber(target) } : null;
  });
  document.addEventListener("pointerdown", ({ target }) => { if (!target.closest("[data-ask]")) held = null; });
  const rowNumber = (button) => [...document.querySelectorAll("[data-queued]")].indexOf(button.closest("[data-queued]"));
  function focusAgain() {
    if (!held) return;
    // a table that was made anew leaves the focus nowhere; one that was changed in place leaves it on another run's button
    const { dataset } = document.activeElement || document.body;
    const moved = dataset.run && (dataset.run !== held.run || dataset.ask !== held.ask);
    if (!moved && document.activeElement !== document.body) return;
    const rows = [...document.querySelectorAll("[data-queued]")];
    const row = rows.find((row) => row.dataset.queued === held.run) || rows[Math.min(held.row, rows.length - 1)];
    // the same button; else the answer to its question that changes nothing; else the first one that works
    const ask = held.ask === "cancel-no" ? "cancel" : held.ask;
    const next = [`[data-ask="${ask}"]`, "[data-ask=cancel-no]", "[data-ask]"].map((name) => row?.querySelector(`${name}:enabled`));
    next.find(Boolean)?.focus();
  }

  // the forecast follows the form once that has come to rest; until then, what is shown is dimmed
  const REST = 400;  // ms
  let resting = 0, due = 0, changed = Infinity;  // changed: the answer when a button of it was pressed; keyboards go on from the next
  window.studioForecast = () => {
    due += 1;
    dimForecast();
    clearTimeout(resting);
    resting = setTimeout(() => {
      const field = document.querySelector("#forecast-due textarea, #forecast-due input");
      if (!field) return;
      field.value = String(due);
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }, REST);
  };
  function dimForecast() {
    const part = document.querySelector(".st-forecast");
    if (!part) return;
    const stale = Number(part.dataset.for) < due || due === 0;
    if (part.classList.contains("st-stale") !== stale) part.classList.toggle("st-stale", stale);
    if (stale || Number(part.dataset.for) <= changed) return;
    changed = Infinity;
    if (document.activeElement === document.body) part.querySelector("h3")?.focus();
  }
  document.addEventListener("click", ({ target }) => { if (target.closest("[data-ask-target=forecast-ask]")) changed = due; });

  // a page that comes back from the browser's memory has lost its session
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  document.addEventListener("pointermove", (event) => {
    const chart = event.target.closest?.(".st-chart[data-chart]");
    document.querySelectorAll(".st-tip").forEach((tip) => { if (!chart || !chart.contains(tip)) tip.remove(); });
    if (!chart) return;
    const plot = chart.querySelector(".st-plot").getBoundingClientRect();
    const at = 100 * (event.clientX - plot.left) / plot.width;
    const nearest = JSON.parse(chart.dataset.chart).map(({ title, points }) => ({
      title, point: points.reduce((best, point) => Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best) }));
    const left = nearest.reduce((best, { point }) => Math.abs(point[0] - at) < Math.abs(best - at) ? point[0] : best, Infinity);
    let tip = chart.querySelector(".st-tip");
    if (!tip) {
      tip = document.createElement("div");
      tip.className = "st-tip";
      tip.setAttribute("aria-hidden", "true");
      chart.querySelector(".st-plot").append(tip);
    }
    const lines = nearest.map(({ title, point }) => `${title} ${point[2]} (${chart.dataset.stepWord} ${point[1]})`);
    tip.textContent = lines.join("\n");
    tip.style.left = `${left}%`;
    tip.classList.toggle("st-tip-left", left > 60);
  });
})();
