// Light or dark as the reader chose, before anything is painted. It is no module: those run later.

(() => {
  const chosen = localStorage.getItem("arnode.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
