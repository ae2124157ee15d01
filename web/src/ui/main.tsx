// First, because the order of the layers is that in which they appear.
import "./base.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createIdlewatt } from "../client";
import { ClientContext } from "../hooks";
import { WordsProvider } from "../i18n";
import { App } from "./App";

const client = createIdlewatt({ baseUrl: import.meta.env.VITE_API_URL ?? "" });
client.watchPage();
const begin = () => client.start().catch(() => setTimeout(begin, 3000));
void begin();

// After a roll-out an old page may ask for a part that is not there any more.
window.addEventListener("vite:preloadError", (event) => {
  event.preventDefault();
  if (sessionStorage.getItem("idlewatt-reloaded") === null) {
    sessionStorage.setItem("idlewatt-reloaded", "yes");
    location.reload();
  }
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
