// The page in another language. English is what the source says; texts are translated where they are shown, by exact match
// or by a template with holes, and again whenever they change. What people or models wrote stands under translate="no".
// Gradio's own I18n is not used: it follows the browser alone, knows static labels only and changes <html lang> by itself.
(() => {
  const { read, write } = window.studio;
  const offered = window.studioLanguages; // {language: {tag, file, labels}}
  const KEY = "studio-language";
  const INLINE = /^(A|B|CODE|EM|KBD|STRONG)$/; // Belong to the sentence around them; `ui/languages/markup.py` has the same.
  const ATTRIBUTES = ["alt", "aria-label", "aria-valuetext", "placeholder", "title"];
  const SKIPPED = "[translate=no], script, style, textarea, code, [contenteditable=true]";
  // Parts of Gradio's that show what people wrote, and what programs read.
  const VERBATIM = ".file-preview, .json-holder, .api-docs, .cm-editor, #version-text";
  const NAMES = /^(name|rater|speaker|path|file|folder|source|transcript|comment|url|repository|origin|edited_by|started_by)\d*$/;
  const FIGURES = /^(count|points|percent|low|high|min_\w+)\d*$/; // Holes that hold nothing else.
  const IN_STYLE = { "--say-record": "Record", "--say-choose": "Choose a file" };
  const SPACELESS = /[\u3000-\u9fff\uff00-\uffef]/;
  const WIDE = /[\u3000-\u303f\uff00-\uffef]/;
  const WEAK = 6; // Letters under which a template says little of itself.
  const LATIN = /[\dA-Za-z]/;

  let language = "en";
  let exact = new Map();
  let templates = [];
  let known = new Map();

  // A text in the chosen language

  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const template = ([text, translation]) => {
    const literals = text.split(/\{\w+\}/);
    const anchor = literals.reduce((one, other) => (other.length > one.length ? other : one));
    const letters = literals.join("").replace(/<[^>]*>|[^A-Za-z]/g, "").length;
    const signs = !/\p{L}/u.test(translation.replace(/\{\w+\}|<[^>]*>/g, ""));
    return { text, translation, literals, length: literals.join("").length, anchor, letters, signs, names: Array.from(text.matchAll(/\{(\w+)\}/g), ([, name]) => name) };
  };
  const prepare = (catalogue, labels) => {
    const rows = Object.entries(catalogue);
    exact = new Map([...rows.filter(([text]) => !/\{\w+\}/.test(text)), ...Object.entries(labels)]);
    templates = rows.filter(([text]) => /\{\w+\}/.test(text)).map(template).sort((one, other) => other.letters - one.letters || other.length - one.length);
    known = new Map();
  };
  const tag = () => (language === "en" ? "en" : offered[language].tag);
  // Numbers and dates as the language writes them; undefined for all else.
  const figure = (text) => {
    const number = /^([−+-]?)((?:0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+)(?:\.(\d+))?)(\s?%)?$/.exec(text);
    if (number) {
      const [, sign, digits, decimals = "", percent] = number;
      const value = Number(digits.replaceAll(",", "")) / (percent ? 100 : 1);
      const options = { minimumFractionDigits: decimals.length, maximumFractionDigits: decimals.length, useGrouping: digits.includes(",") };
      return sign + new Intl.NumberFormat(tag(), { ...options, style: percent ? "percent" : "decimal" }).format(value);
    }
    const date = /^(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d) UTC)?$/.exec(text);
    if (!date) return undefined;
    const time = new Date(`${date[1]}T${date[2] || "00:00"}Z`);
    const day = new Intl.DateTimeFormat(tag(), { dateStyle: "medium", timeZone: "UTC" }).format(time);
    return date[2] ? `${day} ${new Intl.DateTimeFormat(tag(), { timeStyle: "short", timeZone: "UTC" }).format(time)} UTC` : day;
  };
  const asked = new Set();
  let cut = 0;
  const translated = (text) => {
    if (known.has(text)) return known.get(text);
    if (asked.has(text) || asked.size > 12) {
      cut += 1; // A text within itself ends here.
      return null;
    }
    const before = cut;
    asked.add(text);
    const said = found(text) ?? null;
    asked.delete(text);
    // What is unknown within another text may be known by itself.
    if (said !== null || cut === before || !asked.size) {
      if (known.size > 5000) known.clear();
      known.set(text, said);
    }
    return said;
  };
  // From what is sure to what is likely.
  const found = (text) =>
    figure(text) ?? word(text) ?? divided(text, " · ", " · ") ?? findings(text) ?? whole(text) ?? commas(text) ?? parts(text) ?? whole(text, { loose: true }) ??
    divided(text, ", ", wide() ? "、" : ", ") ?? ended(text);
  const word = (text) => exact.get(text) ?? (/^[A-Z][a-z ]/.test(text) ? exact.get(text[0].toLowerCase() + text.slice(1)) : undefined);
  const patternOf = ({ literals, names }) => {
    const groups = names.map((name) => (FIGURES.test(name) ? "([^A-Za-z,;]*?)" : "(.*?)"));
    return new RegExp(`^${literals.map((literal, place) => escaped(literal) + (groups[place] ?? "")).join("")}$`, "s");
  };
  // Weak templates say little of themselves; in a loose one stands something unknown of several words.
  const whole = (text, { weak = false, loose = false } = {}) => {
    for (const row of templates) {
      if (row.letters < WEAK !== weak || !text.includes(row.anchor)) continue;
      row.pattern ||= patternOf(row);
      const match = row.pattern.exec(text);
      const filled = match && fill(row, match.slice(1), loose);
      if (filled) return filled;
    }
    return undefined;
  };
  const fill = (row, values, loose) => {
    const spoken = values.map((value, place) => (NAMES.test(row.names[place]) ? figure(value) ?? null : translated(value.trim())));
    const strange = (value, place) => spoken[place] === null && !NAMES.test(row.names[place]) && value.trim().includes(" ");
    if (!loose && values.some(strange)) return undefined;
    if (row.letters < WEAK && values.length > 1 && spoken.some((said, place) => said === null && !NAMES.test(row.names[place]))) return undefined;
    // A template of signs alone says something about figures only.
    if (row.signs && values.some((value) => !/\d/.test(value))) return undefined;
    return spaced(row.translation, Object.fromEntries(row.names.map((name, place) => [name, spoken[place] ?? values[place]])));
  };
  // Between letters of Chinese or Japanese and others stands a space, between two of theirs none: a hole may hold either.
  const spaced = (translation, values) =>
    translation.split(/(\{\w+\})/).reduce((text, piece) => {
      const value = /^\{\w+\}$/.test(piece) ? values[piece.slice(1, -1)] ?? piece : piece;
      return join(text, value);
    }, "");
  const join = (text, more) => {
    const before = text.trimEnd().slice(-1);
    const after = more.trimStart().slice(0, 1);
    if (!SPACELESS.test(before) && !SPACELESS.test(after)) return text + more;
    if (SPACELESS.test(before) && SPACELESS.test(after)) return text.trimEnd() + more.trimStart();
    const han = /[\u4e00-\u9fff]/;
    const apart = (han.test(before) && LATIN.test(after)) || (LATIN.test(before) && han.test(after));
    return apart ? `${text.trimEnd()} ${more.trimStart()}` : text + more;
  };
  const divided = (text, mark, glue) => {
    const pieces = text.split(mark);
    if (pieces.length < 2 || !pieces.every(Boolean)) return undefined;
    const said = pieces.map((piece) => translated(piece.trim()));
    return said.some((one) => one !== null) ? said.map((one, place) => one ?? pieces[place]).join(glue) : undefined;
  };
  const wide = () => /^(zh|ja)/.test(tag());
  // Findings one after the other, each of which has its own translation; what stands in brackets stays together.
  const listed = (text, mark, glue, each) => {
    const together = (all, piece) => (/[([][^)\]]*$/.test(all.at(-1) || "") ? [...all.slice(0, -1), all.at(-1) + mark + piece] : [...all, piece]);
    const end = text.endsWith(".") && mark === "; " ? "." : "";
    const pieces = text.slice(0, text.length - end.length).split(mark).reduce(together, []);
    if (pieces.length < 2) return undefined;
    const words = pieces.map(word);
    if (words.every(Boolean)) return words.join(wide() ? "、" : mark);
    const said = pieces.map((piece) => word(piece) ?? each(piece));
    return said.every(Boolean) ? said.join(wide() ? glue : mark) + (wide() && end ? "。" : end) : undefined;
  };
  const findings = (text) => listed(text, "; ", "；", sure);
  const commas = (text) => listed(text, ", ", "，", either) ?? listed(text, " and ", "，", either);
  const sure = (text) => figure(text) ?? either(text) ?? commas(text) ?? named(text) ?? figured(text);
  const either = (text) => word(text) ?? whole(text) ?? whole(text, { weak: true });
  const sentences = (text) => {
    const pieces = text.split(/(?<=[.!?]) (?=\S)/);
    const said = [];
    let any = false;
    for (let start = 0; start < pieces.length; ) {
      let end = pieces.length - (start === 0 ? 1 : 0);
      let found;
      for (; end > start; end -= 1) if ((found = either(pieces.slice(start, end).join(" "))) !== undefined) break;
      any ||= found !== undefined;
      said.push(found ?? pieces[start]);
      start = found === undefined ? start + 1 : end;
    }
    return any && pieces.length > 1 ? said.reduce((all, one) => all + (SPACELESS.test(all.slice(-1)) ? "" : " ") + one) : undefined;
  };
  const bracketed = (text) => {
    const [, words, bracket] = /^(.*\S) (\([^()]*\))$/s.exec(text) || [];
    const said = words && [words, bracket].map(translated);
    return said && said.every((one) => one !== null) ? join(...said) : undefined;
  };
  const marked = (text) => {
    const [, name, inside] = /^<(\w+)>([^<]*)<\/\1>$/.exec(text) || [];
    const said = name && translated(inside);
    return said ? `<${name}>${said}</${name}>` : undefined;
  };
  // "anger: voice 64 %"
  const named = (text) => {
    const [, name, said] = /^([^:]+): (.+)$/s.exec(text) || [];
    const both = name && [name, said].map(translated);
    return both && both.every((one) => one !== null) ? both.join(wide() ? "：" : ": ") : undefined;
  };
  const ended = (text) => {
    const said = text.endsWith(".") && translated(text.slice(0, -1));
    return said ? said + (wide() ? "。" : ".") : undefined;
  };
  // A key or a figure before or after words: "1 anger", "anger 64 %".
  const figured = (text) => {
    const [, figureBefore, after] = /^(\S|[\d.,]+(?:\s?%)?|<strong>[^<]*<\/strong>) ([^\d\s%].*)$/.exec(text) || [];
    const led = after && translated(after);
    if (led) return `${figure(figureBefore) ?? figureBefore} ${led}`;
    const [, before, figureAfter] = /^(.*[^\d\s]) ([−+-]?[\d.,]+(?:\s?%)?)$/.exec(text) || [];
    const tailed = before && translated(before);
    return tailed ? `${tailed} ${figure(figureAfter) ?? figureAfter}` : undefined;
  };
  const parts = (text) =>
    marked(text) ?? divided(text, " → ", " → ") ?? sentences(text) ?? named(text) ?? whole(text, { weak: true }) ?? bracketed(text) ?? figured(text);
  const say = (text) => {
    if (language === "en" || !/[A-Za-z%]|\d-\d/.test(text)) return null;
    const plain = text.replace(/[ \n\t]+/g, " ").replace(/^[ ·|]+|[ ·|,]+$/g, "");
    const said = translated(plain);
    if (said === null || said === plain) return null;
    // A full-width sign brings its own space.
    const [, before, after] = /^([\s·|]*)[^]*?([\s·|,]*)$/.exec(text);
    return before + said + (WIDE.test(said.slice(-1)) ? after.trimStart() : wide() ? after.replace(/,\s*/, "，") : after);
  };

  // Texts of the document; what they were is kept, for English and to see what is new

  const texts = new WeakMap();
  const sentenceNodes = new WeakMap();
  const attributes = new WeakMap();
  const text = (node) => {
    const before = texts.get(node);
    if (before && before.shown === node.data) return;
    const said = say(node.data);
    if (said === null) return;
    texts.set(node, { english: node.data, shown: said });
    node.data = said;
  };
  const attribute = (element, name) => {
    const before = attributes.get(element) || {};
    const value = element.getAttribute(name);
    if (value === null || (before[name] && before[name].shown === value)) return;
    const said = say(value);
    if (name === "aria-label") element.toggleAttribute("data-said", false);
    if (said === null) return;
    attributes.set(element, { ...before, [name]: { english: value, shown: said } });
    element.setAttribute(name, said);
    // By this the page's scripts and styles know a button of Gradio's in every language.
    if (name === "aria-label") element.dataset.said = value;
  };
  const markup = (node) => (node.nodeType === Node.TEXT_NODE ? node.data : `<${node.localName}>${node.textContent}</${node.localName}>`);
  // A sentence with markup of words is translated as a whole, as its words come in another order; its elements stay.
  const sentence = (element) => {
    const nodes = Array.from(element.childNodes).filter((node) => node.nodeType !== Node.COMMENT_NODE);
    const plain = nodes.every((node) => node.nodeType === Node.TEXT_NODE || (INLINE.test(node.tagName) && !node.children.length && !node.matches("[translate=no]")));
    if (!element.children.length || !plain || !nodes.some((node) => node.nodeType === Node.TEXT_NODE && /[A-Za-z]/.test(node.data))) return false;
    const said = say(nodes.map(markup).join(""));
    if (said === null) return false;
    sentenceNodes.set(element, nodes.map((node) => [node, node.nodeType === Node.TEXT_NODE ? node.data : node.textContent]));
    const elements = nodes.filter((node) => node.nodeType === Node.ELEMENT_NODE);
    const placed = Array.from(said.matchAll(/<(\w+)>([^<]*)<\/\1>|[^<]+/g), ([piece, name, inside]) => {
      if (!name) return new Text(piece);
      const place = elements.findIndex((one) => one.localName === name);
      if (place < 0) return new Text(inside);
      const [own] = elements.splice(place, 1);
      if (own.textContent !== inside) own.textContent = inside;
      return own;
    });
    placed.forEach((node) => node.nodeType === Node.TEXT_NODE && texts.set(node, { english: node.data, shown: node.data }));
    element.replaceChildren(...placed);
    return true;
  };
  // A list to choose from shows its choice as the value of a field, which Gradio reads again: it is shown translated only.
  const native = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
  const combobox = (input) => {
    if (Object.hasOwn(input, "value")) return (input.value = input.value);
    let english = native.get.call(input);
    let shown = null;
    Object.defineProperty(input, "value", {
      configurable: true,
      get: () => (native.get.call(input) === shown ? english : native.get.call(input)),
      set: (value) => {
        english = value;
        shown = say(String(value)) ?? value;
        native.set.call(input, shown);
      },
    });
    return (input.value = english);
  };
  const walk = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return text(node);
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    if (node.matches(VERBATIM)) node.setAttribute("translate", "no");
    ATTRIBUTES.forEach((name) => node.hasAttribute(name) && !node.matches("[translate=no]") && attribute(node, name));
    if (node.id === "language") node.value = language;
    if (node.matches("input[role=combobox]")) combobox(node);
    if (node.matches(SKIPPED) || sentence(node)) return;
    node.childNodes.forEach(walk);
  };
  const isVerbatim = (node) => {
    return Boolean(node.parentElement && node.parentElement.closest(SKIPPED));
  };
  const restore = (node) => {
    if (node.nodeType === Node.TEXT_NODE) {
      const before = texts.get(node);
      if (before && before.shown === node.data) node.data = before.english;
      texts.delete(node);
    }
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    Object.entries(attributes.get(node) || {}).forEach(([name, { english, shown }]) => {
      if (node.getAttribute(name) === shown) node.setAttribute(name, english);
    });
    attributes.delete(node);
    delete node.dataset.said;
    const before = sentenceNodes.get(node);
    sentenceNodes.delete(node);
    if (before && before.every(([part]) => part.nodeType === Node.TEXT_NODE || part.parentNode === node)) {
      before.forEach(([part, content]) => part.textContent !== content && (part.textContent = content));
      node.replaceChildren(...before.map(([part]) => part));
    }
    if (node.matches("input[role=combobox]") && Object.hasOwn(node, "value")) node.value = node.value;
    node.childNodes.forEach(restore);
  };

  // The document follows

  const observer = new MutationObserver((changes) => {
    const changed = new Set();
    for (const { type, target, addedNodes, attributeName } of changes) {
      if (type === "attributes") attribute(target, attributeName);
      else if (type === "characterData") changed.add(target.parentElement || target);
      else if (addedNodes.length) Array.from(target.children).some((child) => INLINE.test(child.tagName)) ? changed.add(target) : addedNodes.forEach((node) => changed.add(node));
    }
    changed.forEach((node) => node.isConnected && !isVerbatim(node) && walk(node));
    observer.takeRecords();
  });
  const WATCHED = { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES };
  const show = () => {
    document.documentElement.lang = tag();
    Object.entries(IN_STYLE).forEach(([name, english]) => document.documentElement.style.setProperty(name, JSON.stringify(say(english) ?? english)));
    if (language === "en") return;
    walk(document.documentElement);
    observer.takeRecords();
    observer.observe(document.documentElement, WATCHED);
  };
  const load = async (wanted) => {
    const answer = await fetch(new URL(offered[wanted].file, document.baseURI)); // Browsers keep it: its name changes with it.
    if (!answer.ok) throw new Error(`The texts in ${wanted} did not come: ${answer.status}.`);
    const { texts: [english, translations] } = await answer.json();
    return Object.fromEntries(english.map((text, place) => [text, translations[place]]));
  };
  const use = async (wanted) => {
    let catalogue = null;
    if (wanted !== "en") {
      try {
        catalogue = await load(wanted);
      } catch (error) {
        console.warn(error.message); // The page stays as it is, in English or the language before.
        return;
      }
    }
    observer.disconnect();
    const before = language;
    language = "en";
    if (before !== "en") restore(document.documentElement);
    language = wanted;
    if (catalogue) prepare(catalogue, offered[wanted].labels);
    show();
  };
  const preferred = navigator.languages || [navigator.language];
  const first = () => {
    const kept = read(KEY);
    if (kept === "en" || kept in offered) return kept;
    const bases = preferred.map((one) => one.toLowerCase().split("-")[0]);
    return bases.find((base) => base === "en" || base in offered) || "en";
  };
  // Gradio names the language that it found.
  new MutationObserver(() => document.documentElement.lang !== tag() && (document.documentElement.lang = tag())).observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });
  const ask = window.confirm.bind(window);
  window.confirm = (question) => ask(say(question) ?? question);
  document.addEventListener("change", ({ target }) => {
    if (target.id !== "language") return;
    write(KEY, target.value);
    use(target.value);
  });
  window.studioLanguage = {
    use,
    // The language that a person chose on the page; undefined where the browser's was taken.
    get chosen() {
      const kept = read(KEY);
      const base = preferred[0].toLowerCase().split("-")[0];
      return kept === "en" || kept in offered ? kept : base === language ? language : undefined;
    },
    // What an element says in English, whatever is shown.
    english: (element) => {
      const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      let all = "";
      while (walker.nextNode()) all += (texts.get(walker.currentNode) || { english: walker.currentNode.data }).english;
      return all;
    },
  };
  use(first());
})();
