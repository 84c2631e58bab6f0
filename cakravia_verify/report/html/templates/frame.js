// What pytest-html's page lacks for people who do not see it: language, landmark, names of its switches.
addEventListener("load", () => {
  document.documentElement.lang = "en";
  const main = document.createElement("main");
  main.append(...document.body.childNodes);
  document.body.append(main);
  document.querySelectorAll("ul > ul").forEach((list) => list.remove());
  const name = () => {
    document.querySelectorAll("input.filter").forEach((box) =>
      box.setAttribute("aria-label", `show ${box.dataset.testResult}`));
    document.querySelectorAll(".logwrapper").forEach((log) => { log.tabIndex = 0; });
  };
  name();
  new MutationObserver(name).observe(main, { childList: true, subtree: true });
});
