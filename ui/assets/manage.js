// The manage tab: cards that are drawn anew while it is in front, and what their buttons do.
(() => {
  const { call, visible } = window.studio;
  const EVERY = 3000; // Milliseconds between looks while clips are pre-labelled.
  let timer = null;

  const cards = () => Array.from(document.querySelectorAll(".act-card"));
  const draw = (name, html) =>
    cards().filter((card) => card.dataset.card === name).forEach((card) => {
      const content = card.querySelector(".content");
      if (content.dataset.html !== html) {
        content.innerHTML = html;
        content.dataset.html = html;
      }
    });
  const look = async () => {
    clearTimeout(timer);
    if (!cards().some(visible) || document.hidden) return;
    try {
      const answer = await call("manage", {}, 60000);
      for (const name of ["prelabel", "export", "storage"]) draw(name, answer[name]);
      if (answer.running) timer = setTimeout(look, EVERY);
    } catch (error) {
      if (error.answered) draw("prelabel", "");
    }
  };
  const say = (button, message) => {
    button.closest(".act-card").querySelector(".outcome").textContent = message;
  };
  const act = async (button, name) => {
    button.disabled = true;
    try {
      await call(name);
      await new Promise((resolve) => setTimeout(resolve, 700));
    } catch (error) {
      say(button, error.message);
    }
    button.disabled = false;
    look();
  };
  const backup = async (button) => {
    try {
      const { job } = await call("backup");
      await window.studioClips.follow(job, button.closest(".act-card").querySelector(".outcome"));
    } catch (error) {
      say(button, error.message);
    }
  };
  document.addEventListener("click", ({ target }) => {
    if (!target.closest) return;
    const button = target.closest(".act-card button");
    if (button && button.matches(".prelabel-start")) act(button, "prelabel");
    else if (button && button.matches(".prelabel-stop")) act(button, "prelabel_stop");
    else if (button && button.matches(".backup")) backup(button);
    // A card that was unfolded, or the tab that came to the front.
    setTimeout(look, 200);
  });
})();
