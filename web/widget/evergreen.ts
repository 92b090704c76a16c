/** The loader that the server serves with a site's settings inside. */
import { start } from "./loader";
import type { Boot } from "./types";

declare const __NOREN__: Boot;

start(__NOREN__, document.currentScript);
