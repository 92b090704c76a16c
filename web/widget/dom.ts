/** Making elements. A string always becomes text: there is no way from a string to markup. */

type Child = Node | string | null | undefined | false;

/** Make an element. `aria-*`, `data-*` and `role` are set as attributes, all else as properties. */
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (/-|^role$/.test(name)) element.setAttribute(name, String(value));
    else (element as unknown as Record<string, unknown>)[name] = value;
  }
  element.append(...children.filter((child): child is Node | string => !!child));
  return element;
}
