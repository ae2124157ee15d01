// First, because the order of the layers is that in which they appear.
import "./base.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createIdlewatt, Problem } from "../client";
import { ClientContext } from "../hooks";
import { WordsProvider } from "../i18n";
import { App } from "./App";

const client = createIdlewatt({ baseUrl: import.meta.env.VITE_API_URL ?? "" });
client.watchPage();
const begin = () =>
  client.start().catch((error: unknown) => {
    const isTransient = error instanceof Problem && error.isTransient;
    setTimeout(begin, isTransient ? 3000 : 30_000);
  });
void begin();

// public/boot.js reloads the page if this program could not be loaded.
document.documentElement.dataset.started = "";
sessionStorage.removeItem("idlewatt-boot-attempts");

// After a roll-out an old page may ask for a part that does not exist any more. It reloads once a minute at most, so
// that a part that cannot be loaded at all does not make it reload for ever.
window.addEventListener("vite:preloadError", (event) => {
  const last = Number(sessionStorage.getItem("idlewatt-reloaded") ?? 0);
  if (Date.now() - last < 60_000) return;
  event.preventDefault();
  sessionStorage.setItem("idlewatt-reloaded", String(Date.now()));
  location.reload();
});

const root = document.getElementById("root");
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <ClientContext value={client}>
        <WordsProvider>
          <App />
        </WordsProvider>
      </ClientContext>
    </StrictMode>,
  );
}
