/** The loader whose text never changes, so that a page can name its hash and the panel's: it fetches settings alone. */
import { start } from "./loader";
import type { Boot } from "./types";

const own = document.currentScript as HTMLScriptElement;
const data = own.dataset as { [name in "api" | "siteId" | "panel" | "panelIntegrity"]: string };

fetch(`${data.api}/api/v1/embed/config?site_id=${data.siteId}`)
  .then((answer) => answer.json())
  // A site that is unknown or switched off has no bundle: what the server says of it goes to the console.
  .then((boot: Boot) => {
    if (boot.bundle) start({ ...boot, bundle: { url: data.panel, integrity: data.panelIntegrity } }, own);
    else console.info("Noren:", boot);
  })
  .catch(console.info);
