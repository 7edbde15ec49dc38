(() => {
  "use strict";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const plain = (text) => text.toLowerCase().replace(/\u202f/g, "").replace(/\u2212/g, "-");
  const spaced = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");

  function sections(strip) {
    const links = new Map(all("a", strip).map((link) => [link.hash.slice(1), link]));
    const mark = (id) => {
      links.forEach((link) => link.removeAttribute("aria-current"));
      const link = links.get(id);
      link.setAttribute("aria-current", "true");
      strip.scrollLeft = link.offsetLeft - strip.offsetLeft - (strip.clientWidth - link.offsetWidth) / 2;
    };
    const watch = new IntersectionObserver(
      (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => mark(one.target.id)),
      { rootMargin: "-25% 0px -74% 0px" },
    );
    links.forEach((_, id) => watch.observe(document.getElementById(id)));
  }

  /* Of two rows by a column: numbers as numbers, and what has none last either way. */
  function order(column, numeric, sign) {
    const key = (row) => {
      const cell = row.cells[column];
      const text = cell.dataset.sort ?? cell.textContent;
      return numeric ? (text === "" ? null : Number(text)) : text;
    };
    return (rows) => {
      const keyed = rows.map((row) => [key(row), row]);
      keyed.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (numeric ? (a > b) - (a < b) : words.compare(a, b));
      });
      return keyed.map(([, row]) => row);
    };
  }

  function sorting(table) {
    const given = [...table.tBodies[0].rows];
    const heads = all("thead th", table);
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const numeric = head.classList.contains("n");
      const turns = numeric ? ["descending", "ascending", null] : ["ascending", "descending", null];
      const turn = turns[(turns.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (turn) head.setAttribute("aria-sort", turn);
      const rows = turn ? order(column, numeric, turn === "ascending" ? 1 : -1)(given) : given;
      table.tBodies[0].append(...rows);
    }));
  }

  function filtering(grid) {
    const input = grid.querySelector(".filter input");
    if (!input) return;
    const status = grid.querySelector(".status");
    const rows = [...grid.querySelector("tbody").rows];
    const whole = status.textContent.trim();
    let texts;
    input.addEventListener("input", () => {
      texts ??= rows.map((row) => plain([...row.cells].map((cell) => cell.textContent).join(" ")));
      const wanted = plain(input.value).split(/\s+/);
      const kept = texts.map((text) => wanted.every((word) => text.includes(word)));
      rows.forEach((row, number) => { row.hidden = !kept[number]; });
      const shown = spaced(kept.filter(Boolean).length);
      status.textContent = input.value.trim() ? `${shown} of ${spaced(rows.length)} rows shown` : whole;
    });
  }

  function tabs(list) {
    const buttons = all("[role=tab]", list);
    const choose = (chosen) => {
      buttons.forEach((tab) => {
        const here = tab === chosen;
        tab.setAttribute("aria-selected", here);
        tab.tabIndex = here ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).classList.toggle("open", here);
      });
    };
    list.addEventListener("click", (event) => event.target.closest("[role=tab]") && choose(event.target.closest("[role=tab]")));
    list.addEventListener("keydown", (event) => {
      const last = buttons.length - 1;
      const at = buttons.indexOf(document.activeElement);
      const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at ? at - 1 : last, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(buttons[to]);
      buttons[to].focus();
    });
  }

  function viewer(dialog) {
    const [picture, title, lines, place] = [".viewer-picture", "h2", "dl", ".viewer-place"].map((one) => dialog.querySelector(one));
    let opened = [];
    let at = 0;
    const copied = (node) => [...(node?.childNodes ?? [])].map((child) => child.cloneNode(true));
    const show = (number) => {
      at = (number + opened.length) % opened.length;
      const button = opened[at];
      picture.replaceChildren(button.querySelector(".image").cloneNode(true));
      title.replaceChildren(...copied(button.querySelector(".name")));
      lines.replaceChildren(...copied(button.parentElement.querySelector("dl")));
      place.textContent = `${spaced(at + 1)} of ${spaced(opened.length)}`;
    };
    all(".pictures").forEach((list) => {
      const buttons = all("button", list);
      buttons.forEach((button, number) => button.addEventListener("click", () => {
        opened = buttons;
        show(number);
        dialog.showModal();
      }));
    });
    dialog.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) {
        event.preventDefault();
        show(at + step);
      }
    });
    dialog.addEventListener("click", (event) => {
      const step = Number(event.target.closest("[data-step]")?.dataset.step ?? NaN);
      if (step) show(at + step);
      else if (step === 0 || event.target === dialog) dialog.close();
    });
    dialog.addEventListener("close", () => opened[at].focus());
  }

  addEventListener("DOMContentLoaded", () => {
    sections(document.querySelector(".bar-links"));
    all("table").forEach(sorting);
    all(".grid").forEach(filtering);
    all(".tablist").forEach(tabs);
    viewer(document.getElementById("viewer"));
  });
})();
