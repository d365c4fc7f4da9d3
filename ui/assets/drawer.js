// The drawer: one clip over whatever tab is in front, with its player, and a vote on it.
(() => {
  const { call, find, random } = window.studio;
  const dialog = () => find("#clip-drawer");
  const body = () => dialog().querySelector(".drawer-body");
  const say = (message, kind = "good") => {
    find("#clip-status").className = `status ${kind}`;
    find("#clip-status").textContent = message;
  };
  let shown = null;
  let turn = 0;

  const audio = () => body().querySelector(".player audio");
  const load = async (clip) => {
    const now = (turn += 1);
    const answer = await call("clip", { clip });
    if (now !== turn) return false;
    shown = answer;
    dialog().querySelector("h2").textContent = answer.title;
    body().innerHTML = answer.html;
    return true;
  };
  // The clips before and after it in the table, which may come later than the drawer.
  const steps = (clip) => {
    const ids = window.studioClips.ids();
    const place = ids.indexOf(clip);
    dialog().querySelector("[data-step='-1']").disabled = place <= 0;
    dialog().querySelector("[data-step='1']").disabled = place < 0 || place >= ids.length - 1;
  };
  const show = async (clip) => {
    if (!dialog() || (shown && shown.clip === clip && dialog().open)) return;
    say("");
    steps(clip);
    if (!dialog().open) {
      body().innerHTML = '<p class="quiet">Opening the clip …</p>';
      dialog().querySelector("h2").textContent = `Clip ${clip}`;
      dialog().showModal();
    }
    try {
      if (await load(clip)) {
        dialog().scrollTop = 0;
        if (audio()) audio().play().catch(() => {});
      }
    } catch (error) {
      shown = null;
      body().innerHTML = "";
      say(error.message, "gentle");
    }
  };
  const hide = () => {
    if (!dialog() || !dialog().open) return;
    dialog().close();
  };
  const vote = async (form) => {
    const chosen = form.querySelector("input[name=drawer-vote]:checked");
    if (!chosen) return say(`Choose a label first: ${window.studioKeyRange}, or U.`, "gentle");
    const own = shown.own || {};
    const same = own.label === chosen.value;
    try {
      const answer = await call("vote", {
        clip: shown.clip,
        vote: chosen.value,
        prediction: shown.prediction,
        answer_shown: shown.answered,
        transcript: form.elements.transcript.value,
        comment: form.elements.comment.value,
        // What was said of the clip besides its label still holds; shares belong to the label.
        intensity: own.intensity,
        valence: own.valence,
        arousal: own.arousal,
        distribution: same ? own.distribution : null,
        nonce: random(),
      });
      await load(shown.clip);
      say(answer.said);
      window.studioClips.refresh();
    } catch (error) {
      say(`Not saved. ${error.message}`, "gentle");
    }
  };
  const leave = () => {
    const { clip, ...rest } = window.studioAddress.read();
    if (clip) window.studioAddress.write(rest);
    shown = null;
    turn += 1;
    if (audio()) audio().pause();
    body().innerHTML = "";
  };
  const step = (by) => {
    const ids = window.studioClips.ids();
    const next = ids[ids.indexOf(shown ? shown.clip : -1) + by];
    if (next) window.studioAddress.go({ ...window.studioAddress.read(), clip: next }, true);
  };
  const copy = async (button) => {
    const { origin, pathname } = location;
    const link = `${origin}${pathname}?clip=${shown ? shown.clip : ""}`;
    try {
      await navigator.clipboard.writeText(link);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy link"), 2000);
    } catch {
      say(link);
    }
  };

  document.addEventListener("close", ({ target }) => target.id === "clip-drawer" && leave(), true);
  document.addEventListener("click", ({ target }) => {
    if (!target.closest || !target.closest("#clip-drawer")) return;
    if (target.closest(".close")) hide();
    if (target.closest(".step")) step(Number(target.closest(".step").dataset.step));
    if (target.closest(".copy-link")) copy(target.closest(".copy-link"));
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches(".drawer-vote")) return;
    event.preventDefault();
    vote(event.target);
  });
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (!dialog() || !dialog().open || !target.closest || !target.closest("#clip-drawer")) return;
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches("textarea, input:not([type=radio]), select")) return;
    const place = window.studioKeys.indexOf(event.key.toLowerCase());
    const inputs = body().querySelectorAll("input[name=drawer-vote]");
    if (place >= 0 && inputs[place]) {
      inputs[place].click();
      inputs[place].focus();
    } else if (event.key === " " && !target.matches("button, a, summary, input") && audio()) window.studioPlayer.toggle(audio());
    else if (event.key === "Enter" && !target.matches("button, a, summary") && body().querySelector(".drawer-vote")) vote(body().querySelector(".drawer-vote"));
    else return;
    event.preventDefault();
  });
  window.studioDrawer = { show, hide, steps: () => shown && steps(shown.clip), refresh: () => (shown ? load(shown.clip) : Promise.resolve(false)) };
})();
