// The editor of specifications: line numbers, completion, drafts, files that are dropped. All it does can be done without.
"use strict";

(() => {
  const live = (text) => {
    const region = document.getElementById("live");
    if (region) region.textContent = text;
  };
  const debounce = (wait, work) => {
    let timer;
    return (...args) => {
      clearTimeout(timer);
      timer = setTimeout(() => work(...args), wait);
    };
  };

  // ---- What is being typed: [kind, what is looked for, what stands there already, where it begins].
  const NAME = /^[A-Za-z0-9_.-]*$/;
  const CONDITION = /^([A-Za-z0-9_.-]+)\s*(?:\[version=['"])?(?:[<>=!~]=?|[<>=!~]=?[^,|]*[,|]\s*[<>=!~]=?)\s*([0-9A-Za-z_.!+]*)$/;
  const sectionOf = (lines) => {
    // The key of the file that the last line belongs to; "pip" inside its section.
    const last = lines[lines.length - 1];
    const indent = last.search(/\S|$/);
    for (let at = lines.length - 2; at >= 0; at--) {
      const key = /^(\s*)(?:-\s+)?([A-Za-z_()-]+):/.exec(lines[at]);
      if (!key) continue;
      const inner = lines[at].search(/[^\s-]/);
      if (key[2] === "pip" && /^\s*-/.test(lines[at]) && indent >= inner) return "pip";
      if (key[1] === "") return key[2];
    }
    return "";
  };
  const KINDS = { dependencies: "packages", specs: "packages", channels: "channels", platforms: "platforms" };
  const wishIn = (kind, typed) => {
    if (kind === "packages") {
      const bare = typed.replace(/^[A-Za-z0-9_.-]+::/, "");
      if (NAME.test(bare)) return bare ? ["packages", bare, bare] : null;
      const condition = CONDITION.exec(bare);
      return condition ? ["versions", condition[1], condition[2]] : null;
    }
    return kind === "channels" || kind === "platforms" ? [kind, typed, typed] : null;
  };
  const wishOf = (field) => {
    const before = field.value.slice(0, field.selectionStart);
    if (field.selectionStart !== field.selectionEnd) return null;
    if (field.tagName === "INPUT") return wishIn(field.dataset.complete, before.trimStart());
    const lines = before.split("\n");
    const element = /^\s*-\s+['"]?(.*)$/.exec(lines[lines.length - 1]);
    if (!element || element[1].includes("#") || /^[^\s\n]/.test(field.value.slice(field.selectionStart))) return null;
    return wishIn(KINDS[sectionOf(lines)], element[1]);
  };

  // ---- The list of completions: one for the page, moved to where it is needed.
  const list = document.createElement("ul");
  list.className = "completions";
  list.id = "completions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Completions");
  list.hidden = true;
  let owner = null;
  let chosen = -1;
  let typed = "";
  const answers = new Map();

  const close = () => {
    list.hidden = true;
    chosen = -1;
    if (owner) {
      owner.removeAttribute("aria-activedescendant");
      if (owner.tagName === "INPUT") owner.setAttribute("aria-expanded", "false");
    }
    owner = null;
  };
  const choose = (number) => {
    const options = [...list.children];
    chosen = (number + options.length) % options.length;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    owner.setAttribute("aria-activedescendant", options[chosen].id);
    options[chosen].scrollIntoView({ block: "nearest" });
  };
  const accept = () => {
    const field = owner;
    const text = list.children[chosen].dataset.text;
    close();
    field.setRangeText("", field.selectionStart - typed.length, field.selectionStart, "end");
    field.focus();
    // By the browser's own command, so that it can be undone.
    if (!document.execCommand("insertText", false, text)) {
      field.setRangeText(text, field.selectionStart, field.selectionStart, "end");
    }
    field.dispatchEvent(new Event("input", { bubbles: true }));
    close();
  };
  const placeOf = (field) => {
    const box = field.getBoundingClientRect();
    if (field.tagName === "INPUT") return [box.left, box.bottom];
    const style = getComputedStyle(field);
    const lines = field.value.slice(0, field.selectionStart - typed.length).split("\n");
    const ruler = document.createElement("canvas").getContext("2d");
    ruler.font = `${style.fontSize} ${style.fontFamily}`;
    const x = parseFloat(style.paddingLeft) + ruler.measureText(lines[lines.length - 1]).width - field.scrollLeft;
    const y = parseFloat(style.paddingTop) + parseFloat(style.lineHeight) * lines.length - field.scrollTop;
    return [box.left + Math.max(0, Math.min(x, box.width - 40)), box.top + Math.min(y, box.height)];
  };
  const show = (field, items) => {
    owner = field;
    list.replaceChildren(
      ...items.map((item, at) => {
        const option = document.createElement("li");
        option.id = `completion-${at}`;
        option.setAttribute("role", "option");
        option.dataset.text = item.text;
        const about = document.createElement("span");
        option.append(item.text, about);
        about.textContent = item.about;
        return option;
      }),
    );
    list.hidden = false;
    const [left, top] = placeOf(field);
    list.style.left = `${Math.max(8, Math.min(left, innerWidth - list.offsetWidth - 8))}px`;
    list.style.top = `${top + list.offsetHeight > innerHeight ? Math.max(8, top - list.offsetHeight - 24) : top + 2}px`;
    if (field.tagName === "INPUT") field.setAttribute("aria-expanded", "true");
    choose(0);
    live(`${items.length} completions, the first is ${items[0].text}. Enter takes it.`);
  };
  const ask = async (kind, text, namespace) => {
    const query = new URLSearchParams({ kind, q: text, namespace });
    if (!answers.has(`${query}`)) {
      const answer = await fetch(`/new/completions?${query}`, { headers: { accept: "application/json" } });
      answers.set(`${query}`, answer.ok ? (await answer.json()).items : []);
    }
    return answers.get(`${query}`);
  };
  const complete = debounce(120, async (field) => {
    const wish = wishOf(field);
    if (!wish) return close();
    const [kind, text, begun] = wish;
    const namespace = field.form?.elements.namespace?.value ?? field.form?.dataset.drafts?.split("/")[0] ?? "";
    let items;
    try {
      items = await ask(kind, text, namespace === "new" ? "" : namespace);
    } catch {
      return close(); // there is no network: what is typed is still there
    }
    const now = wishOf(field);
    if (!now || `${now}` !== `${wish}` || document.activeElement !== field) return;
    if (kind === "versions") items = items.filter((item) => item.text.startsWith(begun)).slice(0, 12);
    // What stands there already needs no list in the way of the Enter key.
    if (!items.length || (items[0].text === begun && items.length === 1)) return close();
    typed = begun;
    show(field, items);
  });
  const keys = (event) => {
    if (list.hidden || owner !== event.target) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
    else if (event.key === "Escape") close();
    else if (event.key === "Enter" || event.key === "Tab") {
      if (event.shiftKey || list.children[chosen].dataset.text === typed) return close();
      accept();
    } else return;
    event.preventDefault();
  };

  // ---- A list goes on in the next line.
  const goOn = (event) => {
    const field = event.target;
    if (event.defaultPrevented || event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.metaKey) return;
    const line = field.value.slice(0, field.selectionStart).split("\n").pop();
    const element = /^(\s*- +)(.*)$/.exec(line);
    if (!element || field.selectionStart !== field.selectionEnd) return;
    event.preventDefault();
    if (element[2].trim()) document.execCommand("insertText", false, `\n${element[1]}`);
    else {
      field.setSelectionRange(field.selectionStart - line.length, field.selectionStart);
      document.execCommand("delete");
    }
  };

  // ---- Line numbers.
  const number = (field) => {
    const gutter = document.createElement("div");
    gutter.className = "gutter";
    gutter.setAttribute("aria-hidden", "true");
    field.before(gutter);
    const draw = () => {
      const count = field.value.split("\n").length;
      if (gutter.childElementCount === count) return;
      gutter.replaceChildren(
        ...Array.from({ length: count }, (_, at) => {
          const line = document.createElement("div");
          line.textContent = String(at + 1);
          if (field.dataset.line === String(at + 1)) line.className = "meant";
          return line;
        }),
      );
    };
    const follow = () => { gutter.scrollTop = field.scrollTop; };
    field.addEventListener("input", draw);
    field.addEventListener("scroll", () => { follow(); close(); });
    new ResizeObserver(() => { gutter.style.height = `${field.offsetHeight}px`; follow(); }).observe(field);
    draw();
  };
  const goTo = (field, line) => {
    const lines = field.value.split("\n");
    if (!(line >= 1 && line <= lines.length)) return;
    const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    field.focus({ preventScroll: true });
    field.setSelectionRange(start, start + lines[line - 1].length);
    field.scrollTop = Math.max(0, (line - 6) * parseFloat(getComputedStyle(field).lineHeight));
  };

  // ---- Files.
  const read = async (field, file) => {
    if (file.size > 1048576) return live("The file is larger than 1 MiB: send it with the command.");
    field.focus();
    field.select();
    const text = await file.text();
    if (!document.execCommand("insertText", false, text)) field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    live(`${file.name} was read.`);
  };
  const takeFiles = (field) => {
    const box = field.parentElement;
    const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    box.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      box.classList.add("dropping");
    });
    box.addEventListener("dragleave", () => box.classList.remove("dropping"));
    box.addEventListener("drop", (event) => {
      box.classList.remove("dropping");
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      read(field, event.dataTransfer.files[0]);
    });
  };

  // ---- Drafts: kept in this browser until they are built.
  const DRAFTS = "pullforge-draft:";
  const MAX_DRAFTS = 4;
  const windowNumber = () => {
    try {
      // It stays when the page is loaded again, and no other window has it.
      sessionStorage["pullforge-window"] ??= String(Math.random()).slice(2);
      return sessionStorage["pullforge-window"];
    } catch {
      return "";
    }
  };
  const keepDrafts = (form, field) => {
    const place = form.querySelector("[data-draft]");
    const mine = `${DRAFTS}${form.dataset.user}:`;
    const key = mine + form.dataset.drafts;
    const base = form.dataset.base ?? "";
    const first = field.value;
    // Each window has a draft of its own: none writes over what another one has.
    const here = windowNumber();
    const load = () => {
      try {
        const kept = JSON.parse(localStorage.getItem(key) ?? "[]");
        return (Array.isArray(kept) ? kept : [kept]).filter((one) => typeof one?.text === "string");
      } catch {
        return [];
      }
    };
    const keepAll = (drafts) => {
      try {
        if (drafts.length) localStorage.setItem(key, JSON.stringify(drafts.slice(0, MAX_DRAFTS)));
        else localStorage.removeItem(key);
      } catch {
        // There is no room, or it is not allowed: all else works.
      }
    };
    const store = (draft) => {
      const others = load().filter((one) => one.window !== here && one.text !== draft?.text);
      keepAll(draft ? [{ ...draft, window: here }, ...others] : others);
    };
    // Whoever used this browser before has left nothing to read.
    try {
      for (const one of Object.keys(localStorage)) if (one.startsWith(DRAFTS) && !one.startsWith(mine)) localStorage.removeItem(one);
    } catch {
      // As above.
    }
    const isDone = (draft) => draft.text === first || (draft.sent && (draft.base !== base || base === ""));
    keepAll(load().filter((one) => !isDone(one)));
    if (form.hasAttribute("data-worked")) store({ text: first, at: Date.now(), base, sent: false });
    else if (place) offerNext();
    addEventListener("storage", (event) => {
      if (event.key !== key || !place || place.childElementCount > 1) return;
      if (load().some((one) => one.window !== here && one.text !== field.value)) place.textContent = "You write here in another window, too. Both texts are kept until they are built.";
    });

    function offerNext() {
      const next = load().find((one) => one.text !== field.value);
      if (next) offer(next);
    }
    function offer(found) {
      const at = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" }).format(new Date(found.at));
      const about = document.createElement("span");
      about.textContent = found.base === base ? `You wrote something else here on ${at}.` : `You wrote something here on ${at}, of v${found.base}.`;
      const button = (text, work) => {
        const made = document.createElement("button");
        made.type = "button";
        made.className = "button";
        made.textContent = text;
        made.addEventListener("click", () => { place.replaceChildren(); work(); });
        return made;
      };
      place.replaceChildren(
        about,
        button("Go on with it", () => {
          field.focus();
          field.select();
          if (!document.execCommand("insertText", false, found.text)) field.value = found.text;
          field.dispatchEvent(new Event("input", { bubbles: true }));
        }),
        button("Throw it away", () => {
          keepAll(load().filter((one) => one.text !== found.text));
          field.focus();
          offerNext();
        }),
      );
    }
    const keep = debounce(400, () => {
      if (field.value === first) return;
      store({ text: field.value, at: Date.now(), base, sent: false });
    });
    field.addEventListener("input", keep);
    form.addEventListener("submit", (event) => {
      if (event.submitter?.value === "save") store({ text: field.value, at: Date.now(), base, sent: true });
    });
  };

  // ---- All of it.
  // Among what the page is about, which is where readers of screens look for it.
  document.getElementById("main").append(list);
  list.addEventListener("mousedown", (event) => {
    const option = event.target.closest("li");
    if (!option) return;
    event.preventDefault();
    choose([...list.children].indexOf(option));
    accept();
  });
  for (const field of document.querySelectorAll("[data-complete]:not([readonly])")) {
    if (field.dataset.complete === "pip") continue;
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-expanded", "false");
    field.setAttribute("aria-controls", "completions");
  }
  for (const field of document.querySelectorAll("[data-editor] textarea")) {
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", "completions");
    field.addEventListener("keydown", keys);
    field.addEventListener("keydown", goOn);
    number(field);
    takeFiles(field);
    if (field.dataset.line) goTo(field, Number(field.dataset.line));
  }
  for (const form of document.querySelectorAll("form[data-drafts]")) keepDrafts(form, form.elements.text);
  document.addEventListener("keydown", (event) => {
    if (event.target.matches?.("input[data-complete]")) keys(event);
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches?.("input[data-complete], [data-editor] textarea")) complete(event.target);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target === owner) close();
  });
  // A check that found a line shows it in the text, too.
  document.addEventListener("htmx:afterSwap", () => {
    const meant = document.querySelector("#checked .excerpt .meant");
    const field = document.querySelector("[data-editor] textarea");
    if (!field) return;
    const line = meant ? meant.parentElement.start + [...meant.parentElement.children].indexOf(meant) : "";
    field.dataset.line = line;
    field.setAttribute("aria-invalid", String(Boolean(meant)));
    [...(field.previousElementSibling?.children ?? [])].forEach((one, at) => {
      one.className = at + 1 === line ? "meant" : "";
    });
  });
})();
