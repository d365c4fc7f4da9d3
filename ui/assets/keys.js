// One key, one act. Keys rest while a person types, while a window is open, and for tabs that are not in front.
(() => {
  const { find, visible } = window.studio;
  const SEEK = 2; // Seconds that an arrow goes.
  const click = (selector) => {
    const element = find(selector);
    if (visible(element) && !element.disabled) element.click();
  };
  const quiet = "input[type=radio], input[type=checkbox], input[type=range]";
  const typing = (target) =>
    target.isContentEditable || (target.matches("input, textarea, select") && !target.matches(quiet));
  const dialog = () => find("dialog[open]");
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
  const review = () => window.studioReview;
  const withAudio = (act) => () => review().audio() && act(review().audio());
  const acts = {
    recognize: {
      e: () => transcript("recognize"),
      enter: () => click("#save"),
      " ": () => click("#recognize-audio button:is([aria-label=Play], [aria-label=Pause], [data-said=Play], [data-said=Pause])"),
    },
    review: {
      e: () => transcript("review"),
      d: () => window.studioForm.more(),
      enter: () => {
        review().pressed();
        review().save();
      },
      s: () => {
        review().pressed();
        review().skip();
      },
      z: () => review().undo(),
      b: () => click("#review-blind input"),
      " ": withAudio((audio) => window.studioPlayer.toggle(audio)),
      arrowleft: withAudio((audio) => window.studioPlayer.seek(audio, -SEEK)),
      arrowright: withAudio((audio) => window.studioPlayer.seek(audio, SEEK)),
    },
  };

  // What is open closes from the inside out: the filters, a field that is typed in, the panel of more fields.
  const escape = (target) => {
    const filters = find("#review-filters[open]");
    const more = find("#review-more[open]");
    if (filters && visible(filters)) {
      filters.open = false;
      filters.querySelector("summary").focus();
    } else if (typing(target)) target.blur();
    else if (more && visible(more)) more.open = false;
    else return false;
    return true;
  };

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !target.matches) return;
    if (event.key === "Escape" && !dialog() && escape(target)) return;
    if (event.key === "Enter" && !event.shiftKey && target.matches("#review-transcript textarea")) {
      event.preventDefault();
      target.blur();
      return acts.review.enter();
    }
    if (typing(target) || dialog()) return;
    if (event.key === "?") {
      event.preventDefault();
      return find("#keys-dialog") && find("#keys-dialog").showModal();
    }
    if (event.key.toLowerCase() === "g") {
      event.preventDefault();
      return window.studioGuidelines.open();
    }
    if (target.closest(".timeline")) return; // It has keys of its own.
    const tab = Object.keys(acts).find((name) => visible(find(`#${name}-vote`)));
    if (!tab || (event.repeat && !event.key.startsWith("Arrow"))) return;
    const key = event.key.toLowerCase();
    // Enter and Space belong to a button that has the focus; arrows to tabs and sliders. A ticked radio has no use for Space.
    const isTab = target.matches("[role=tab]");
    if ((key === "enter" || key === " ") && target.matches("button, a, summary") && !isTab) return;
    if (key === " " && target.matches("input[type=checkbox], input[type=radio]:not(:checked)")) return;
    if (key.startsWith("arrow") && (isTab || target.matches("input[type=range], input[type=radio]:not(#review-vote input)"))) return;
    const place = window.studioKeys.indexOf(key);
    const act = place >= 0 ? () => (tab === "review" ? review().vote(place) : vote(tab, place)) : acts[tab][key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }, true); // On the way down: Gradio's checkboxes would otherwise flip at Enter.
  document.addEventListener("click", (event) => {
    if (event.target.closest && event.target.closest("#keys-button")) find("#keys-dialog").showModal();
    if (event.target.matches && event.target.matches("dialog")) event.target.close();
  });

  // Gradio draws these elements when a tab is first opened: from here they are told that changes are to be read out,
  // and the review tab that it is in front.
  const look = () => {
    const shell = find("#review-shell");
    if (visible(shell) && shell !== inFront) review().enter(shell);
    inFront = visible(shell) ? shell : null;
  };
  let inFront = null;
  document.addEventListener("click", () => setTimeout(look, 0));
  document.addEventListener("keyup", () => setTimeout(look, 0));
  document.addEventListener("visibilitychange", () => {
    inFront = null;
    if (!document.hidden) look();
  });
  new MutationObserver(() => {
    look();
    document.querySelectorAll(".announcer:not([aria-live])").forEach((element) => {
      element.setAttribute("aria-live", "polite");
      element.setAttribute("aria-atomic", "true");
    });
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
