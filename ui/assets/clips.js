// The clips tab: asks the server for what the address says, keeps what is selected, and lets acts be confirmed.
(() => {
  const { call, find, visible } = window.studio;
  const OTHERS = ["tab", "clip", "version", "order", "page"]; // Parts of an address that are no filter.
  const state = { filters: {}, order: "", page: 1, ids: [], total: 0, pages: 1, chosen: new Set(), all: false, turn: 0, last: null, fields: null };

  const trouble = (message) => (find("#clips-trouble").textContent = message || "");
  const address = () => ({ tab: "clips", ...state.filters, order: state.order, page: state.page > 1 ? state.page : "" });
  const clip = () => window.studioAddress.read().clip;
  const go = (changes, replace = false) => {
    Object.assign(state, changes);
    window.studioAddress.go({ ...address(), clip: clip() }, replace);
  };
  const filter = (name, value, replace = false) => {
    const filters = { ...state.filters, [name]: value };
    if (!value) delete filters[name];
    go({ filters, page: 1 }, replace);
  };

  // The table

  const draw = (answer) => {
    Object.assign(state, { ids: answer.ids, total: answer.total, page: answer.page, pages: answer.pages, last: null });
    find("#clips-table").innerHTML = answer.html;
    find("#clips-chips").innerHTML = answer.chips;
    const pages = find(".clips-pages");
    pages.hidden = !answer.total;
    pages.querySelector(".where").textContent = answer.said;
    pages.querySelector(".of").textContent = `of ${answer.pages}`;
    find("#clips-page").value = answer.page;
    find("#clips-page").max = answer.pages;
    const ends = { first: answer.page <= 1, back: answer.page <= 1, on: answer.page >= answer.pages, last: answer.page >= answer.pages };
    Object.entries(ends).forEach(([name, end]) => (pages.querySelector(`[data-go=${name}]`).disabled = end));
    const order = find("#clips-order");
    if (!Array.from(order.options).some((one) => one.value === answer.order)) order.append(new Option(answer.order, answer.order));
    order.value = answer.order;
    window.studioDrawer.steps();
    drawChosen();
  };
  const load = async () => {
    const turn = (state.turn += 1);
    find("#clips-table").classList.add("waiting-clip");
    try {
      const answer = await call("clips", { filters: state.filters, order: state.order, page: state.page });
      if (turn !== state.turn) return;
      trouble("");
      draw(answer);
    } catch (error) {
      if (turn === state.turn) trouble(error.message);
    } finally {
      if (turn === state.turn) find("#clips-table").classList.remove("waiting-clip");
    }
  };
  const key = (given) => JSON.stringify([given.filters, given.order, given.page]);
  let shown = null;
  const show = async (given, again = false) => {
    const shell = find("#clips-shell");
    if (!shell) return setTimeout(() => show(window.studioAddress.read(), again), 100);
    const filters = Object.fromEntries(Object.entries(given).filter(([name]) => !OTHERS.includes(name) && !name.startsWith("__") && name !== "view"));
    const next = { filters, order: given.order || "", page: Number(given.page) || 1 };
    const other = shown && shown.shell === shell && JSON.stringify(filters) === JSON.stringify(state.filters);
    if (!other) Object.assign(state, { chosen: new Set(), all: false });
    Object.assign(state, next);
    if (!again && shown && shown.shell === shell && shown.key === key(next)) return;
    const first = !shown || shown.shell !== shell;
    shown = { shell, key: key(next) };
    const text = find("#clips-text");
    if (document.activeElement !== text) text.value = filters.text || "";
    drawScope();
    if (first) await offer();
    fillFields();
    await load();
  };
  const refresh = () => (shown ? show(address(), true) : Promise.resolve());

  // Filters and orders that the server offers

  const offer = async () => {
    try {
      state.fields = await call("clips_fields");
    } catch (error) {
      return trouble(error.message);
    }
    const { fields, orders, acts, reviews } = state.fields;
    for (const part of [".clips-scope", ".clips-search", ".order", "#clips-filters"]) find(`#clips-shell ${part}`).hidden = !reviews;
    find("#clips-order").replaceChildren(...orders.map(([value, text]) => new Option(text, value)));
    find(".clips-acts .buttons").innerHTML = acts;
    const clear = Object.assign(document.createElement("button"), { type: "button", className: "clips-clear", textContent: "Clear filters" });
    find("#clips-filters .filter-fields").replaceChildren(...fields.map(fieldOf), clear);
  };
  const fieldOf = ({ name, text, choices, kind }) => {
    const label = document.createElement("label");
    label.textContent = text;
    const field = document.createElement(choices ? "select" : "input");
    field.name = name;
    if (choices) field.append(new Option("any", ""), ...choices.map(([value, words]) => new Option(words, value)));
    else Object.assign(field, { type: kind, ...(kind === "number" ? { min: 0, step: "any" } : {}) });
    label.append(field);
    return label;
  };
  const fillFields = () =>
    document.querySelectorAll("#clips-filters [name]").forEach((field) => (field.value = state.filters[field.name] || ""));
  const drawScope = () => {
    const now = state.filters.mine ? (state.filters.voted === "unsure" ? "unsure" : "mine") : "";
    document.querySelectorAll(".clips-scope button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.scope === now)));
  };
  const scope = (name) => {
    const { mine, voted, ...rest } = state.filters;
    const kept = voted === "unsure" && mine ? rest : { ...rest, ...(voted ? { voted } : {}) };
    const filters = { "": kept, mine: { ...kept, mine: "yes" }, unsure: { ...rest, mine: "yes", voted: "unsure" } }[name];
    go({ filters, page: 1, order: name ? "-voted" : "" });
  };

  // Selection

  const boxes = () => Array.from(document.querySelectorAll("#clips-table td.pick input"));
  const drawChosen = () => {
    boxes().forEach((box) => {
      box.checked = state.all || state.chosen.has(Number(box.value));
      box.closest("tr").classList.toggle("picked", box.checked);
    });
    const page = find("#clips-table .pick-page");
    if (page) page.checked = boxes().length > 0 && boxes().every((box) => box.checked);
    const count = state.all ? state.total : state.chosen.size;
    find(".clips-acts").hidden = !count;
    find(".clips-acts .chosen").textContent = `${count.toLocaleString("en")} selected`;
    const all = find(".clips-acts .choose-all");
    all.hidden = state.all || count >= state.total;
    all.textContent = `Select all ${state.total.toLocaleString("en")} that match`;
  };
  const pick = (box, shift) => {
    const list = boxes();
    const place = list.indexOf(box);
    if (state.all) {
      // From here on single clips count again: those of this page, without the one that was taken out.
      state.all = false;
      state.chosen = new Set(state.ids);
    }
    const from = shift && state.last !== null ? Math.min(state.last, place) : place;
    const to = shift && state.last !== null ? Math.max(state.last, place) : place;
    list.slice(from, to + 1).forEach((one) => state.chosen[box.checked ? "add" : "delete"](Number(one.value)));
    state.last = place;
    drawChosen();
  };

  // Acts: a question with what would be lost, one confirmation, progress, outcome

  const dialog = () => find("#clips-ask");
  let asked = null;
  const ask = async (act, from) => {
    const inDrawer = from.closest("#clip-drawer");
    const card = from.closest(".act-card");
    const place = card ? card.querySelector(".outcome") : inDrawer ? find("#clip-status") : find("#clips-job");
    const clips = from.dataset.all ? { all: true, filters: {} } : inDrawer ? { clips: [Number(clip())] } : state.all ? { all: true, filters: state.filters } : { clips: [...state.chosen] };
    try {
      const answer = await call("clips_ask", { act, ...clips }, 120000);
      asked = { token: answer.token, act, place, inDrawer: Boolean(inDrawer) };
      dialog().querySelector("h2").textContent = answer.title;
      dialog().querySelector(".ask-body").innerHTML = answer.body;
      dialog().querySelector("[role=alert]").textContent = "";
      const confirm = dialog().querySelector(".confirm");
      confirm.textContent = answer.confirm;
      confirm.classList.toggle("danger", answer.danger);
      dialog().showModal();
      const field = dialog().querySelector(".ask-body input, .ask-body select");
      (field || dialog().querySelector(".cancel")).focus();
    } catch (error) {
      if (inDrawer || card) place.textContent = error.message;
      else trouble(error.message);
    }
  };
  const values = () => {
    const found = {};
    dialog().querySelectorAll("[name]").forEach((field) => {
      if (field.type !== "checkbox") found[field.name] = field.value;
      else found[field.name] = [...(found[field.name] || []), ...(field.checked ? [field.value] : [])];
    });
    return found;
  };
  const confirm = async () => {
    const { token, act, place, inDrawer } = asked;
    try {
      const { job } = await call("clips_do", { token, values: values() });
      dialog().close();
      if ((await follow(job, place)) === "done") await settle(act, inDrawer);
    } catch (error) {
      dialog().querySelector("[role=alert]").textContent = error.message;
    }
  };
  const root = () => ((window.gradio_config || {}).root || "").replace(/\/$/, "");
  // Shows the progress of an act until it is over; returns how it ended.
  const follow = async (number, place) => {
    for (;;) {
      let job;
      try {
        job = await call("clips_job", { job: number });
      } catch (error) {
        if (!error.answered) {
          await new Promise((resolve) => setTimeout(resolve, 1500));
          continue;
        }
        job = { state: "failed", message: error.message, lines: [] };
      }
      if (job.state !== "running") {
        outcome(place, job);
        return job.state;
      }
      working(place, job, number);
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
  };
  const working = (place, job, number) => {
    const said = job.total ? `Working: ${job.done} of ${job.total} … ` : "Working … ";
    const shown = place.querySelector(`[data-job="${number}"]`);
    if (shown && job.total) {
      // The button stays: who presses it, or has it in focus, must not lose it.
      shown.firstChild.data = said;
      Object.assign(shown.querySelector("progress"), { max: job.total, value: job.done });
      return;
    }
    const line = Object.assign(document.createElement("p"), { className: "status", textContent: said });
    if (job.total) {
      line.dataset.job = number;
      const stop = Object.assign(document.createElement("button"), { type: "button", textContent: "Stop" });
      stop.addEventListener("click", () => {
        stop.disabled = true;
        call("clips_stop", { job: number }).catch(() => (stop.disabled = false));
      });
      line.append(Object.assign(document.createElement("progress"), { max: job.total, value: job.done }), " ", stop);
    }
    place.replaceChildren(line);
  };
  const outcome = (place, job) => {
    if (job.html) {
      place.innerHTML = job.html;
      return;
    }
    const line = document.createElement("p");
    line.className = `status ${job.state === "done" ? "good" : "gentle"}`;
    line.textContent = job.message;
    const list = document.createElement("ul");
    list.className = "notes";
    list.append(...job.lines.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    place.replaceChildren(line, ...(job.lines.length ? [list] : []));
    if (!job.file) return;
    const anchor = Object.assign(document.createElement("a"), { href: `${root()}/studio/download/${job.file}`, className: "file", textContent: "Download" });
    anchor.download = "";
    line.append(" ", anchor);
    anchor.click();
  };
  const settle = async (act, inDrawer) => {
    if (["erase", "withdraw"].includes(act)) {
      Object.assign(state, { chosen: new Set(), all: false });
      if (inDrawer) {
        if (find("#clips-job")) find("#clips-job").replaceChildren(...find("#clip-status").childNodes);
        window.studioAddress.go({ ...window.studioAddress.read(), clip: "" });
      }
    } else if (inDrawer && act !== "export") await window.studioDrawer.refresh();
    await refresh();
  };

  document.addEventListener("click", (event) => {
    const target = event.target;
    if (!target.closest) return;
    const act = target.closest(".act[data-act]");
    if (act) return void ask(act.dataset.act, act);
    if (target.closest("#clips-ask")) {
      if (target.matches(".confirm")) confirm();
      if (target.matches(".cancel")) dialog().close();
      return;
    }
    const filters = find("#clips-filters");
    if (filters && filters.open && !target.closest("#clips-filters")) filters.open = false;
    if (!target.closest("#clips-shell")) return;
    const sort = target.closest(".sort");
    const chip = target.closest(".chip");
    const page = { first: 1, back: state.page - 1, on: state.page + 1, last: state.pages }[target.dataset.go];
    if (sort) {
      const name = sort.dataset.order;
      const number = ["stored", "votes", "duration"].includes(name);
      const order = state.order === `-${name}` || (!state.order && name === "stored") ? name : state.order === name ? `-${name}` : `${number ? "-" : ""}${name}`;
      go({ order, page: 1 });
    } else if (chip) filter(chip.dataset.filter, "");
    else if (target.closest(".clips-clear")) go({ filters: {}, page: 1 });
    else if (target.closest("[data-scope]")) scope(target.closest("[data-scope]").dataset.scope);
    else if (page) go({ page });
    else if (target.matches(".choose-all")) {
      state.all = true;
      drawChosen();
    } else if (target.matches(".choose-none")) {
      Object.assign(state, { chosen: new Set(), all: false });
      drawChosen();
    } else if (target.matches("td.pick input")) pick(target, event.shiftKey);
    else if (target.matches(".pick-page")) {
      boxes().forEach((box) => state.chosen[target.checked ? "add" : "delete"](Number(box.value)));
      if (!target.checked) state.all = false;
      drawChosen();
    } else if (target.closest("tbody tr") && !target.closest("a, button, label, .pick")) {
      if (getSelection().isCollapsed) window.studioAddress.go({ ...window.studioAddress.read(), clip: target.closest("tr").dataset.clip });
    }
  });
  let typing = null;
  document.addEventListener("input", ({ target }) => {
    if (target.id !== "clips-text") return;
    clearTimeout(typing);
    typing = setTimeout(() => filter("text", target.value.trim(), true), 250);
  });
  document.addEventListener("change", ({ target }) => {
    if (target.id === "clips-order") go({ order: target.value, page: 1 });
    else if (target.id === "clips-page") go({ page: Math.max(1, Number(target.value) || 1) });
    else if (target.closest("#clips-filters")) filter(target.name, target.value.trim());
  });
  document.addEventListener("keydown", (event) => {
    const filters = find("#clips-filters[open]");
    if (event.key === "Escape" && filters && visible(filters)) {
      filters.open = false;
      filters.querySelector("summary").focus();
    }
  });
  window.studioClips = { show, refresh, follow, address, ids: () => state.ids };
})();
