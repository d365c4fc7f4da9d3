// One key, one act. Keys rest while a person types, while a window is open, and for tabs that are not in front.
(() => {
  const find = (selector) => document.querySelector(selector);
  const visible = (element) => element && element.offsetParent !== null;
  const click = (selector) => {
    const element = find(selector);
    if (visible(element) && !element.disabled) element.click();
  };
  const quiet = "input[type=radio], input[type=checkbox], input[type=range]";
  const typing = (target) =>
    target.isContentEditable || (target.matches("input, textarea, select") && !target.matches(quiet));
  const dialog = () => find("#keys-dialog");
  const vote = (tab, index) => {
    const inputs = document.querySelectorAll(`#${tab}-vote input`);
    if (inputs[index]) inputs[index].click();
  };
  const transcript = (tab) => {
    const field = find(`#${tab}-transcript textarea, #${tab}-transcript input`);
    if (!field) return;
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  };
  const audio = () => find("#review-card audio");

  const common = (tab) => ({
    u: () => vote(tab, 7),
    e: () => transcript(tab),
  });
  const acts = {
    recognize: {
      ...common("recognize"),
      enter: () => click("#save"),
      " ": () => click("#recognize-audio button[aria-label=Play], #recognize-audio button[aria-label=Pause]"),
    },
    review: {
      ...common("review"),
      enter: () => click("#review-save"),
      s: () => click("#review-skip"),
      z: () => click("#review-undo"),
      b: () => click("#review-blind input"),
      " ": () => audio() && window.studioPlayer.toggle(audio()),
      arrowleft: () => audio() && window.studioPlayer.seek(audio(), -1),
      arrowright: () => audio() && window.studioPlayer.seek(audio(), 1),
    },
  };

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !target.matches) return;
    if (event.key === "Escape" && typing(target)) target.blur();
    if (typing(target) || (dialog() && dialog().open)) return;
    if (event.key === "?") {
      event.preventDefault();
      if (dialog()) dialog().showModal();
      return;
    }
    const tab = Object.keys(acts).find((name) => visible(find(`#${name}-vote`)));
    if (!tab || (event.repeat && !event.key.startsWith("Arrow"))) return;
    const key = event.key.toLowerCase();
    // Enter and Space belong to a button that has the focus; arrows to tabs and sliders. A ticked radio has no use for Space.
    const isTab = target.matches("[role=tab]");
    if ((key === "enter" || key === " ") && target.matches("button, a, summary") && !isTab) return;
    if (key === " " && target.matches("input[type=checkbox], input[type=radio]:not(:checked)")) return;
    if (key.startsWith("arrow") && (isTab || target.matches("input[type=range], input[type=radio]:not(#review-vote input)"))) return;
    const act = /^[1-7]$/.test(key) ? () => vote(tab, Number(key) - 1) : acts[tab][key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }, true); // On the way down: Gradio's checkboxes would otherwise flip at Enter.
  document.addEventListener("click", (event) => {
    if (event.target.closest && event.target.closest("#keys-button")) dialog().showModal();
    if (event.target === dialog()) dialog().close();
  });

  // Gradio draws these elements, when a tab is first opened: from here they are told that changes are to be read out.
  new MutationObserver(() => {
    document.querySelectorAll(".announcer:not([aria-live])").forEach((element) => {
      element.setAttribute("aria-live", "polite");
      element.setAttribute("aria-atomic", "true");
    });
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
