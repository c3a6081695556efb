// Light and dark, the skip link, page titles, clickable rows and the chart's values under the pointer.
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
