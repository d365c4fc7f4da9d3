// The versions of the training tab: each button stands in its row; what it lacks is asked for in a small window.
(() => {
  const { call, find } = window.studio;
  const FIELDS = {
    reason: ["The comparison rejected this version. Why is it to be used?", "Use it"],
    against: ["Compare with", "Compare"],
    repository: ["Repository, ORG/NAME", "Publish"],
  };
  const dialog = () => find("#version-ask");
  const detail = () => find("#version-detail");
  let asked = null;

  const act = async (name, given) => {
    detail().innerHTML = '<p class="quiet">Working …</p>';
    try {
      const { html, job } = await call(`version_${name}`, given, 300000);
      if (job) await window.studioClips.follow(job, detail());
      else detail().innerHTML = html;
    } catch (error) {
      const line = Object.assign(document.createElement("p"), { className: "status gentle", textContent: error.message });
      line.setAttribute("role", "alert");
      detail().replaceChildren(line);
    }
    detail().scrollIntoView({ block: "nearest" });
    if (!["compare", "card"].includes(name)) find("#train-look").click();
  };
  const ask = (button) => {
    const kind = button.dataset.asks;
    asked = { button, kind };
    const [words, confirm] = FIELDS[kind];
    dialog().querySelector("h2").textContent = `${button.textContent} ${button.closest("tr").dataset.version}`;
    const label = dialog().querySelector(".ask-field");
    const field = document.createElement(kind === "against" ? "select" : "input");
    field.name = kind;
    if (kind === "against") field.append(...JSON.parse(button.dataset.options).map(([id, name]) => new Option(name, id)));
    label.replaceChildren(words, field);
    dialog().querySelector(".confirm").textContent = confirm;
    dialog().showModal();
    field.focus();
  };
  const confirm = () => {
    const field = dialog().querySelector(".ask-field [name]");
    const value = asked.kind === "against" ? Number(field.value) : field.value;
    dialog().close();
    act(asked.button.dataset.versionAct, { version: Number(asked.button.dataset.id), [asked.kind]: value });
  };
  document.addEventListener("click", ({ target }) => {
    if (!target.closest) return;
    const button = target.closest("[data-version-act]");
    if (button && button.dataset.asks) ask(button);
    else if (button && button.dataset.versionAct === "pull") act("pull", { repository: find(".hub input").value });
    else if (button) act(button.dataset.versionAct, { version: Number(button.dataset.id) });
    if (target.closest("#version-ask .confirm")) confirm();
    if (target.closest("#version-ask .cancel")) dialog().close();
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.closest("#version-ask")) return;
    event.preventDefault();
    confirm();
  });
})();
