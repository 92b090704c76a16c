// @ts-check
/**
 * Make an element. Properties are set as such (`className`, `onclick`, …), `aria-*` and `data-*` as attributes.
 * Children that are strings become text, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, String(value));
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(.../** @type {(Node | string)[]} */ (children.filter((child) => child != null && child !== false)));
  return element;
}

/** @param {string} id */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * A link to a place outside, which says where it leads; null where the address is not one that may be followed.
 * @param {string} address
 * @param {(Node | string)[]} label
 * @returns {Node | null}
 */
export function outsideLink(address, label) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol) || url.username || url.password) return null;
  const link = el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" }, ...label);
  const place = url.protocol === "mailto:" ? url.pathname : url.host;
  if (link.textContent?.trim() === url.href || link.textContent?.trim() === place) return link;
  return el("span", {}, link, el("span", { className: "host" }, ` (${place})`));
}

/**
 * Draw an element anew. What was unfolded in it stays so, and the focus where it was: `data-keep` on a summary, button
 * or field says which that is; where there is no such any more, the focus goes to the heading.
 * @param {Element} root
 * @param {() => void} draw
 * @param {() => Element} [after] the element that now stands for it, if that is another one
 */
export function keepPlace(root, draw, after = () => root) {
  const unfolded = new Set([...root.querySelectorAll("details[open] > summary")].map((each) => each.getAttribute("data-keep")));
  const held = /** @type {HTMLElement | null} */ (root.contains(document.activeElement) ? document.activeElement : null);
  draw();
  const now = after();
  for (const each of now.querySelectorAll("details > summary")) {
    if (unfolded.has(each.getAttribute("data-keep"))) /** @type {HTMLDetailsElement} */ (each.parentElement).open = true;
  }
  if (!held || document.activeElement === held) return;
  const again = [...now.querySelectorAll("[data-keep]")].find((each) => each.getAttribute("data-keep") === held.getAttribute("data-keep"));
  const heading = now.querySelector("h2");
  if (heading) heading.tabIndex = -1;
  /** @type {HTMLElement | null} */ (now.contains(held) ? held : again ?? heading)?.focus({ preventScroll: true });
}
