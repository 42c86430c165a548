// What a page can do beyond HTML; all of it works without. Served as it stands: no build step.
"use strict";

(() => {
  const live = (text) => {
    const region = document.getElementById("live");
    if (region) region.textContent = text;
  };

  // Times come in UTC and are shown in the reader's zone, which is named; the UTC of the server stays as the title.
  const shown = new Intl.DateTimeFormat("en-GB", {
    day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });
  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
      const at = new Date(time.dateTime);
      if (!time.dateTime.includes("T") || Number.isNaN(at.getTime())) continue;
      time.title = time.textContent;
      time.textContent = shown.format(at);
    }
  };

  // Tables become cards by CSS, and browsers then forget that they are tables.
  const roles = { TABLE: "table", TBODY: "rowgroup", THEAD: "rowgroup", TR: "row", TD: "cell", TH: "columnheader" };
  const keepTables = (root) => {
    for (const table of root.querySelectorAll("table.cards:not([role])")) {
      for (const part of [table, ...table.querySelectorAll("tbody, thead, tr, td, th")]) {
        part.setAttribute("role", part.tagName === "TH" && part.scope === "row" ? "rowheader" : roles[part.tagName]);
      }
    }
  };

  const copy = async (button) => {
    const text = button.parentElement.querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Browsers keep the clipboard from pages without TLS: what is selected can be copied by hand.
      getSelection().selectAllChildren(button.parentElement.querySelector("code"));
      live("Selected: copy it with the keyboard.");
      return;
    }
    live("Copied.");
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1500);
  };

  const prepare = (root) => {
    localTimes(root);
    keepTables(root);
  };

  document.documentElement.classList.add("scripted");
  prepare(document);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  // What was written and not sent is for nobody else who uses this browser.
  const forget = () => {
    try {
      for (const one of Object.keys(localStorage)) if (one.startsWith("pullforge-draft:")) localStorage.removeItem(one);
    } catch {
      // It is not allowed, so nothing is kept.
    }
  };
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
    else if (event.target.getAttribute("action") === "/logout") forget();
  });
  // Filters of a list apply when they are changed; their button is for those without scripts.
  document.addEventListener("change", (event) => {
    if (event.target.closest("[data-submit-on-change]")) event.target.form.requestSubmit();
  });
  for (const name of ["htmx:load", "htmx:sseMessage", "htmx:oobAfterSwap"]) {
    document.addEventListener(name, (event) => prepare(event.target.parentElement ?? document));
  }
})();
