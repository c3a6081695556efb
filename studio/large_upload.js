// Large files go in pieces, by the tus protocol: after a break they go on where they stopped, after a reload too. This takes them
// before Gradio's own field does; smaller ones are left to it.
(() => {
  const KEPT = "studio-uploads", DAY = 86_400_000, LONGEST_WAIT = 10_000;  // ms
  const MAY_PASS = [0, 404, 408, 409, 423, 429, 502, 503, 504];  // 0: no connection
  let current = null;  // what is being sent

  // When the studio was gone while the page had asked it something, Gradio asks for its app_id until it answers, then loads the page
  // anew. That would end what is being sent, so it waits; what has come whole by then is kept by the new page.
  const plainFetch = window.fetch;
  window.fetch = (...asked) =>
    current && !current.sent && new URL(asked[0].url ?? asked[0], location).pathname.endsWith("/app_id")
      ? Promise.reject(new TypeError("a file is being sent"))
      : plainFetch(...asked);

  const place = () => document.querySelector("#large-upload [data-large]");
  const part = (name) => place().querySelector(`[data-${name}]`);
  const pause = (time) => new Promise((done) => setTimeout(done, time));
  const words = (name, values = {}) =>
    JSON.parse(place().dataset.words)[name].replace(/\{(\w+)\}/g, (whole, value) => values[value] ?? whole);
  const inUnits = (bytes) => {
    const power = Math.min(4, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
    return `${(bytes / 1000 ** power).toFixed(power ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
  };

  // ---- what is remembered of uploads that were begun: by the file's name, size and date
  const fingerprint = (file) => `${file.name}:${file.size}:${file.lastModified}`;
  function begun() {
    try {
      const all = Object.entries(JSON.parse(localStorage.getItem(KEPT) || "{}"));
      return Object.fromEntries(all.filter(([, upload]) => Date.now() - upload.at < DAY));
    } catch { return {}; }  // private windows may not keep anything
  }
  function remember(key, upload) {
    const all = begun();
    if (upload) all[key] = upload; else delete all[key];
    try { localStorage.setItem(KEPT, JSON.stringify(all)); } catch { /* then it cannot go on after a reload */ }
  }

  // ---- requests
  function ask(method, address, headers = {}, body = null, onProgress = null) {
    return new Promise((answered, failed) => {
      const request = new XMLHttpRequest();
      if (current) current.request = request;
      request.open(method, address);
      for (const [name, value] of Object.entries({ "Tus-Resumable": "1.0.0", ...headers })) request.setRequestHeader(name, value);
      const fail = () => failed(Object.assign(new Error(request.responseText), { status: request.status }));
      request.onload = () => request.status < 300 ? answered(request) : fail();
      request.onerror = request.onabort = fail;
      if (onProgress) request.upload.onprogress = (event) => onProgress(event.loaded);
      request.send(body);
    });
  }
  const offsetOf = (answer) => Number(answer.getResponseHeader("Upload-Offset"));

  async function begin(file) {
    const together = current.files.map(fingerprint);
    const name = btoa(String.fromCharCode(...new TextEncoder().encode(file.name)));
    const answer = await ask("POST", "/uploads", { "Upload-Length": file.size, "Upload-Metadata": `filename ${name}` });
    const address = answer.getResponseHeader("Location");
    remember(fingerprint(file), { address, name: file.name, size: file.size, at: Date.now(), together });
    return address;
  }

  async function send(file, before) {
    const key = fingerprint(file), size = Number(place().dataset.piece);
    for (let wait = 500; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        const known = begun()[key];
        const address = known ? known.address : await begin(file);
        let offset = known ? offsetOf(await ask("HEAD", address)) : 0;
        show(before + offset);
        while (offset < file.size) {
          const headers = { "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
          const piece = file.slice(offset, offset + size), from = before + offset;
          offset = offsetOf(await ask("PATCH", address, headers, piece, (sent) => show(from + sent)));
          if (begun()[key]) remember(key, { ...begun()[key], at: Date.now() });
          if (part("said").textContent) say("");
          wait = 500;
        }
        return address;
      } catch (problem) {
        if (current.cancelled || !MAY_PASS.includes(problem.status)) throw problem;
        if (problem.status === 404) remember(key, null);  // it was removed: begin anew
        await file.slice(0, 1).arrayBuffer().catch(() => { throw new Error(words("unreadable", { name: file.name })); });
        say(words("waiting"));
        await pause(wait);
        if (current.cancelled) throw problem;
      }
    }
  }

  // ---- what is shown
  function appear(name, total, button) {
    place().hidden = false;
    part("panel").hidden = !total;
    part("problem").hidden = true;
    part("name").textContent = name;
    part("cancel").textContent = button;
    part("cancel").hidden = !button;
    say("");
  }
  function show(done) {
    const percent = current.total ? Math.floor(100 * done / current.total) : 100;
    part("amount").textContent = words("amount", { percent, done: inUnits(done), total: inUnits(current.total) });
    part("bar").setAttribute("aria-valuenow", percent);
    part("bar").firstElementChild.style.width = `${percent}%`;
  }
  function say(text) { part("said").textContent = text; }
  function complain(text) {
    part("panel").hidden = part("cancel").hidden = part("problem").hidden = true;
    say("");
    part("problem").textContent = text;
    part("problem").hidden = false;
  }

  // ---- from files to data
  async function sendAll(files) {
    current = { files, total: files.reduce((sum, file) => sum + file.size, 0), cancelled: false };
    appear(files.map((file) => file.name).join(", "), true, words("cancel"));
    try {
      const addresses = [];
      let before = 0;
      for (const file of files) {
        addresses.push(await send(file, before));
        before += file.size;
      }
      await keep(addresses, files.map(fingerprint));
    } catch (problem) {
      if (current.cancelled) await discard(files.map(fingerprint));
      else complain(problem.message || words("failed", { status: problem.status }));
    } finally {
      current = null;
    }
  }

  async function keep(addresses, keys) {
    current.sent = true;
    part("cancel").hidden = true;
    say(words("reading"));
    const kept = await tellThePage(addresses);
    keys.forEach((key) => remember(key, kept ? null : { ...begun()[key], refused: true }));
    place().hidden = true;
  }

  let asked = 0;
  async function tellThePage(addresses) {
    let field;
    while (!(field = document.querySelector("#upload-ask textarea, #upload-ask input"))) await pause(200);  // the page is still arriving
    const text = ["uploaded", ...addresses.map((address) => address.split("/").pop()), ++asked].join(" ");
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    while (field.value === text) await pause(200);  // the page writes there once it has kept the data, or could not
    return field.value === "";
  }

  async function discard(keys) {
    for (const key of keys) {
      const upload = begun()[key];
      remember(key, null);
      if (upload) await ask("DELETE", upload.address).catch(() => {});  // else the studio removes it after a day
    }
    appear("", false, "");
    say(words("cancelled"));
  }

  function take(files) {
    if (!place() || !files.some((file) => file.size > Number(place().dataset.threshold))) return false;
    if (current) say(words("busy")); else sendAll(files);
    return true;
  }

  document.addEventListener("change", (event) => {
    const input = event.target;
    if (!input.matches?.("#upload input[type=file]") || !take([...input.files])) return;
    event.stopImmediatePropagation();
    input.value = "";  // so that the same file can be chosen again
  }, true);
  document.addEventListener("drop", (event) => {
    if (!event.target.closest?.("#upload") || !take([...event.dataTransfer.files])) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true }));  // the field no longer looks as if one were above it
  }, true);
  document.addEventListener("click", async (event) => {
    if (!event.target.closest("#large-upload [data-cancel]")) return;
    if (current) {
      current.cancelled = true;
      current.request?.abort();
    } else {
      await discard(Object.keys(begun()));
    }
    document.querySelector("#upload button")?.focus();
  });

  // what came whole before a reload is kept now; the rest can go on once the same file is chosen again: only the person can give it
  // to the page
  async function takeUpInterrupted() {
    const told = [], whole = new Set();
    for (const [key, upload] of Object.entries(begun())) {
      const offset = await ask("HEAD", upload.address).then(offsetOf, (problem) => {
        if (problem.status === 404) remember(key, null);
        return 0;
      });
      if (offset === upload.size && !upload.refused) whole.add(key);
      if (offset) told.push(words("stopped", { name: upload.name, percent: Math.floor(100 * offset / Math.max(upload.size, 1)) }));
    }
    if (!told.length || current) return;
    const all = begun(), keys = [...whole].map((key) => all[key].together ?? [key]).find((keys) => keys.every((key) => whole.has(key)));
    if (keys) {
      current = { total: keys.reduce((sum, key) => sum + all[key].size, 0) };
      appear(keys.map((key) => all[key].name).join(", "), true, "");
      show(current.total);
      await keep(keys.map((key) => all[key].address), keys);
      current = null;
    } else {
      appear("", false, words("discard"));
      say(told.join(" "));
    }
  }
  function whenThere() {
    if (place()) { if (Object.keys(begun()).length) takeUpInterrupted(); } else setTimeout(whenThere, 300);
  }
  if (location.pathname === "/") whenThere();
})();
