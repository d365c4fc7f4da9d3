// The labels of the store: drawn anew when they have changed, without loading the page; and their editor.
(() => {
  const { call, find } = window.studio;
  let version = null;
  let pending = null;

  // What depends on the labels

  const draw = (answer) => {
    const anew = version !== null && version !== answer.version;
    version = answer.version;
    window.studioKeys = answer.keys;
    window.studioKeyRange = answer.range;
    const style = find("#label-palette") || document.head.appendChild(Object.assign(document.createElement("style"), { id: "label-palette" }));
    style.textContent = answer.css;
    document.querySelectorAll("tr.label-keys").forEach((row) => (row.innerHTML = answer.row));
    drawn = answer;
    drawForm();
    if (anew && find("#labels-changed")) find("#labels-changed").click();
    return anew;
  };
  let drawn = null;
  // Gradio draws the review tab when it is first opened.
  const drawForm = () => {
    const votes = find("#review-vote .wrap");
    if (!votes || !drawn || votes.dataset.labels === String(drawn.version)) return;
    votes.dataset.labels = drawn.version;
    votes.innerHTML = drawn.votes;
    find("#review-more .share-fields").innerHTML = drawn.shares;
  };
  const refresh = () => {
    pending = pending || call("labels").then(draw).finally(() => (pending = null));
    return pending;
  };
  // A clip that came with other labels than those on the page: the ones that wait were drawn with the old ones.
  const seen = async (other) => {
    if (other === undefined || other === version) return;
    const anew = await refresh().catch(() => false);
    if (anew) window.studioReview.relabel();
  };

  // The editor

  const dialog = () => find("#labels-dialog");
  const part = (selector) => dialog().querySelector(selector);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  let editor = null;
  const say = (message) => (part(".status").textContent = message);
  const touched = () => {
    part(".save").disabled = true;
    part(".save").title = "Press Preview first.";
  };
  const colour = (row, name, text) => {
    const input = make("input", { type: "color", className: `colour-${name}`, value: row[name] || "#808080", title: text });
    input.setAttribute("aria-label", text);
    input.dataset.chosen = row[name] ? "yes" : "";
    input.classList.toggle("unchosen", !row[name]);
    input.addEventListener("input", () => {
      input.dataset.chosen = "yes";
      input.classList.remove("unchosen");
    });
    return input;
  };
  const field = (className, text, value, more = {}) => make("label", { className }, text, make("input", { type: "text", value, ...more }));
  const rowOf = (row) => {
    const means = (row.means === undefined ? [row.name] : [row.means]).flat();
    const meanings = editor.emotions.map(([emotion, picture, look]) => {
      const box = make("input", { type: "checkbox", value: emotion, checked: means.includes(emotion) });
      const label = make("label", { className: `meaning ${look}`, title: emotion }, box);
      label.insertAdjacentHTML("beforeend", `${picture}<span>${emotion}</span>`);
      return label;
    });
    const names = Object.entries(row.names || {}).map(([tag, text]) => `${tag}: ${text}`).join(", ");
    const move = (text, title, act) => {
      const button = make("button", { type: "button", className: "small", textContent: text, title });
      button.setAttribute("aria-label", title);
      button.addEventListener("click", () => (act(), touched(), button.isConnected && button.focus()));
      return button;
    };
    const item = make("li", { className: "label-row" });
    item.append(
      make("div", { className: "label-main" },
        field("name", "Name", row.name || "", { maxLength: 30, placeholder: "such as calm" }),
        field("key", "Key", row.key || "", { maxLength: 1, placeholder: "auto" }),
        make("span", { className: "colours" }, make("span", { textContent: "Light" }), make("span", { textContent: "Dark" }), colour(row, "light", "colour on light"), colour(row, "dark", "colour on dark")),
        make("span", { className: "moves" },
          move("↑", "earlier", () => item.previousElementSibling && item.previousElementSibling.before(item)),
          move("↓", "later", () => item.nextElementSibling && item.nextElementSibling.after(item)),
          move("✕", "remove this label", () => item.remove()))),
      make("fieldset", { className: "meanings" }, make("legend", { textContent: "Means" }), ...meanings),
      field("translations", "In other languages", names, { placeholder: "de: ruhig, fr: calme" }));
    return item;
  };
  const translations = (text) =>
    Object.fromEntries(text.split(/[,;]/).map((pair) => pair.split(":").map((side) => side.trim())).filter(([tag, name]) => tag && name));
  const readRow = (item) => {
    const value = (selector) => item.querySelector(`${selector} input`).value.trim();
    const row = { name: value(".name"), means: Array.from(item.querySelectorAll(".meanings input:checked"), (box) => box.value), names: translations(value(".translations")) };
    if (value(".key")) row.key = value(".key");
    ["light", "dark"].forEach((name) => {
      const input = item.querySelector(`.colour-${name}`);
      if (input.dataset.chosen) row[name] = input.value;
    });
    return row;
  };
  const rows = () => Array.from(dialog().querySelectorAll(".label-row"), readRow);
  const drawRows = (labels) => part(".label-rows").replaceChildren(...labels.map(rowOf));
  const drawMoves = (moves) => {
    const others = moves.filter((move) => !move.own);
    const names = rows().map((row) => row.name).filter(Boolean);
    part(".label-moves ul").replaceChildren(...others.map((move) => {
      const implied = move.mapped ? null : move.place;
      const select = make("select", {}, new Option(implied ? `${implied} (by its meaning)` : "not counted", ""));
      select.dataset.given = move.given;
      select.dataset.mapped = move.mapped ? "yes" : "";
      select.append(...names.map((name) => new Option(name, name, false, name === move.mapped)));
      const count = `${move.votes} ${move.votes === 1 ? "vote" : "votes"} for `;
      return make("li", {}, make("label", {}, count, make("strong", { textContent: move.given }), " count as ", select));
    }));
    part(".label-moves").hidden = !others.length;
  };
  const mapping = () =>
    Object.fromEntries(Array.from(dialog().querySelectorAll(".label-moves select")).filter((select) => select.value || select.dataset.mapped).map((select) => [select.dataset.given, select.value]));
  const open = async () => {
    if (!dialog() || dialog().open) return;
    // What stands from the last time must not be taken for what holds now.
    part(".start-from").replaceChildren();
    part(".label-rows").replaceChildren();
    dialog().showModal();
    try {
      editor = await call("edit_labels");
    } catch (error) {
      return say(error.message);
    }
    say("");
    part(".said").textContent = editor.said;
    const group = (label, choices) => choices.length ? [Object.assign(document.createElement("optgroup"), { label })].map((element) => (element.append(...choices), element)) : [];
    part(".start-from").replaceChildren(
      new Option("the labels in force", ""),
      ...group("Sets", editor.templates.map(([name], place) => new Option(name, `t${place}`))),
      ...group("Earlier labels of this store", editor.earlier.map(([name], place) => new Option(name, `e${place}`))));
    drawRows(editor.labels);
    drawMoves(editor.moves);
    touched();
  };
  const start = (choice) => {
    const place = Number(choice.slice(1));
    const kept = choice[0] === "e" ? editor.earlier[place][1].labels : choice ? editor.templates[place][1] : editor.labels;
    drawRows(kept);
    touched();
  };
  const preview = async () => {
    try {
      const answer = await call("preview_labels", { labels: rows(), mapping: mapping() });
      drawRows(answer.labels);
      drawMoves(answer.moves);
      say(answer.said);
      part(".save").disabled = false;
      part(".save").title = "";
    } catch (error) {
      say(error.message);
      touched();
    }
  };
  const save = async (given) => {
    try {
      const answer = await call("change_labels", given);
      if (dialog().open) dialog().close();
      if (find(".label-question")) find(".label-question").remove();
      await seen(answer.version);
      if (window.studioReview.say && find("#review-status")) window.studioReview.say(answer.said);
    } catch (error) {
      if (dialog().open) say(error.message);
      else if (find(".label-question p")) find(".label-question p").textContent = error.message;
    }
  };
  document.addEventListener("click", ({ target }) => {
    if (!target.closest) return;
    if (target.closest(".edit-labels")) return open();
    if (target.closest(".keep-labels")) return save({ default: true, replaces: 0 });
    if (!target.closest("#labels-dialog")) return;
    if (target.matches(".close")) dialog().close();
    if (target.matches(".add-label")) {
      part(".label-rows").append(rowOf({ means: [] }));
      part(".label-rows li:last-child input").focus();
      touched();
    }
    if (target.matches(".preview")) preview();
    if (target.matches(".save")) save({ labels: rows(), mapping: mapping(), replaces: editor.version });
  });
  const changed = ({ target }) => {
    if (!target.closest || !target.closest("#labels-dialog")) return;
    if (target.matches(".start-from")) start(target.value);
    else touched();
  };
  document.addEventListener("input", changed);
  document.addEventListener("change", changed);

  window.studioLabels = { seen, drawForm, refresh };
  // The page may have been built with earlier labels, or this browser prefers another language.
  const first = (tries = 5) => refresh().catch(() => tries && setTimeout(() => first(tries - 1), 1000));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => first());
  else first();
  document.addEventListener("visibilitychange", () => !document.hidden && refresh().catch(() => {}));
})();
