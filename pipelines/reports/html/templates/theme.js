(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  function theme(button) {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const say = () => button.setAttribute("aria-pressed", dark());
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      say();
    });
    system.addEventListener("change", say);
    say();
  }

  addEventListener("DOMContentLoaded", () => theme(document.querySelector(".theme")));
})();
