// Applies the chosen theme before the first paint. It is not a module, because modules run later.

(() => {
  const chosen = localStorage.getItem("arnode.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
