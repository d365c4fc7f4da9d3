// Saves a card of the insights: its tables as CSV, or how it looks as PNG. Everything stays in the browser.
(() => {
  const save = (name, blob) => {
    const anchor = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
  };
  const cell = (part) => {
    // A figure with its interval is three numbers, kept next to the text shown.
    if (part.dataset && part.dataset.values) return part.dataset.values;
    let text = part.textContent.trim().replace(/\s+/g, " ");
    if (/^[−\d.,]+( %)?$/.test(text)) text = text.replace("−", "-").replace(/[, ]/g, "");
    // A spreadsheet must not take a name for a formula.
    const plain = /^[=+\-@]/.test(text) && !/^[+\-]?[\d.]+%?$/.test(text) ? `'${text}` : text;
    const quoted = /[",\n]/.test(plain) ? `"${plain.replace(/"/g, '""')}"` : plain;
    return part.dataset && part.dataset.ends ? `${quoted},${part.dataset.ends}` : quoted;
  };
  const csv = (card) =>
    Array.from(card.querySelectorAll("table"))
      .map((table) => {
        const caption = table.querySelector("caption");
        const rows = Array.from(table.rows).map((row) => Array.from(row.cells).filter((part) => part.getAttribute("aria-hidden") !== "true").map(cell).join(","));
        return [...(caption ? [cell(caption)] : []), ...rows].join("\r\n");
      })
      .concat(Array.from(card.querySelectorAll(".tiles")).map((list) => Array.from(list.children).map((one) => `${cell(one.querySelector("strong"))},${cell({ textContent: one.lastChild.textContent })}`).join("\r\n")))
      .join("\r\n\r\n");
  // The card with every style written into it, inside of an SVG: a browser draws that as a picture.
  const styled = (part) => {
    const copy = part.cloneNode(false);
    if (part.nodeType !== Node.ELEMENT_NODE) return copy;
    const style = getComputedStyle(part);
    copy.setAttribute("style", Array.from(style).map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
    part.childNodes.forEach((child) => !(child.matches && child.matches(".saving, .player, script")) && copy.append(styled(child)));
    return copy;
  };
  const png = async (card) => {
    const box = card.getBoundingClientRect();
    const [width, height] = [Math.ceil(box.width), Math.ceil(box.height)];
    const copy = styled(card);
    copy.style.margin = "0";
    const html = new XMLSerializer().serializeToString(copy);
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><foreignObject width="100%" height="100%">${html}</foreignObject></svg>`;
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height: 2 * height });
    const context = canvas.getContext("2d");
    context.scale(2, 2);
    context.drawImage(image, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  };
  document.addEventListener("click", async ({ target }) => {
    const button = target.closest && target.closest(".saving button");
    if (!button) return;
    const card = button.closest(".insights");
    const name = card.id || "insights";
    if (button.dataset.save === "csv") save(`${name}.csv`, new Blob(["\ufeff", csv(card)], { type: "text/csv" }));
    else save(`${name}.png`, await png(card));
  });
})();
