// Reloads a page whose program could not be loaded: during a roll-out one version may serve the page and another one,
// which does not have its files, be asked for them. The program sets `data-started` when it runs.
(() => {
  const ATTEMPTS = "idlewatt-boot-attempts";
  const check = () => {
    if (document.documentElement.dataset.started !== undefined) return;
    const attempts = Number(sessionStorage.getItem(ATTEMPTS) ?? 0);
    if (attempts >= 5) {
      document.getElementById("root").textContent = "Idlewatt could not be loaded. Please try again in a minute.";
      sessionStorage.removeItem(ATTEMPTS);
      return;
    }
    sessionStorage.setItem(ATTEMPTS, String(attempts + 1));
    setTimeout(() => location.reload(), 500 * 2 ** attempts);
  };
  // Module scripts have run, or failed, when the page is complete.
  if (document.readyState === "complete") check();
  else addEventListener("load", check);
})();
