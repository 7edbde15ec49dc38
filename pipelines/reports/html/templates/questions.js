(() => {
  "use strict";
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const KEYS = { y: "yes", n: "no", u: "unsure", ArrowLeft: "previous", ArrowRight: "next", z: "undo", s: "save" };
  const VERDICTS = ["yes", "no", "unsure"];

  /* What the browser keeps under a name: the reviewer, and all answers in the order in which they were given. */
  function notes(name, failed) {
    const tried = (action) => {
      try {
        return action();
      } catch {
        return failed();
      }
    };
    const sound = ([id, verdict, at]) => typeof id === "string" && VERDICTS.includes(verdict) && Date.parse(at) > 0;
    const parsed = (text) => {
      try {
        const { by, given } = JSON.parse(text);
        return { by: String(by), given: given.filter(sound) };
      } catch {
        return { by: "", given: [] };
      }
    };
    return {
      read: () => parsed(tried(() => localStorage.getItem(name))),
      write: (kept) => tried(() => localStorage.setItem(name, JSON.stringify(kept))),
    };
  }

  /* A file of comma-separated values as RFC 4180 has it. */
  function csv(rows) {
    const cell = (value) => (typeof value === "number" ? String(value) : `"${value.replaceAll('"', '""')}"`);
    return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
  }

  function download(file, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  function start({ name, file, asked }) {
    const ids = asked.map((image) => JSON.stringify(image));
    const [articles, marks, buttons] = [".question", ".strip button", ".answers button"].map(all);
    const [stage, done, by, problem] = [".stage", ".done", "#by", "#problem"].map(one);
    const looks = new Map(buttons.map((button) => [button.dataset.does, button.dataset]));
    const keeper = notes(name, () => { one(".lost").hidden = false; });
    let kept = keeper.read();
    let at = 0;

    const answers = () => new Map(kept.given.map(([id, verdict, when]) => [id, { verdict, when }]));
    const say = (text) => { one(".said").textContent = text; };
    const words = (number) => looks.get(answers().get(ids[number])?.verdict)?.words ?? "open";

    /* The next question without an answer, and after the last of them the end. */
    function open(from) {
      const given = answers();
      const turn = ids.map((_, step) => (from + step) % ids.length);
      return turn.find((number) => !given.has(ids[number])) ?? ids.length;
    }

    function draw() {
      const given = answers();
      const answered = ids.filter((id) => given.has(id)).length;
      const over = at === ids.length;
      one(".answered").textContent = `${answered} of ${ids.length} answered`;
      one("progress").value = answered;
      articles.forEach((article, number) => article.classList.toggle("open", number === at));
      buttons.forEach((button) => button.setAttribute("aria-pressed", button.dataset.does === given.get(ids[at])?.verdict));
      marks.forEach((mark, number) => {
        mark.firstElementChild.className = `mark ${looks.get(given.get(ids[number])?.verdict)?.tone ?? "open"}`;
        mark.setAttribute("aria-label", `Question ${number + 1}: ${words(number)}`);
        mark.setAttribute("aria-current", number === at);
        mark.tabIndex = number === Math.min(at, ids.length - 1) ? 0 : -1;
      });
      stage.classList.toggle("over", over);
      done.hidden = !over;
      all("[data-count]").forEach((shown) => {
        shown.textContent = ids.filter((id) => given.get(id)?.verdict === shown.dataset.count).length;
      });
    }

    function show(number) {
      const within = marks.includes(document.activeElement);
      at = number;
      draw();
      if (at === ids.length) one("#done").focus();
      else if (within) marks[at].focus({ preventScroll: true });
      scrollTo(0, 0);
    }

    function keep() {
      kept.by = by.value;
      keeper.write(kept);
    }

    function answer(verdict) {
      if (at === ids.length) return;
      kept.given.push([ids[at], verdict, new Date().toISOString()]);
      keep();
      say(`Question ${at + 1}: ${words(at)}.`);
      show(open(at + 1));
    }

    function undo() {
      const last = kept.given.findLastIndex(([id]) => ids.includes(id));
      if (last < 0) return say("There is nothing to undo.");
      const number = ids.indexOf(kept.given.splice(last, 1)[0][0]);
      keep();
      say(`Undone. Question ${number + 1}: ${words(number)}.`);
      show(number);
    }

    function step(difference) {
      const last = open(0) === ids.length ? ids.length : ids.length - 1;
      show(Math.max(0, Math.min(last, at + difference)));
      say(at === ids.length ? "" : `Question ${at + 1}: ${words(at)}.`);
    }

    function wanted(text) {
      problem.textContent = text;
      by.setAttribute("aria-invalid", Boolean(text));
    }

    function save() {
      const given = answers();
      const who = by.value.trim();
      const rows = asked.flatMap((image, number) => {
        const found = given.get(ids[number]);
        return found ? [[...image, found.verdict, who, found.when]] : [];
      });
      if (!rows.length) return say("There is no answer to save yet.");
      if (!who) {
        wanted("Whose answers are these? Type your name and press Enter.");
        return by.focus();
      }
      wanted("");
      download(file, `shard,index,key,verdict,by,at\r\n${csv(rows)}`);
      say(`Saved: ${rows.length} of ${ids.length} answers, as ${file}.`);
    }

    const does = { undo, save, previous: () => step(-1), next: () => step(1) };
    VERDICTS.forEach((verdict) => { does[verdict] = () => answer(verdict); });

    function pressed(event) {
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const command = event.ctrlKey || event.metaKey;
      if (event.target === by || event.altKey || (command && (key !== "z" || event.shiftKey))) return;
      if (!Object.hasOwn(KEYS, key)) return;
      event.preventDefault();
      if (!event.repeat || key.startsWith("Arrow")) does[KEYS[key]](); /* a key held down is one answer */
    }

    function named(event) {
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
      by.blur();
      if (event.key === "Enter" && problem.textContent) save();
    }

    function clicked(event) {
      const button = event.target.closest("[data-does], [data-question]");
      if (button?.dataset.does) does[button.dataset.does]();
      else if (button) show(Number(button.dataset.question));
    }

    /* What another window of the same page has kept is not written over. */
    function elsewhere(event) {
      if (event.key !== name) return;
      kept = keeper.read();
      if (document.activeElement !== by) by.value = kept.by;
      draw();
    }

    by.value = kept.by;
    by.addEventListener("input", keep);
    by.addEventListener("keydown", named);
    addEventListener("keydown", pressed);
    addEventListener("click", clicked);
    addEventListener("storage", elsewhere);
    keep();
    show(open(0));
  }

  addEventListener("DOMContentLoaded", () => start(JSON.parse(one("#known").textContent)));
})();
