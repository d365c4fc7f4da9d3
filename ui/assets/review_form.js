// The vote's fields on the review tab: read them, fill them, empty them. Knows neither queue nor server.
(() => {
  const { find, read, write } = window.studio;
  const form = () => find("#review-form");
  const all = (selector) => Array.from(form().querySelectorAll(selector));
  const sliders = () => all("input[type=range]");

  const mark = (slider, rated) => {
    slider.dataset.rated = rated ? "yes" : "";
    const output = slider.parentElement.querySelector("output");
    if (output) output.textContent = rated ? slider.value : "–";
    slider.setAttribute("aria-valuetext", rated ? slider.value : "not rated");
  };
  const shares = () => all(".share input");
  const total = () => shares().reduce((sum, slider) => sum + (slider.dataset.rated ? Number(slider.value) : 0), 0);
  const drawShares = () => {
    const sum = total();
    shares().forEach((slider) => {
      const share = sum && slider.dataset.rated ? Math.round((100 * slider.value) / sum) : 0;
      slider.parentElement.querySelector("output").textContent = sum ? `${share} %` : "–";
      slider.setAttribute("aria-valuetext", sum ? `${share} percent` : "not rated");
    });
  };
  const distribution = () => {
    const sum = total();
    if (!sum) return null;
    return Object.fromEntries(shares().map((slider) => [slider.name, slider.dataset.rated ? slider.value / sum : 0]));
  };
  const chosen = (name) => {
    const input = form().querySelector(`input[name=${name}]:checked`);
    return input ? input.value : null;
  };
  const number = (name) => (chosen(name) === null ? null : Number(chosen(name)));
  const choose = (name, value) =>
    all(`input[name=${name}]`).forEach((input) => {
      input.checked = value !== null && value !== undefined && input.value === String(value);
    });
  const intensity = () => form().querySelector("input[name=intensity]");
  const text = (name) => form().querySelector(`textarea[name=${name}]`);

  window.studioForm = {
    // What stands in the fields; `vote` is null where nothing was chosen.
    read: () => ({
      vote: chosen("review-vote"),
      transcript: text("transcript").value,
      intensity: intensity().dataset.rated ? Number(intensity().value) : null,
      distribution: distribution(),
      valence: number("valence"),
      arousal: number("arousal"),
      comment: text("comment").value,
    }),
    fill: (given) => {
      choose("review-vote", given.vote);
      text("transcript").value = given.transcript ?? "";
      text("comment").value = given.comment ?? "";
      choose("valence", given.valence);
      choose("arousal", given.arousal);
      intensity().value = given.intensity ?? 50;
      mark(intensity(), given.intensity !== null && given.intensity !== undefined);
      shares().forEach((slider) => {
        const share = given.distribution ? given.distribution[slider.name] || 0 : 0;
        slider.value = Math.round(100 * share);
        slider.dataset.rated = share ? "yes" : "";
      });
      drawShares();
    },
    vote: (index) => {
      const input = all("input[name=review-vote]")[index];
      if (input) input.click();
    },
    more: () => {
      const details = find("#review-more");
      details.open = !details.open;
    },
  };

  document.addEventListener("input", ({ target }) => {
    if (!form() || !form().contains(target) || target.type !== "range") return;
    if (target.closest(".share")) {
      target.dataset.rated = Number(target.value) > 0 ? "yes" : "";
      drawShares();
      const best = shares().reduce((one, other) => (Number(other.value) > Number(one.value) ? other : one));
      if (total()) choose("review-vote", best.name);
    } else mark(target, true);
  });
  document.addEventListener("change", ({ target }) => {
    // A label chosen against the shares takes their place: what is sent must not contradict itself.
    if (target.name !== "review-vote" || !total()) return;
    const own = shares().find((slider) => slider.name === target.value);
    if (own && shares().every((slider) => Number(slider.value) <= Number(own.value))) return;
    shares().forEach((slider) => {
      slider.value = 0;
      slider.dataset.rated = "";
    });
    drawShares();
  });
  document.addEventListener("click", ({ target }) => {
    const reset = target.closest && target.closest("#review-form .reset");
    if (!reset) return;
    const names = reset.dataset.resets.split(" ");
    names.forEach((name) => all(`input[type=radio][name=${name}]`).forEach((input) => (input.checked = false)));
    sliders().forEach((slider) => {
      if (!names.includes(slider.name) && !(names.includes("shares") && slider.closest(".share"))) return;
      slider.value = slider.closest(".share") ? 0 : 50;
      mark(slider, false);
    });
    drawShares();
  });
  document.addEventListener("toggle", ({ target }) => {
    if (target.id === "review-more") write("studio-more", target.open);
  }, true);
  window.studioForm.restore = () => {
    find("#review-more").open = Boolean(read("studio-more"));
  };
})();
