// The window of the guidelines: one key opens it, Esc closes it, the place one was at stays.
(() => {
  const { call, find } = window.studio;
  const dialog = () => find("#guidelines-dialog");
  const part = (selector) => dialog().querySelector(selector);
  let shown = null;

  const edit = (on) => {
    part(".editor").hidden = !on;
    part(".prose").hidden = on;
    part(".edit").hidden = on || !shown || !shown.editable;
    if (on) part("textarea").focus();
  };
  const show = (answer) => {
    shown = answer;
    part(".prose").innerHTML = answer.html;
    part("#guidelines-title").innerHTML = answer.title;
    part("textarea").value = answer.text;
    part(".versions").replaceChildren(...answer.versions.map(([number, text]) => new Option(text, number, false, number === answer.version)));
    edit(false);
  };
  const tell = (message) => (part(".editor .status").textContent = message);
  const open = async () => {
    if (!dialog() || dialog().open) return;
    const audio = window.studioReview.audio();
    if (audio) audio.pause();
    dialog().showModal();
    try {
      show(await call("guidelines"));
    } catch (error) {
      part(".prose").textContent = error.message;
    }
  };
  const save = async () => {
    try {
      show(await call("write_guidelines", { text: part("textarea").value, replaces: newest() }));
      tell("");
    } catch (error) {
      tell(error.message);
    }
  };
  const newest = () => Math.max(...shown.versions.map(([number]) => number));
  // Discarding is left to the person: what stands in the editor is kept until it is saved or cancelled.
  document.addEventListener("click", ({ target }) => {
    if (!target.closest) return;
    if (target.closest("#guidelines-button, .open-guidelines")) open();
    if (!target.closest("#guidelines-dialog")) return;
    if (target.matches(".close")) dialog().close();
    if (target.matches(".edit")) edit(true);
    if (target.matches(".cancel")) show(shown);
    if (target.matches(".save")) save();
  });
  document.addEventListener("change", async ({ target }) => {
    if (!target.matches(".versions")) return;
    part("textarea").value = (await call("guidelines", { version: Number(target.value) })).text;
  });
  window.studioGuidelines = { open };
})();
