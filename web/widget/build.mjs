// Builds the widget: `.noren/widget/` (what is served) and `functions/platform_api/widget.json` (what the embed script
// and the snippets are made of). The same sources always give the same files.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = new URL("./", import.meta.url);
const root = new URL("../../", here);
const out = new URL(".noren/widget/", root);
const manifest = new URL("functions/platform_api/widget.json", root);
const tools = createRequire(new URL(".noren/node/", root));
const { build, transform } = tools("esbuild");
const { minify } = tools("terser"); // a twentieth smaller than what esbuild's own leaves
const TARGETS = ["chrome100", "safari16.4", "firefox119", "edge100"]; // the first with adoptedStyleSheets and ARIA as properties

const styles = {
  name: "styles",
  setup(bundler) {
    bundler.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(readFileSync(path, "utf8"), { loader: "css", minify: true, target: TARGETS });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

/** One entry as a classic script that leaves nothing but what it means to in the page's scope. */
async function script(entry) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, here))],
    bundle: true,
    write: false,
    format: "iife",
    minifySyntax: true,
    charset: "utf8",
    target: TARGETS,
    legalComments: "none",
    plugins: [styles],
    tsconfigRaw: {}, // the compiler's strictness is no business of the output
  });
  const { code } = await minify(outputFiles[0].text, { ecma: 2020, compress: { passes: 3, unsafe_arrows: true } });
  return code;
}

const digest = (text, algorithm) => createHash(algorithm).update(text);
const named = (name, text) => `${name}.${digest(text, "sha256").digest("hex").slice(0, 12)}.js`;
const integrity = (text) => `sha384-${digest(text, "sha384").digest("base64")}`;

const [evergreen, pinned, panel] = await Promise.all(["evergreen.ts", "pinned.ts", "panel.ts"].map(script));
const files = { loader: named("loader", pinned), panel: named("panel", panel) };

/** Leave what is right already alone: a run may be serving it. */
function write(file, text) {
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
}

mkdirSync(out, { recursive: true });
for (const name of readdirSync(out)) if (!Object.values(files).includes(name)) rmSync(new URL(name, out));
write(new URL(files.loader, out), pinned);
write(new URL(files.panel, out), panel);
const made = {
  loader: evergreen,
  loader_file: files.loader,
  loader_integrity: integrity(pinned),
  bundle_file: files.panel,
  bundle_integrity: integrity(panel),
};
write(manifest, `${JSON.stringify(made, null, 2)}\n`);
