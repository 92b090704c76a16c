/** The loader whose text never changes, so that a page can name its hash: it fetches the site's settings. */
import { start } from "./loader";
import type { Boot } from "./types";

const own = document.currentScript as HTMLScriptElement;

fetch(`${own.dataset.api}/api/v1/embed/config?site_id=${own.dataset.siteId}`)
  .then((answer) => answer.json())
  // A site that is unknown or switched off has no bundle: what the server says of it goes to the console.
  .then((boot: Boot) => (boot.bundle ? start(boot, own) : console.info("Noren:", boot)))
  .catch(console.info);
