// Before anything is drawn, so that a remembered dark page does not flash white; hence no module.
(() => {
  const chosen = localStorage.getItem("narrate.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
