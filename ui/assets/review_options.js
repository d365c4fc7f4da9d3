// Order, filters, blind and one-key-saves of the review tab: drawn as the server names them, remembered in the browser.
(() => {
  const { find } = window.studio;
  const fields = () => Array.from(document.querySelectorAll("#review-filters [name]"));
  const chosen = () =>
    Object.fromEntries(fields().filter((field) => field.value.trim() !== "").map((field) => [field.name, field.value.trim()]));
  const option = ([value, text], selected) => {
    const element = new Option(text, value);
    element.selected = value === selected;
    return element;
  };
  const fieldOf = (filter, value) => {
    const label = document.createElement("label");
    label.textContent = filter.text;
    const field = document.createElement(filter.choices ? "select" : "input");
    field.name = filter.name;
    if (filter.choices) field.append(...[["", "any"], ...filter.choices].map((choice) => option(choice, value)));
    else {
      field.type = filter.kind || "text";
      if (field.type === "number") Object.assign(field, { min: 0, step: "any" });
      field.value = value ?? "";
    }
    label.append(field);
    return label;
  };
  const count = () => {
    const badge = find("#review-filters .badge");
    const number = Object.keys(chosen()).length;
    badge.hidden = !number;
    badge.textContent = number;
  };

  window.studioOptions = {
    // What does not need the server.
    restore: (kept) => {
      find("#review-blind input").checked = kept.blind;
      find("#review-quick input").checked = kept.quick;
    },
    fill: (answer, kept) => {
      find("#review-order").replaceChildren(...answer.orders.map((order) => option(order, kept.order || answer.orders[0][0])));
      const wanted = answer.filters.map((filter) => fieldOf(filter, kept.filters[filter.name]));
      const clear = document.createElement("button");
      Object.assign(clear, { type: "button", className: "clear-filters", textContent: "Clear filters" });
      find("#review-filters .filter-fields").replaceChildren(...wanted, clear);
      const blind = find("#review-blind input");
      if (answer.blind) Object.assign(blind, { checked: true, disabled: true });
      count();
    },
  };

  document.addEventListener("change", ({ target }) => {
    const review = window.studioReview;
    if (target.id === "review-order") {
      review.keep({ order: target.value });
      review.restart();
    } else if (target.closest("#review-filters")) {
      review.keep({ filters: chosen() });
      count();
      review.restart(true);
    } else if (target.closest("#review-blind")) {
      review.keep({ blind: target.checked });
      review.drawAnswer();
    } else if (target.closest("#review-quick")) review.keep({ quick: target.checked });
  });
  document.addEventListener("click", ({ target }) => {
    if (!target.closest) return;
    if (target.closest(".clear-filters")) {
      fields().forEach((field) => (field.value = ""));
      window.studioReview.keep({ filters: {} });
      count();
      window.studioReview.restart(true);
    }
    const filters = find("#review-filters");
    if (filters && filters.open && !target.closest("#review-filters")) filters.open = false;
  });
})();
